"""Ray Datasets in, Ray Datasets out: `generate`."""
