"""Keypoints and boxes drawn over a picture.

Legend:

- own left arm and leg: orange; own right arm and leg: blue; torso and head: white
- filled dot: visible keypoint (v = 2); hollow dot: hidden keypoint (v = 1); nothing: not labelled
- box of a person: green; box of an object: magenta, with its category
"""

from __future__ import annotations

from PIL import Image, ImageDraw, ImageFont

from kpray.schemas import KEYPOINT_NAMES, Box, Keypoint, Person, Scene

Rgb = tuple[int, int, int]
Point = tuple[float, float]

LEFT_RGB: Rgb = (255, 140, 26)
RIGHT_RGB: Rgb = (36, 118, 255)
MIDDLE_RGB: Rgb = (255, 255, 255)
PERSON_RGB: Rgb = (60, 200, 90)
OBJECT_RGB: Rgb = (226, 60, 190)
OUTLINE_RGB: Rgb = (20, 20, 24)

LIMBS: tuple[tuple[str, str], ...] = (
    ("left_ankle", "left_knee"),
    ("left_knee", "left_hip"),
    ("right_ankle", "right_knee"),
    ("right_knee", "right_hip"),
    ("left_hip", "right_hip"),
    ("left_shoulder", "left_hip"),
    ("right_shoulder", "right_hip"),
    ("left_shoulder", "right_shoulder"),
    ("left_shoulder", "left_elbow"),
    ("left_elbow", "left_wrist"),
    ("right_shoulder", "right_elbow"),
    ("right_elbow", "right_wrist"),
    ("left_eye", "right_eye"),
    ("nose", "left_eye"),
    ("nose", "right_eye"),
    ("left_eye", "left_ear"),
    ("right_eye", "right_ear"),
    ("left_ear", "left_shoulder"),
    ("right_ear", "right_shoulder"),
)
"""COCO's skeleton by name."""


def draw_scene(image: Image.Image, scene: Scene) -> Image.Image:
    """Draw the boxes and skeletons of a scene; the module's docstring explains the colours.

    Args:
        image: The scene's picture, at any size.
        scene: Its annotations.

    Returns:
        A new RGB picture of the same size.
    """
    canvas = _Canvas(image)
    for thing in scene.objects:
        canvas.box(thing.box_xyxy_norm, OBJECT_RGB, thing.category)
    for person in scene.people:
        canvas.box(person.box_xyxy_norm, PERSON_RGB, "person")
    for person in scene.people:
        canvas.skeleton(person)
    return canvas.picture


class _Canvas:
    """A picture being drawn on, with line widths that suit its size."""

    def __init__(self, image: Image.Image) -> None:
        self.picture = image.convert("RGB").copy()
        self.draw = ImageDraw.Draw(self.picture)
        self.unit = max(min(image.size) / 240, 0.6)
        self.font = ImageFont.load_default(size=max(min(image.size) / 34, 9))

    def point(self, x: float, y: float) -> Point:
        return x * self.picture.width, y * self.picture.height

    def box(self, box_xyxy_norm: Box, rgb: Rgb, label: str) -> None:
        """A rectangle with its name in the upper image-left corner, inside the picture."""
        (x1, y1), (x2, y2) = self.point(*box_xyxy_norm[:2]), self.point(*box_xyxy_norm[2:])
        self.draw.rectangle((x1, y1, max(x2 - 1, x1), max(y2 - 1, y1)), outline=rgb, width=max(round(self.unit), 1))
        left, top, right, bottom = self.draw.textbbox((0, 0), label, font=self.font)
        wide, high = right - left + 4, bottom - top + 4
        x, y = min(max(x1, 0), max(self.picture.width - wide, 0)), y1 - high if y1 >= high else y1
        self.draw.rectangle((x, y, x + wide, y + high), fill=rgb)
        self.draw.text((x + 2 - left, y + 2 - top), label, fill=OUTLINE_RGB, font=self.font)

    def skeleton(self, person: Person) -> None:
        """Limbs between labelled keypoints, dark outline first, then dots."""
        points = dict(zip(KEYPOINT_NAMES, person.keypoints_xyv_norm, strict=True))
        limbs = [(points[a], points[b], side_colour(a, b)) for a, b in LIMBS if points[a][2] and points[b][2]]
        # A person smaller than the lines would vanish under them.
        size = (person.box_xyxy_norm[3] - person.box_xyxy_norm[1]) * self.picture.height
        width = max(min(self.unit * 1.6, size / 40), 1.0)
        for extra, colour in ((2.0 if width > 1.5 else 0.0, OUTLINE_RGB), (0.0, None)):
            for a, b, rgb in limbs:
                ends = self.point(a[0], a[1]), self.point(b[0], b[1])
                self.draw.line(ends, fill=colour or rgb, width=round(width + extra))
        for name, keypoint in points.items():
            self._dot(keypoint, side_colour(name, name), 1.25 * width)

    def _dot(self, keypoint: Keypoint, rgb: Rgb, radius: float) -> None:
        if not keypoint[2]:
            return
        x, y = self.point(keypoint[0], keypoint[1])
        bounds = (x - radius, y - radius, x + radius, y + radius)
        if keypoint[2] == 2:
            self.draw.ellipse(bounds, fill=rgb, outline=OUTLINE_RGB)
        else:
            self.draw.ellipse(bounds, outline=rgb, width=max(round(radius / 2.5), 1))


def side_colour(a: str, b: str) -> Rgb:
    """Colour of a limb: the own left's, the own right's, or the middle's when it joins the two.

    >>> side_colour("left_hip", "left_knee") == LEFT_RGB
    True
    >>> side_colour("left_hip", "right_hip") == MIDDLE_RGB
    True
    """
    sides = {name.split("_")[0] for name in (a, b)}
    if sides == {"left"}:
        return LEFT_RGB
    return RIGHT_RGB if sides == {"right"} else MIDDLE_RGB
