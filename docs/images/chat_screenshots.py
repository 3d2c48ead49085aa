"""The pictures of docs/chat_page.md, taken from a running server; needs playwright and Chromium.

::

    kpray serve --model base=models/tiny-base --model tuned=runs/tiny &
    python docs/images/chat_screenshots.py --url http://127.0.0.1:8000 --out docs/images
"""

from __future__ import annotations

import argparse
import io
import json
import shutil
import tempfile
from pathlib import Path
from typing import Any

from PIL import Image
from playwright.sync_api import sync_playwright

from kpray.coco.synthetic import SyntheticScene, render, synthesize

QUESTIONS = ("Can you describe the stance of the man?", "In which direction is the man turned?")
WIDE = {"width": 1280, "height": 860}
PHONE = {"width": 390, "height": 844}


def write_scene(scene: SyntheticScene, folder: Path) -> tuple[Path, Path]:
    """Its picture and its keypoints, as COCO has them."""
    picture, keypoints = folder / f"scene-{scene.index}.png", folder / "keypoints.json"
    render(scene).save(picture)
    people = [
        {"keypoints": [n for xyv in person.keypoints_xyv_px for n in xyv], "bbox": person.box_xywh_px}
        for person in scene.people
    ]
    keypoints.write_text(json.dumps(people))
    return picture, keypoints


def talk(page: Any, url: str, files: tuple[Path, Path]) -> None:
    """Add the picture and its keypoints, and ask everything."""
    page.goto(url)
    page.wait_for_selector("body[data-ready]")
    page.set_input_files("#picture-file", files[0])
    page.wait_for_selector("#stage img")
    page.set_input_files("#keypoints-file", files[1])
    page.wait_for_selector("#overlay")
    page.evaluate("document.getElementById('temperature').value = 0")  # the same answers every time
    for question in QUESTIONS:
        page.fill("#question", question)
        page.click("#ask")
        page.wait_for_selector("#ask:visible", timeout=120_000)


def side_by_side(*pngs: bytes) -> Image.Image:
    """Pictures of one size in a row, with a gap."""
    images = [Image.open(io.BytesIO(png)).convert("RGB") for png in pngs]
    width, height = images[0].size
    row = Image.new("RGB", ((width + 24) * len(images) - 24, height), "#8a8f99")
    for i, image in enumerate(images):
        row.paste(image, (i * (width + 24), 0))
    return row


def take(url: str, out: Path, scene: SyntheticScene) -> None:
    """Write ``chat.jpg``, ``chat-dark.jpg``, ``chat-lineage.jpg`` and ``chat-phone.jpg``."""
    executable = shutil.which("chromium") or shutil.which("chromium-browser")
    with tempfile.TemporaryDirectory() as folder, sync_playwright() as playwright:
        files = write_scene(scene, Path(folder))
        browser = playwright.chromium.launch(executable_path=executable, args=["--no-sandbox"])
        page = browser.new_page(viewport=WIDE)
        talk(page, url, files)
        page.screenshot(path=out / "chat.jpg", type="jpeg", quality=84)
        page.emulate_media(color_scheme="dark")
        page.screenshot(path=out / "chat-dark.jpg", type="jpeg", quality=84)
        page.emulate_media(color_scheme="light")
        page.click("#info-second")
        page.screenshot(path=out / "chat-lineage.jpg", type="jpeg", quality=84)
        phone = browser.new_page(viewport=PHONE, has_touch=True, is_mobile=True)
        talk(phone, url, files)
        answers = phone.screenshot()
        phone.evaluate("scrollTo(0, 0)")
        side_by_side(phone.screenshot(), answers).save(out / "chat-phone.jpg", quality=84)
        browser.close()


def main() -> None:
    """Read the arguments and take the pictures."""
    parser = argparse.ArgumentParser(description="Pictures of the chat page.")
    parser.add_argument("--url", default="http://127.0.0.1:8000")
    parser.add_argument("--out", type=Path, default=Path("docs/images"), metavar="DIR")
    parser.add_argument("--scene", type=int, default=31, metavar="N")
    parser.add_argument("--seed", type=int, default=22, metavar="N")
    args = parser.parse_args()
    take(args.url, args.out, synthesize(args.scene, args.seed))


if __name__ == "__main__":
    main()
