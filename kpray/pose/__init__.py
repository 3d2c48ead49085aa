"""The geometry of a pose, in words.

`scene_codes` says what the keypoints of a scene decide with a margin, as `PoseCode`s of the closed
`VOCABULARY`; what they do not decide is left unsaid. docs/pose_codes.md documents every rule.
"""

from kpray.pose.codes import people_codes, scene_codes, scenes_codes
from kpray.pose.vocabulary import VOCABULARY, PoseCode

__all__ = ["VOCABULARY", "PoseCode", "people_codes", "scene_codes", "scenes_codes"]
