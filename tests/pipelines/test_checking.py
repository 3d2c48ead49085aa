from __future__ import annotations

import json

import msgspec
import pytest

from kpray.pipelines.checking import Judged, gravest, judge, keep, repairs
from kpray.pipelines.recipe import Recipe
from kpray.pipelines.samples import Asked
from kpray.prompts.repair import repair_messages
from kpray.schemas import Fault, Message, Reply, Sampling, Scene

RECIPE = Recipe(("conversation", "detailed"), "single", 0, 9_000, True, "openai/m", False, Sampling(), {})
RECIPE = msgspec.structs.replace(RECIPE, prompt_versions=dict.fromkeys(RECIPE.kinds, "v"))
SCENE = Scene("7", "7.jpg", "", 640, 480, None, ("A man waits.",), (), ())
SOUND = ("What is the weather like?", "It is a dry and quiet day.")
LEAKY = ("What can be said of the man?", "The keypoints show that he waits.")


def asked(*pairs: tuple[str, str], request_id: str = "r1") -> Asked:
    text = json.dumps({"turns": [{"question": question, "answer": answer} for question, answer in pairs]})
    reply = Reply(request_id, text, "stop", None, None, 1.0, "m", "2026-01-01T00:00:00+00:00")
    return Asked("conversation", "7", "7.jpg", request_id, None, (), reply)


def fault(check: str, reason: str) -> Fault:
    return Fault(check, reason, 1, 0, 0, f"it has {reason}")  # type: ignore[arg-type]


def test_only_what_has_a_fault_is_left_out_and_with_all_its_faults() -> None:
    judged = judge(asked(SOUND, LEAKY), RECIPE, None)
    samples, rejected = keep(judged, RECIPE)
    assert [sample.sample_id for sample in samples] == ["7-conversation-0"]
    (reject,) = rejected
    assert (reject.stage, reject.reason) == ("check", "mentions_keypoints")
    assert reject.conversations[1].value == LEAKY[1]
    assert [f.reason for f in reject.faults] == ["mentions_keypoints"]


def test_a_report_keeps_what_has_a_fault() -> None:
    recipe = msgspec.structs.replace(RECIPE, check="report")
    samples, rejected = keep(judge(asked(SOUND, LEAKY), recipe, None), recipe)
    assert [len(sample.faults) for sample in samples] == [0, 1]
    assert rejected == []


def test_a_reply_that_makes_no_sample_stays_rejected_and_is_not_asked_again() -> None:
    broken = msgspec.structs.replace(asked(SOUND), reply=msgspec.structs.replace(asked(SOUND).reply, text="nothing"))
    judged = judge(broken, RECIPE, None)
    assert judged.faults == []
    assert keep(judged, RECIPE) == ([], [judged.rejected])
    assert repairs([broken], [judged], [SCENE], RECIPE) == {}


def test_the_gravest_fault_names_the_reject() -> None:
    form, leak, grounding = fault("form", "markdown"), fault("leak", "mentions_boxes"), fault("grounding", "x")
    assert gravest([form, grounding, leak]) is leak
    assert gravest([form, grounding]) is grounding


def test_a_repair_is_another_request_that_follows_from_the_reply_and_its_faults() -> None:
    stub = asked(SOUND, LEAKY)
    judged = [judge(asked(SOUND), RECIPE, None), judge(stub, RECIPE, None)]
    again = repairs([asked(SOUND), stub], judged, [SCENE], RECIPE)
    assert list(again) == [1]
    first = RECIPE.request("conversation", SCENE, RECIPE.prompt("conversation", SCENE))
    assert again[1].messages[: len(first.messages)] == first.messages
    assert again[1].request_id != first.request_id
    assert repairs([asked(SOUND), stub], judged, [SCENE], RECIPE)[1].request_id == again[1].request_id
    other = judge(asked(LEAKY), RECIPE, None)
    assert repairs([asked(LEAKY)], [other], [SCENE], RECIPE)[0].request_id != again[1].request_id


@pytest.mark.parametrize(("count", "named"), [(1, 1), (3, 3), (20, 8)])
def test_the_message_names_each_fault_once_and_not_too_many(count: int, named: int) -> None:
    faults = [fault("form", f"fault {i}") for i in range(count)]
    *_, reply, again = repair_messages((Message("user", "?"),), "the reply", [*faults, *faults])
    assert reply == Message("assistant", "the reply")
    assert again.content.count("- it has fault") == named


def test_an_empty_judgement_keeps_nothing() -> None:
    assert keep(Judged(), RECIPE) == ([], [])
