"""The hand-labelled paragraphs: well formed, enough of them, and measured sentence by sentence."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

from kpray.quality.grounding.claims import CLAIMS
from kpray.schemas import KIND_NAMES, GroundedClaim, Scene, VerdictName

sys.path.append(str(Path(__file__).parents[3] / "benchmarks"))  # they are scripts, not a package

import grounding_paragraphs
from grounding_paragraphs import Paragraph, judge, read_paragraphs, scenes_of

PARAGRAPHS = read_paragraphs()
SENTENCES = [s for p in PARAGRAPHS for s in p.sentences]


def test_there_are_enough_paragraphs_of_every_kind():
    assert len(PARAGRAPHS) >= 60
    for kind in KIND_NAMES:
        assert sum(p.kind == kind for p in PARAGRAPHS) >= 20


def test_a_paragraph_has_the_length_of_an_answer():
    for paragraph in PARAGRAPHS:
        assert 3 <= len(paragraph.sentences) <= 6, paragraph
        assert 30 <= sum(len(s.text.split()) for s in paragraph.sentences) <= 110, paragraph
        assert paragraph.question.endswith((".", "?")), paragraph


def test_a_sentence_is_about_a_claim_and_only_a_false_one_says_why():
    for sentence in SENTENCES:
        assert sentence.about in {*CLAIMS, ""}, sentence
        assert (sentence.label is False) == bool(sentence.why), sentence
        assert sentence.text[0].isupper(), sentence
        assert sentence.text.endswith("."), sentence
        if sentence.label == "none":
            assert not sentence.about, sentence
    assert len({(p.image, s.text) for p in PARAGRAPHS for s in p.sentences}) == len(SENTENCES)


def test_two_in_five_sentences_about_poses_are_false():
    labels = [s.label for s in SENTENCES if s.label != "none"]
    assert 0.35 <= labels.count(False) / len(labels) <= 0.45


def test_every_image_is_there_and_annotated(coco_folder: Path):
    for paragraph in PARAGRAPHS:
        assert (coco_folder / "images" / "val2017" / f"{paragraph.image}.jpg").is_file()
    scenes = scenes_of(PARAGRAPHS, coco_folder / "annotations")
    assert set(scenes) == {p.scene_id for p in PARAGRAPHS}
    assert all(scene.people for scene in scenes.values())


def claim(turn: int, start: int, verdict: VerdictName) -> GroundedClaim:
    return GroundedClaim(
        turn, start, start + 3, "posture", "standing", "", False, False, verdict, (), None, "", (), None
    )


def test_a_claim_counts_for_the_sentence_it_begins_in(monkeypatch: pytest.MonkeyPatch):
    sentences = tuple(grounding_paragraphs.Sentence(t, label=True, about="posture") for t in ("One.", "Two.", "Three."))
    paragraph = Paragraph("000000000785", "detailed", "Question?", sentences)
    found = [
        claim(0, 0, "supported"),
        claim(1, 3, "unverifiable"),
        claim(1, 5, "contradicted"),
        claim(1, 10, "supported"),
    ]
    monkeypatch.setattr(grounding_paragraphs, "ground", lambda texts, scene, codes: found)
    scene = Scene("785", "000000000785.jpg", "val2017", 640, 425, None, (), (), ())
    question, *answer = judge(paragraph, scene)
    assert question.claims == (found[0],)
    assert [j.claims for j in answer] == [(found[1],), (found[2],), (found[3],)]
    assert [bool(j.contradicted) for j in answer] == [False, True, False]
    assert [j.decidable for j in answer] == [False, True, True]
