"""curator sends the requests: ``curator.LLM`` with its OpenAI backend, limits so high that only the window counts.

Called by ``throughput_ways`` with the Python of curator's own environment. The token encoding that curator counts with
comes from litellm's package, which it depends on, so nothing has to be downloaded.
"""

import importlib.util
import json
import os
import resource
import sys
import time
from itertools import islice
from pathlib import Path


def main(base_url: str, bodies: str, count: str, in_flight: str, out: str) -> None:
    begin = time.perf_counter()
    litellm = importlib.util.find_spec("litellm")
    assert litellm is not None
    assert litellm.origin is not None
    os.environ["TIKTOKEN_CACHE_DIR"] = str(Path(litellm.origin).parent / "litellm_core_utils" / "tokenizers")
    from bespokelabs import curator
    from datasets import Dataset

    class Teacher(curator.LLM):
        def prompt(self, row):
            return row["messages"]

        def parse(self, row, response):
            return {"content": response}

    imported = time.perf_counter()
    with Path(bodies).open() as lines:
        rows = [{"messages": json.loads(line)["messages"]} for line in islice(lines, int(count))]
    settings = {
        "base_url": base_url,
        "api_key": "none",
        "max_concurrent_requests": int(in_flight),
        "max_requests_per_minute": 10_000_000,
        "max_tokens_per_minute": 1_000_000_000_000,
    }
    teacher = Teacher(model_name="gpt-4o", backend="openai", backend_params=settings)
    answers = teacher(Dataset.from_list(rows), working_dir=out).dataset
    answered = sum(text is not None for text in answers["content"])
    timings = {"import_s": imported - begin, "job_s": time.perf_counter() - imported, "answered": answered}
    largest_kb = max(resource.getrusage(who).ru_maxrss for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN))
    print(json.dumps({**timings, "largest_mb": largest_kb / 1024}))
    time.sleep(0.5)  # so that a sample of the CPU time is taken after the end


if __name__ == "__main__":
    main(*sys.argv[1:])
