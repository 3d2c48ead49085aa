"""Painting a scene with Pillow."""

from __future__ import annotations

from PIL import Image, ImageDraw, ImageFilter

from kpray.coco.synthetic.types import Drawing, SyntheticScene

OVERSAMPLING = 2  # painted larger, then averaged down, so that edges are smooth
SHADOW_RGB = (52, 56, 70)


def render(scene: SyntheticScene) -> Image.Image:
    """Paint a scene.

    Args:
        scene: From `kpray.coco.synthetic.synthesize`.

    Returns:
        An RGB picture of ``scene.width`` by ``scene.height`` pixels.
    """
    size = scene.width * OVERSAMPLING, scene.height * OVERSAMPLING
    picture = _gradient(scene.drawing, size)
    draw = ImageDraw.Draw(picture)
    for shape in scene.drawing.backdrop.shapes:
        draw.polygon(_scaled(shape.polygon), fill=shape.rgb)
    _darken(picture, scene.drawing)
    for shape in scene.drawing.shapes:
        draw.polygon(_scaled(shape.polygon), fill=shape.rgb)
    return picture.reduce(OVERSAMPLING)


def _scaled(polygon: tuple[tuple[float, float], ...]) -> list[tuple[float, float]]:
    return [(x * OVERSAMPLING, y * OVERSAMPLING) for x, y in polygon]


def _gradient(drawing: Drawing, size: tuple[int, int]) -> Image.Image:
    ramp = Image.linear_gradient("L").resize(size)
    top = Image.new("RGB", size, drawing.backdrop.top_rgb)
    bottom = Image.new("RGB", size, drawing.backdrop.bottom_rgb)
    return Image.composite(bottom, top, ramp)


def _darken(picture: Image.Image, drawing: Drawing) -> None:
    """Soft shadows: painted small, blurred, and scaled up, which is quick."""
    shrink = 4
    small = Image.new("L", (picture.width // shrink, picture.height // shrink), 0)
    draw = ImageDraw.Draw(small)
    k = OVERSAMPLING / shrink
    for x, y, rx, ry in drawing.shadows:
        draw.ellipse(((x - rx) * k, (y - ry) * k, (x + rx) * k, (y + ry) * k), fill=88)
    soft = small.filter(ImageFilter.GaussianBlur(2)).resize(picture.size)
    picture.paste(SHADOW_RGB, (0, 0), soft)
