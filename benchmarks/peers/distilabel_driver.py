"""distilabel sends the requests: ``ChatGeneration`` with its asynchronous OpenAI client.

Its client sends a batch at once and waits for all of it, so a batch is as large as the window, and one replica of the
step asks: more of them would cut the window up. Called by ``throughput_ways`` with the Python of distilabel's own
environment.
"""

import json
import logging
import resource
import sys
import time
from itertools import islice
from pathlib import Path


def main(base_url: str, bodies: str, count: str, in_flight: str, out: str) -> None:
    begin = time.perf_counter()
    from distilabel.models.llms import OpenAILLM
    from distilabel.pipeline import Pipeline
    from distilabel.steps import LoadDataFromDicts
    from distilabel.steps.tasks import ChatGeneration

    imported = time.perf_counter()
    logging.disable(logging.WARNING)
    with Path(bodies).open() as lines:
        rows = [{"messages": json.loads(line)["messages"]} for line in islice(lines, int(count))]
    batch = int(in_flight)
    with Pipeline(name="throughput", cache_dir=out) as pipeline:
        llm = OpenAILLM(
            model="gpt-4o", base_url=base_url, api_key="none", timeout=600, generation_kwargs={"max_new_tokens": 1000}
        )
        load = LoadDataFromDicts(data=rows, batch_size=batch)
        ask = ChatGeneration(
            llm=llm, input_batch_size=batch, add_raw_input=False, add_raw_output=False, output_mappings={}
        )
        load >> ask
    dataset = pipeline.run(use_cache=False)["default"]["train"]
    answered = sum(text is not None for text in dataset["generation"])
    timings = {"import_s": imported - begin, "job_s": time.perf_counter() - imported, "answered": answered}
    largest_kb = max(resource.getrusage(who).ru_maxrss for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN))
    print(json.dumps({**timings, "largest_mb": largest_kb / 1024}))
    time.sleep(0.5)  # so that a sample of the CPU time is taken after the end


if __name__ == "__main__":
    main(*sys.argv[1:])
