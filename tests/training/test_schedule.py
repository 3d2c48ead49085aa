from __future__ import annotations

from typing import Any

import pytest

from kpray.training.schedule import rate


@pytest.mark.parametrize("schedule", ["cosine", "linear", "constant"])
@pytest.mark.parametrize(("steps", "warmup"), [(6261, 0.03), (20, 0.1), (5, 0.0)])
def test_rates_are_transformers_own(schedule: Any, steps: int, warmup: float) -> None:
    torch = pytest.importorskip("torch")
    transformers = pytest.importorskip("transformers")
    name = {"constant": "constant_with_warmup"}.get(schedule, schedule)
    arguments = transformers.TrainingArguments(warmup_steps=warmup, use_cpu=True)
    optimizer = torch.optim.SGD([torch.nn.Parameter(torch.zeros(1))], lr=1.0)
    theirs = transformers.get_scheduler(
        name, optimizer, num_warmup_steps=arguments.get_warmup_steps(steps), num_training_steps=steps
    )
    for step in range(steps):
        assert rate(step, steps=steps, warmup=warmup, schedule=schedule) == pytest.approx(theirs.get_last_lr()[0])
        optimizer.step()
        theirs.step()
