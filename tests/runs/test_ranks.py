"""Many processes that share one run compute what one process does."""

import dataclasses
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from colarepro.chain import Schedule
from colarepro.errors import ColaError
from colarepro.methods import Adapter
from colarepro.results import Record, Store
from colarepro.runs import RunConfig, perform, ranks
from colarepro.runs.checkpoints import MARK, MarkWhole
from colarepro.runs.perform import check_ranks
from colarepro.runs.run_all import run_all
from colarepro.runs.stored import run_stored
from tests.ranked import on_ranks


@pytest.fixture
def config(untrained: str, miniature: Path) -> RunConfig:
    """Three steps an epoch, the last of 5 examples; knots inside and at the end of an epoch. Nothing divides by two."""
    return RunConfig(
        task="rte",
        model=untrained,
        data_dir=miniature,
        epochs=3,
        train_examples=21,
        dev_examples=13,
        test_examples=19,
        learning_rate=3e-3,
        chain=Schedule(knot_steps=(3, 5)),
    )


def assert_same_run(one: Record, many: Record) -> None:
    """Up to rounding, and what padding costs: a rank pads to its own longest prompt."""
    assert many.config == one.config
    assert many.digests == one.digests
    assert many.status == one.status == "done"
    assert many.predictions == one.predictions
    assert many.curves.keys() == one.curves.keys()
    for name in one.curves:
        np.testing.assert_allclose(many.curves[name], one.curves[name], rtol=1e-6, err_msg=name)
    assert many.scores.keys() == one.scores.keys()
    for name in one.scores:
        np.testing.assert_allclose(many.scores[name], one.scores[name], rtol=1e-6, err_msg=name)
    for name in ("tokens", "parameters", "parameters_trained"):
        assert many.costs[name] == one.costs[name]
    assert many.costs["flops_train"] <= one.costs["flops_train"]


@pytest.mark.parametrize("sharded", [False, True])
def test_two_ranks_are_one(config: RunConfig, sharded: bool, tmp_path: Path) -> None:
    one = perform(config)
    work = lambda: (perform(config, sharded=sharded), torch.rand(1).item())  # noqa: E731
    (first, drawn), (second, otherwise) = on_ranks(2, tmp_path, work)
    assert_same_run(one, first)
    assert first.curves == second.curves
    assert first.predictions == second.predictions
    assert first.environment["processes"] == "2"
    assert drawn != otherwise  # and so would dropout be


def begin(config: RunConfig, folder: Path, **options: Any) -> None:
    """Perform a run until its first checkpoint is whole, at step 3; then an interruption comes."""
    original = MarkWhole.on_save

    def interrupted(*arguments: Any, **rest: Any) -> None:
        original(*arguments, **rest)
        raise KeyboardInterrupt

    with pytest.MonkeyPatch.context() as monkeypatch:
        monkeypatch.setattr(MarkWhole, "on_save", interrupted)
        perform(config, folder=folder, **options)


def test_a_checkpoint_of_two_ranks_goes_on_on_one(config: RunConfig, tmp_path: Path) -> None:
    folder = tmp_path / "work"
    ends = on_ranks(2, tmp_path, lambda: begin(config, folder, sharded=True))
    assert [type(end) for end in ends] == [KeyboardInterrupt] * 2
    assert (folder / "checkpoint-3" / MARK).exists()
    assert_same_run(perform(config), perform(config, folder=folder))


def test_a_checkpoint_of_one_rank_goes_on_on_two(config: RunConfig, tmp_path: Path) -> None:
    folder = tmp_path / "work"
    with pytest.raises(KeyboardInterrupt):
        begin(config, folder)
    first, _ = on_ranks(2, tmp_path, lambda: perform(config, folder=folder))
    assert_same_run(perform(config), first)


@pytest.mark.parametrize("method", ["full", "cola"])
def test_pieces_of_a_step_and_ranks_together(config: RunConfig, method: str, tmp_path: Path) -> None:
    """Two passes a step on two ranks, over full fine-tuning and a chain of links that PEFT builds anew."""
    adapter = dataclasses.replace(config.adapter, variant="dora")
    config = dataclasses.replace(config, method=method, adapter=adapter, epochs=2, learning_rate=1e-3)
    first, _ = on_ranks(2, tmp_path, lambda: perform(dataclasses.replace(config, accumulation=2)))
    assert_same_run(perform(config), first)


