"""The OpenAPI text of the judge: made from the types that read and write."""

from __future__ import annotations

from typing import Any, Final

from kpray.serving.judging.requests import JudgeBatch, JudgeRequest
from kpray.serving.judging.responses import JudgeResponse
from kpray.serving.openai_api.description import errors, json_content, reference

BODY: Final = {
    "requestBody": {
        "required": True,
        "content": {"application/json": {"schema": {"anyOf": [reference(JudgeRequest), reference(JudgeBatch)]}}},
    }
}

RESPONSES: Final[dict[int | str, dict[str, Any]]] = {
    200: {
        "description": "A result for each item; what could not be judged is `unscored`, with the reason",
        "content": json_content(JudgeResponse),
    },
    **errors(400, 401, 403, 408, 413, 415, 422, 429, 500, 503),
}

TYPES: Final = (JudgeRequest, JudgeBatch, JudgeResponse)
"""What requests and responses are made of."""
