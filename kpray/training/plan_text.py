"""What training takes, as a person reads it."""

from __future__ import annotations

from collections.abc import Iterator

from kpray.ledger.budget import dollars
from kpray.training.estimate import TrainPlan, advice
from kpray.training.memory import ALLOWANCE, CONTEXT

_GIB = 2**30


def train_plan_text(plan: TrainPlan) -> str:
    """The whole plan."""
    return "\n".join(["", *_about(plan), "", *_memory(plan), "", *_verdict(plan), "", *_time(plan)])


def _about(plan: TrainPlan) -> Iterator[str]:
    share = plan.learning / plan.parameters
    yield (
        f"{plan.model}: {_billions(plan.parameters)} parameters, {_billions(plan.learning)} learn ({share:.1%}), on "
        f"{plan.gpus} x {plan.gpu.name}"
    )
    work = plan.workload
    yield (
        f"{work.samples:,} samples, {work.tokens / work.samples:,.0f} tokens each on average, at most {work.longest:,} "
        f"({work.source}); a picture takes {work.picture.tokens:,} of them"
    )
    passes = f"{plan.epochs} passes" if plan.epochs > 1 else "1 pass"
    yield f"{passes}: about {plan.steps:,} steps of {plan.global_batch:,} sequences"


def _memory(plan: TrainPlan) -> Iterator[str]:
    memory = plan.memory
    lines = [
        ("weights", memory.weights),
        ("gradients", memory.gradients),
        ("optimizer states", memory.optimizer),
        ("weights of other GPUs, while layers compute", memory.gathered),
        ("gradients on their way", memory.buckets),
        ("activations, at the longest batch", memory.activations),
        ("one layer's activations, or logits and loss", memory.working),
    ]
    yield "Memory of each GPU, GiB"
    yield from (f"  {name:<45}{size / _GIB:>8.1f}" for name, size in lines if size)
    spared = memory.states + memory.buckets + memory.step - memory.allocated
    if spared == 0:
        yield f"  {'32-bit gradients while weights change, instead':<45}{memory.step / _GIB:>8.1f}"
    outside = plan.memory_total - memory.allocated
    yield f"  {f'CUDA ({CONTEXT / 1e9:g} GB) and {ALLOWANCE:.0%} between blocks, assumed':<45}{outside / _GIB:>8.1f}"
    yield f"  {'in all':<45}{plan.memory_total / _GIB:>8.1f}"
    if memory.host:
        yield f"Memory of the CPUs, in all: {memory.host / _GIB:,.1f} GiB"


def _verdict(plan: TrainPlan) -> Iterator[str]:
    has = f"{plan.gpu_memory / _GIB:.1f} GiB"
    if plan.fits:
        yield f"It fits: a GPU has {has}."
        return
    yield f"It does not fit: a GPU has {has}. {advice(plan.remedies, plan.gpus)}"
    yield from (f"  {remedy.total / _GIB:>6.1f} GiB with {remedy.change}" for remedy in plan.remedies)


def _time(plan: TrainPlan) -> Iterator[str]:
    flops = plan.flops
    again = f", and {flops.again:.2e} to compute activations again" if flops.again else ""
    yield f"Operations: {flops.model:.2e} of the model{again}"
    peak = f"{plan.gpu.bf16_tflops:g} TFLOPS a GPU"
    yield f"Time: about {_hours(plan.hours)}, if {plan.mfu:.0%} of the peak is reached ({peak}); another share: --mfu"
    if plan.usd is None:
        yield "Cost: unknown; give the price of a GPU with --usd-per-gpu-hour"
    else:
        yield f"Cost: about {dollars(plan.usd)} at ${plan.usd_per_gpu_hour:,.2f} a GPU and hour"


def _billions(count: int) -> str:
    return f"{count / 1e9:.2f} billion" if count >= 1e8 else f"{count / 1e6:.2f} million"


def _hours(hours: float) -> str:
    if hours >= 48:
        return f"{hours / 24:,.1f} days"
    return f"{hours:,.1f} hours" if hours >= 1 else f"{hours * 60:,.1f} minutes"
