"""Judging: what a judge is asked about answers, and how its reply becomes a verdict.

`prompt` renders, `parse` reads, `verdicts` joins a reply to its item; `geometric` is the judge that needs no model.
"""
