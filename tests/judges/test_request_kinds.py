from __future__ import annotations

import pytest

from kpray.schemas import KIND_NAMES, Message, Request, Sampling


def request(kind: str) -> Request:
    return Request(kind, "7", (Message("user", "?"),), "openai/m", Sampling())  # type: ignore[arg-type]


def test_only_requests_for_samples_have_the_kind_of_a_sample() -> None:
    assert [request(kind).sample_kind for kind in KIND_NAMES] == list(KIND_NAMES)
    for kind in ("answer", "judge"):
        with pytest.raises(ValueError, match=f"found kind {kind}"):
            assert request(kind).sample_kind


def test_the_kind_does_not_change_the_request() -> None:
    assert request("judge").request_id == request("detailed").request_id
