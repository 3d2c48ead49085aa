"""Grounding: what a text claims about people in a picture, held against the pose codes."""
