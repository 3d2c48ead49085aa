# ruff: noqa: E402 - what needs torch is imported where torch is there
from __future__ import annotations

import hashlib
import threading
from pathlib import Path
from typing import Any

import msgspec
import pytest
import ray
from PIL import Image

torch = pytest.importorskip("torch")

from toy_data import record, write_toy_data
from toy_family import toy_encoder

from kpray.errors import InputError
from kpray.training import prepare as preparing
from kpray.training.batching import StepPlan, plan_steps
from kpray.training.config import ModelConfig, OptimConfig, TrainConfig, WorkerConfig
from kpray.training.feeding import Feed, Step, feed, feed_in_process
from kpray.training.prepare import prepare
from kpray.training.prepared import PreparedData, RecordStore
from kpray.training.types import IGNORED

pytestmark = [pytest.mark.ray, pytest.mark.usefixtures("ray_local")]

OPTIM = OptimConfig(batch_size=2, accumulation=2, epochs=2)


class Data:
    """A prepared toy dataset of 30 records in parts of 8, shared by all tests."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        config = write_toy_data(folder, 29, record(29, None))
        self.config = TrainConfig(
            out=config.out, data=config.data, optim=OPTIM, model=ModelConfig(dtype="float32"), workers=WorkerConfig()
        )
        self.encoder = toy_encoder(folder)
        self.prepared: PreparedData = prepare(self.config, encoder=self.encoder)
        self.plan: StepPlan = plan_steps(*self.prepared.lengths(), OPTIM, config.data, seed=0, world=2)

    def feed(self, how: Any = feed_in_process, *, rank: int = 0, world: int = 2, **settings: Any) -> Feed:
        settings = {"encoder": self.encoder} | settings
        fed: Feed = how(self.config, self.prepared, self.plan, rank=rank, world=world, **settings)
        return fed


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory, ray_local: None) -> Data:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(preparing, "PART_RECORDS", 8)
        return Data(tmp_path_factory.mktemp("feed") / "data")


def same(one: Step, two: Step) -> bool:
    def digest(step: Step) -> list[dict[str, str]]:
        return [{k: hashlib.md5(t.numpy().tobytes()).hexdigest() for k, t in b.items()} for b in step.micro_batches]

    return (one.number, one.record_ids, one.supervised, digest(one)) == (
        two.number,
        two.record_ids,
        two.supervised,
        digest(two),
    )


def test_each_number_finds_its_record(data: Data):
    records = RecordStore(data.prepared)
    assert data.prepared.part_sizes == (8, 8, 8, 6)
    assert [records[number][0].record_id for number in (0, 7, 8, 29)] == ["r0@0", "r7@7", "r8@8", "r29@29"]
    assert [records[number][1] for number in range(30)] == data.prepared.lengths()[0].tolist()


@pytest.mark.parametrize("world", [1, 2, 3])
def test_all_workers_together_see_each_record_once_an_epoch_and_what_the_plan_counts(data: Data, world: int):
    feeds = [data.feed(rank=rank, world=world) for rank in range(world)]
    epochs: dict[int, list[str]] = {0: [], 1: []}
    for steps in zip(*feeds, strict=True):
        epochs[data.plan.epoch(steps[0].number)] += [one for step in steps for one in step.record_ids]
        assert len({len(step.micro_batches) for step in steps}) == 1
        labels = [b["labels"] for step in steps for b in step.micro_batches]
        assert sum(int((one != IGNORED).sum()) for one in labels) == steps[0].supervised
    for ids in epochs.values():
        assert sorted(ids) == sorted(f"r{i}@{i}" for i in range(30))


def test_an_empty_micro_batch_is_a_row_without_labels(data: Data):
    last = list(data.feed(rank=0, world=9))[-1]
    (only,) = last.micro_batches
    assert last.record_ids == ()
    assert only["input_ids"].shape[0] == 1
    assert bool((only["labels"] == IGNORED).all())


def test_feeders_make_exactly_what_this_process_makes_in_order(data: Data):
    fed = data.feed(feed, rank=1)
    for here, there in zip(data.feed(rank=1), fed, strict=True):
        assert same(here, there)
    assert fed.first_s > 0
    assert 0 <= fed.stall_share <= 1


def test_two_feeders_keep_the_order(data: Data):
    config = TrainConfig(
        out=data.config.out, data=data.config.data, model=data.config.model, workers=WorkerConfig(feeders=2)
    )
    fed = feed(config, data.prepared, data.plan, rank=0, world=2, encoder=data.encoder)
    assert all(same(here, there) for here, there in zip(data.feed(), fed, strict=True))


def test_feeders_start_where_workers_hold_every_cpu(data: Data):
    @ray.remote(num_cpus=2)
    def worker(*arguments: Any, **settings: Any) -> list[tuple[str, ...]]:
        return [step.record_ids for step in feed(*arguments, **settings)]

    assert ray.cluster_resources()["CPU"] == 2
    settings = {"rank": 0, "world": 2, "encoder": data.encoder}
    seen = ray.get(worker.remote(data.config, data.prepared, data.plan, **settings), timeout=120)
    assert seen == [step.record_ids for step in data.feed()]


def test_going_on_in_the_middle_is_what_would_have_come(data: Data):
    middle = data.plan.steps // 2
    whole = list(data.feed())[middle:]
    assert all(same(a, b) for a, b in zip(whole, data.feed(feed, from_step=middle), strict=True))
    assert list(data.feed(feed, from_step=data.plan.steps)) == []


def test_inputs_travel_in_the_models_dtype(data: Data):
    config = TrainConfig(out=data.config.out, data=data.config.data, model=ModelConfig(dtype="bfloat16"))
    fed = feed(config, data.prepared, data.plan, rank=0, world=2, encoder=data.encoder)
    step, exact = next(fed), next(data.feed())
    fed.close()
    batch, other = step.micro_batches[0], exact.micro_batches[0]
    assert batch["pixel_means"].dtype == torch.bfloat16
    assert torch.equal(batch["pixel_means"], other["pixel_means"].bfloat16())
    assert batch["input_ids"].dtype == torch.int64


def test_feeders_start_before_the_first_step_is_asked_for_and_end_without_it(data: Data):
    before = set(threading.enumerate())
    fed = data.feed(feed)
    (thread,) = (one for one in threading.enumerate() if one.name == "feed" and one not in before)
    fed.close()
    assert not thread.is_alive()


def test_a_feeder_that_is_killed_changes_nothing(data: Data, tmp_path: Path):
    fatal = tmp_path / "fatal"
    fatal.touch()
    steps = list(data.feed(feed, encoder=toy_encoder(data.folder, fatal=fatal)))
    assert not fatal.exists(), "a feeder was killed"
    assert all(same(here, there) for here, there in zip(data.feed(), steps, strict=True))


def test_every_micro_batch_has_an_image_where_the_dataset_has_any(tmp_path: Path):
    config = write_toy_data(tmp_path, 0, *(record(i, None) for i in range(6)), record(6, "1.png"), record(7, None))
    encoder = toy_encoder(tmp_path)
    prepared = prepare(config, encoder=encoder)
    optim = OptimConfig(batch_size=1, accumulation=1)
    data = msgspec.structs.replace(config.data, batching="padded")
    plan = plan_steps(*prepared.lengths(), optim, data, seed=0, world=1)
    assert prepared.filler == 6
    for step in feed_in_process(config, prepared, plan, rank=0, world=1, encoder=encoder):
        (batch,) = step.micro_batches
        assert len(step.record_ids) == 1
        assert len(batch["pixel_means"]) == 1
        assert int((batch["labels"] != IGNORED).sum()) == step.supervised
        assert len(batch["labels"]) == (1 if step.record_ids == ("r6@6",) else 2)


def test_text_alone_gets_no_further_rows(tmp_path: Path):
    config = write_toy_data(tmp_path, 0, *(record(i, None) for i in range(3)))
    encoder = toy_encoder(None)
    prepared = prepare(config, encoder=encoder)
    plan = plan_steps(*prepared.lengths(), OptimConfig(batch_size=3), config.data, seed=0, world=1)
    (step,) = feed_in_process(config, prepared, plan, rank=0, world=1, encoder=encoder)
    assert [batch["labels"].shape[0] for batch in step.micro_batches] == [1, 1]  # the other is the empty one
    assert sum(int((batch["labels"] != IGNORED).sum()) for batch in step.micro_batches) == prepared.supervised


@pytest.mark.parametrize("how", [feed, feed_in_process])
def test_an_image_that_is_gone_stops_the_run_with_its_path(data: Data, how: Any):
    path = data.folder / "1.png"
    kept = path.read_bytes()
    path.unlink()
    try:
        with pytest.raises(InputError, match=r"record r\d+@\d+ could be encoded .*1\.png"):
            list(data.feed(how))
    finally:
        path.write_bytes(kept)


def test_an_image_of_another_size_stops_the_run(data: Data):
    path = data.folder / "1.png"
    kept = path.read_bytes()
    Image.new("RGB", (64, 64)).save(path)
    try:
        with pytest.raises(InputError, match=r"had 1\d tokens .* has 2\d now\. Its image 1\.png has changed"):
            list(data.feed())
    finally:
        path.write_bytes(kept)