def test_two_ranks_leave_one_record(config: RunConfig, tmp_path: Path) -> None:
    store = Store(tmp_path / "records")

    def work() -> tuple[Record, Record]:
        record = run_stored(config, store, "cpu", keep=True, sharded=True)
        return record, run_stored(config, store, "cpu", sharded=True)

    (first, again), (second, _) = on_ranks(2, tmp_path, work)
    assert store.get("llm", config.question()) == first == again
    assert second.predictions == first.predictions
    assert not any((store.folder / "unfinished").iterdir())
    assert (store.model(first.identity) / "adapter" / "adapter_model.safetensors").exists()


def test_what_ranks_cannot_share_is_one_sentence(config: RunConfig, tmp_path: Path) -> None:
    """Rank 0 says it, the other one ends in silence."""
    refused: list[tuple[dict[str, Any], bool, str]] = [
        ({"batch_size": 7}, False, "2 processes with an accumulation of 1 do not divide the batch size, 7"),
        ({"accumulation": 8}, False, "2 processes with an accumulation of 8 do not divide the batch size, 8"),
        ({"method": "zero-shot"}, False, "zero-shot trains nothing by gradients, so expected one process, not 2"),
        ({"method": "full"}, True, "--shard shares out frozen weights, of which full has none"),
        ({"adapter": Adapter(variant="dora")}, True, "--shard has links merge by parts, which those of dora cannot"),
        ({"chain": Schedule(knot_steps=(3,), ranks=(8, 4))}, False, "The links have other ranks"),
    ]

    def work() -> list[str | int | None]:
        ends: list[str | int | None] = []
        for change, sharded, _ in refused:
            try:
                perform(dataclasses.replace(config, **change), sharded=sharded)
            except ColaError as error:
                ends.append(str(error))
            except SystemExit as end:
                ends.append(end.code)
        return ends

    first, second = on_ranks(2, tmp_path, work)
    assert second == [2] * len(refused)
    for said, (_, _, expected) in zip(first, refused, strict=True):
        assert expected in said
    with pytest.raises(ColaError, match="--shard shares weights among processes, of which there is one"):
        perform(config, sharded=True)


def test_a_trainer_that_would_wrap_a_sharded_model_is_refused(
    config: RunConfig, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("WORLD_SIZE", "2")
    monkeypatch.setattr("transformers.__version__", "5.18.1")
    with pytest.raises(ColaError, match=r"--shard needs transformers 5\.19, .*; here is 5\.18\.1"):
        check_ranks(config, sharded=True)
    monkeypatch.setattr("transformers.__version__", "5.19.0")
    with pytest.raises(ColaError, match="do not divide the batch size"):
        check_ranks(dataclasses.replace(config, batch_size=7), sharded=True)


@pytest.mark.parametrize(
    ("variables", "device", "message"),
    [
        ({"ACCELERATE_USE_DEEPSPEED": "true"}, "cpu", "launched with DeepSpeed"),
        ({"ACCELERATE_USE_FSDP": "true"}, "cpu", "launched with accelerate's FSDP; .* give the run --shard"),
        ({"LOCAL_WORLD_SIZE": "1000"}, "cuda:0", r"1000 processes on a machine with \d+ GPUs"),
    ],
)
def test_launchers_that_are_refused(
    variables: dict[str, str], device: str, message: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name, value in ({"WORLD_SIZE": "2", "RANK": "0", "LOCAL_RANK": "0"} | variables).items():
        monkeypatch.setenv(name, value)
    with pytest.raises(ColaError, match=message):
        ranks.join(device)
    monkeypatch.setenv("LOCAL_RANK", "1")
    for name, value in variables.items():
        monkeypatch.setenv(name, value)
    with pytest.raises(SystemExit):
        ranks.join(device)


def test_a_sweep_is_not_launched(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("WORLD_SIZE", "2")
    with pytest.raises(ColaError, match="launch it without torchrun"):
        run_all([], Store(tmp_path), ["cpu"])
