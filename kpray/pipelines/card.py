"""The dataset card: what is in a dataset, where it comes from, and what it cannot be trusted for."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

from kpray import storage
from kpray.pipelines.run_folder import Manifest
from kpray.pipelines.summary import usd_text
from kpray.schemas import VERDICT_NAMES

_GEOMETRIC_LIMITS = (
    "The text was written by rule from captions and pose codes (kpray's embedded `geometric` teacher), not by a "
    "language model: it is true to the annotations, and narrower in language and inference than a model's."
)
_MODEL_LIMITS = (
    "The text was written by a language model that saw captions, boxes and keypoints, not the picture. It may state "
    "what the picture does not show."
)
_SIZES = (
    (1_000, "n<1K"),
    (10_000, "1K<n<10K"),
    (100_000, "10K<n<100K"),
    (1_000_000, "100K<n<1M"),
    (10_000_000, "1M<n<10M"),
    (100_000_000, "10M<n<100M"),
)
"""Upper limits of the size categories that dataset hubs know."""

_COMMON_LIMITS = (
    "Annotations are two-dimensional and sometimes wrong; people who are not annotated are not spoken of.",
    "Left and right are the person's own unless a side of the image is named.",
    "The images are not part of the dataset; their licences are their authors' (table above).",
)


def write_card(manifest: Manifest) -> None:
    """Write the card as `README.md` into the run's folder."""
    storage.write_bytes(storage.join(manifest.config.out, "README.md"), render_card(manifest).encode())


def render_card(manifest: Manifest) -> str:
    """The card in Markdown, with the header that dataset hubs read."""
    recipe = manifest.identity["recipe"]
    samples = manifest.totals["samples"]
    sections = [
        _header(sum(samples.values())),
        f"# Keypoint-grounded instruction data ({sum(samples.values()):,} samples)\n",
        "Made by kpray from COCO-style captions, boxes and keypoints.\n",
        "## Contents\n",
        _table(
            ("kind", "samples", "wording"),
            [(k, f"{samples.get(k, 0):,}", recipe["prompt_versions"][k]) for k in recipe["kinds"]],
        ),
        _rejected_section(manifest.totals),
        "## Checks\n",
        _checks_section(manifest.totals, recipe),
        "## Provenance\n",
        _table(("what", "value"), _provenance(manifest, recipe)),
        "## Licences of the images (of all scenes read)\n",
        _table(("licence", "scenes"), _counts(manifest.reading["licenses"])),
        "## Known limits\n",
        "\n".join(f"- {limit}" for limit in _limits(recipe)) + "\n",
    ]
    return "\n".join(sections)


def _header(count: int) -> str:
    size = next((name for limit, name in _SIZES if count < limit), "100M<n<1B")
    return (
        "---\nlanguage: en\ntask_categories:\n- image-text-to-text\ntags:\n- human-pose\n- visual-instruction-tuning\n"
        f"size_categories:\n- {size}\n---\n"
    )


def _rejected_section(totals: Mapping[str, Any]) -> str:
    rejected = totals["rejected"]
    if not rejected:
        return "Nothing was rejected.\n"
    return f"Rejected, with reasons, in `rejected/`:\n\n{_table(('reason', 'replies or scenes'), _counts(rejected))}"


def _checks_section(totals: Mapping[str, Any], recipe: Mapping[str, Any]) -> str:
    """How often the teacher went wrong, what was done about it, and what is known of what was kept."""
    faults = totals["faults"]
    found = sum(faults.values())
    parts = [
        f"Every text was checked for leaks, form, and claims that the keypoints contradict (`{recipe['check']}`).\n"
    ]
    if faults:
        again = (
            f" {totals['repairs']:,} replies were asked for again, {totals['repaired']:,} came back without a fault."
        )
        parts.append(f"{found:,} faults in {totals['requests']:,} first replies.{again if totals['repairs'] else ''}\n")
        parts.append(_table(("fault", "replies"), _counts(faults)))
    if totals["claims"]:
        parts.append("Claims of the kept samples that pose codes could decide:\n")
        parts.append(_table(("claim", *VERDICT_NAMES), _claim_rows(totals["claims"])))
    if totals["duplicates"]:
        parts.append(f"{totals['duplicates']:,} near duplicates of other samples were taken out (`duplicates/`).\n")
    return "\n".join(parts)


def _claim_rows(claims: Mapping[str, Mapping[str, int]]) -> Iterable[tuple[str, ...]]:
    for name, verdicts in claims.items():
        yield (name, *(f"{verdicts.get(verdict, 0):,}" for verdict in VERDICT_NAMES))


def _provenance(manifest: Manifest, recipe: Mapping[str, Any]) -> list[tuple[str, str]]:
    reading, totals = manifest.reading, manifest.totals
    sampling = {name: value for name, value in recipe["sampling"].items() if value is not None}
    inputs = ", ".join(f"{name} {value}" for name, value in manifest.identity["inputs"].items())
    return [
        ("teacher", f"`{recipe['model']}`"),
        ("sampling", f"{sampling}" if sampling else "the server's defaults"),
        ("scenes", f"{totals['scenes']:,} of {reading['images']:,} images"),
        ("people", f"{reading['people']:,}"),
        ("inputs (content hashes)", inputs),
        ("turns", recipe["turns"]),
        ("seed", str(recipe["seed"])),
        ("tokens", f"{totals['prompt_tokens']:,} prompt, {totals['completion_tokens']:,} completion"),
        ("cost", usd_text(totals["usd"])),
        ("software", ", ".join(f"{name} {version}" for name, version in manifest.software.items())),
    ]


def _limits(recipe: Mapping[str, Any]) -> Iterable[str]:
    yield _GEOMETRIC_LIMITS if recipe["reads_scene"] else _MODEL_LIMITS
    yield from _COMMON_LIMITS


def _counts(counts: Mapping[str, int]) -> list[tuple[str, str]]:
    return [(name, f"{count:,}") for name, count in counts.items()]


def _table(header: tuple[str, ...], rows: Iterable[tuple[str, ...]]) -> str:
    lines = [header, ("---",) * len(header), *rows]
    return "".join(f"| {' | '.join(line)} |\n" for line in lines)
