"""Scores of models' answers, and how sure they are.

`types` has what passes between the parts. `judging` asks a judge and reads what it says; `statistics` makes scores,
intervals and comparisons of the verdicts; `published` holds the papers' tables. docs/judging.md and docs/scoring.md
tell the rules.
"""
