"""A LLaVA of a million weights that learns in minutes on two CPU cores; see docs/tiny_model.md.

``tiny-base``, which `kpray.training.tiny.recipe` makes, sees and captions, and has never been asked about a pose.
"""
