"""From a run's folder to its page."""

from __future__ import annotations

from collections.abc import Collection

import msgspec

from kpray.reports.run_report.cards import entry_card, scene_card, skeleton_card
from kpray.reports.run_report.choosing import Chooser
from kpray.reports.run_report.figures import Figures
from kpray.reports.run_report.head import describe
from kpray.reports.run_report.page import write_page
from kpray.reports.run_report.pictures import Pictures
from kpray.reports.run_report.reading import Entry, Manifest, iterate_entries, read_run, read_scenes


class Report(msgspec.Struct, frozen=True):
    """What a page holds.

    Attributes:
        out: The page.
        shown: Entries in its gallery.
        entries: Entries that the gallery was drawn from.
        scenes: Scenes that the gallery's entries are about.
        without_image: Those of them whose image was not at hand.
        size_bytes: Of the page.
    """

    out: str
    shown: int
    entries: int
    scenes: int
    without_image: int
    size_bytes: int


def make_report(
    run: str, out: str, *, images: str | None, limit: int, seed: int, kinds: Collection[str] = ()
) -> Report:
    """Write a run's page.

    Args:
        run: The run's folder.
        out: The page to write.
        images: Folder of the images; None takes the one that the run was made with.
        limit: How many entries the gallery holds at most; of a larger run, a seeded draw.
        seed: Of the draw.
        kinds: Kinds in the gallery; empty is all. The figures are of the whole run in any case.

    Raises:
        InputError: The folder is no run, or holds files that kpray did not write.
        StorageError: The page cannot be written.
    """
    manifest = read_run(run)
    figures, chooser = _count(run, limit, seed, kinds)
    chosen = chooser.chosen()
    scenes = read_scenes(run, {entry.scene_id for entry in chosen})
    data = {
        **describe(manifest, figures),
        "figures": figures.to_page(),
        "gallery": {"shown": len(chosen), "of": chooser.offered, "seed": seed, "kinds": sorted(kinds)},
        "skeleton": skeleton_card(),
        "scenes": {scene_id: scene_card(scene) for scene_id, scene in scenes.items()},
        "entries": [entry_card(entry) for entry in chosen],
    }
    pictures = Pictures(images or _image_folder(manifest))
    jpegs = ((scene_id, jpeg) for scene_id, scene in scenes.items() if (jpeg := pictures.small_jpeg(scene)))
    embedded, size_bytes = write_page(out, data, jpegs)
    return Report(out, len(chosen), chooser.offered, len(scenes), len(scenes) - embedded, size_bytes)


def _count(run: str, limit: int, seed: int, kinds: Collection[str]) -> tuple[Figures, Chooser]:
    figures, chooser = Figures(), Chooser(limit, seed)
    for entry in iterate_entries(run):
        figures.add(entry)
        if _is_of(entry, kinds):
            chooser.offer(entry)
    return figures, chooser


def _is_of(entry: Entry, kinds: Collection[str]) -> bool:
    return not kinds or entry.kind in kinds


def _image_folder(manifest: Manifest) -> str | None:
    folder = manifest.get("reading", {}).get("image_folder")
    return None if folder is None else str(folder)
