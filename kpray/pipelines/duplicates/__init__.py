"""Near duplicates of a whole dataset: finding them on Ray, and taking them out of a run's samples."""

from kpray.pipelines.duplicates.finding import Duplicate, Text, Texts, find_duplicates
from kpray.pipelines.duplicates.removing import DuplicateReport, remove_duplicates

__all__ = ["Duplicate", "DuplicateReport", "Text", "Texts", "find_duplicates", "remove_duplicates"]
