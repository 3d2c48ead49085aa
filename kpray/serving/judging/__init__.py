"""The judge's address: `requests` and `contexts` read a body, `bench` has the items judged, `responses` tells it."""
