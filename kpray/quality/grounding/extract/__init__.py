"""From text to claims: a grammar of clauses over tokens and lemmas."""

from kpray.quality.grounding.extract.reader import extract

__all__ = ["extract"]
