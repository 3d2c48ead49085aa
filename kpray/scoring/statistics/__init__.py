"""From verdicts to scores: `grades` per question, then `scores`, `differences`, `outcomes` and `order` effects.

All intervals come from `intervals`, which resamples images. docs/scoring.md gives the formulas and how they were
tested.
"""
