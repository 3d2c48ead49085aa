"""From COCO annotation files to `kpray.schemas.Scene`, the only place where units change."""

from kpray.coco.filters import ReadingReport, SceneFilter
from kpray.coco.reader import read_scenes
from kpray.coco.source import CocoSource, check_inputs

__all__ = ["CocoSource", "ReadingReport", "SceneFilter", "check_inputs", "read_scenes"]
