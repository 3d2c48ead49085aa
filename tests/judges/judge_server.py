"""`openai_server` with a model that judges: ratings drawn from the request's body, in the schema that it asks for."""

from __future__ import annotations

import argparse
import asyncio
import hashlib
import json
import sys
from pathlib import Path
from typing import Any

sys.path.append(str(Path(__file__).parent.parent))

import msgspec
import openai_server
from openai_server import OpenAIServer, Settings
from server_process import ServerProcess

ASPECTS = ("helpfulness", "relevance", "accuracy", "detail")


def ratings(body: dict[str, Any], *, varied: bool) -> str:
    """What the judge says; the same for the same body."""
    if "response_format" not in body:
        return "7 8\nBoth name the ball."
    drawn = hashlib.blake2b(msgspec.json.encode(body)).digest()
    names = [name for name in body["response_format"]["json_schema"]["schema"]["properties"] if name != "explanation"]
    rated = {
        name: {**dict.fromkeys(ASPECTS, 5 + drawn[0] % 5), "overall": 2 + drawn[i] % 9} for i, name in enumerate(names)
    }
    return json.dumps({"explanation": "The arms are as said.", **rated})


class JudgeServer(OpenAIServer):
    """The server in a process of its own, for `with`."""

    def __init__(self, **settings: Any) -> None:
        ServerProcess.__init__(self, __file__, "--settings", json.dumps(settings))


if __name__ == "__main__":
    parser = argparse.ArgumentParser()
    parser.add_argument("--port", type=int, required=True)
    parser.add_argument("--settings", default="{}")
    arguments = parser.parse_args()
    openai_server._text = ratings
    settings = msgspec.convert(json.loads(arguments.settings), Settings)
    asyncio.run(openai_server._Api(settings).serve(arguments.port))
