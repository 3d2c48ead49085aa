"""Grounding: what a text claims about people in a picture, held against the pose codes.

`kpray.quality.grounding.ground.ground` does it; docs/grounding.md says what is claimed, who is meant and what decides.
"""
