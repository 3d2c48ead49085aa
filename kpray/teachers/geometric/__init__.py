"""The embedded rule-based teacher: pose codes and captions in varied, grammatical English.

Read it in this order: `compose` (one sample), `known` (what may be said), `statements` (facts that belong
together), `sentences` (forms and pronouns), ``forms/`` (the wording itself, as data).
"""

from kpray.teachers.geometric.compose import compose
from kpray.teachers.geometric.teacher import GeometricTeacher

__all__ = ["GeometricTeacher", "compose"]
