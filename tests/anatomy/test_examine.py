"""A watched run: the run is what it is unwatched, and what is seen fits together."""

import dataclasses
import json
from pathlib import Path

import numpy as np
import pytest

from colarepro.anatomy.examine import KIND, Question, Text, examine, examine_stored, is_missing
from colarepro.anatomy.gap import frank_wolfe_gap
from colarepro.anatomy.perplexity import perplexity, tokens_of
from colarepro.chain import Schedule
from colarepro.errors import ColaError
from colarepro.methods import Adapter
from colarepro.models import load
from colarepro.results import Record, Store
from colarepro.runs import RunConfig, perform
from colarepro.runs.stored import claim

TEXT = Text("The cat is on the mat, and the dog is not. " * 30, tokens=300, window=64)
WHEN = {
    "lora": [(0, "start"), (3, "epoch"), (6, "epoch")],
    "cola": [
        (0, "start"),
        (2, "before knot"),
        (2, "after knot"),
        (3, "before knot"),
        (3, "after knot"),
        (6, "epoch"),
    ],
}


@pytest.fixture(scope="module")
def questions(untrained: str, miniature: Path) -> dict[str, Question]:
    """LoRA; and a chain with a knot within an epoch, and one at its end."""
    common = RunConfig(
        task="rte",
        method="lora",
        model=untrained,
        data_dir=miniature,
        epochs=2,
        train_examples=24,
        dev_examples=16,
        test_examples=20,
        learning_rate=1e-2,
    )
    chain = dataclasses.replace(common, method="cola", chain=Schedule(knot_steps=(2, 3)))
    return {run.method: Question(run, sample=10, text=TEXT) for run in (common, chain)}


@pytest.fixture(scope="module")
def seen(questions: dict[str, Question]) -> dict[str, Record]:
    return {method: examine(question, "cpu") for method, question in questions.items()}


@pytest.mark.parametrize("method", ["lora", "cola"])
def test_looking_does_not_change_the_run(method: str, questions: dict[str, Question], seen: dict[str, Record]) -> None:
    """Not by a bit: neither random numbers nor gradients are touched."""
    alone, watched = perform(questions[method].run), seen[method]
    assert watched.predictions == alone.predictions
    assert watched.digests == alone.digests
    assert {name: watched.scores[name] for name in alone.scores} == alone.scores
    for name in ("dev_step", "dev_loss", "dev_accuracy", "knots"):
        assert watched.curves[name] == alone.curves[name]
    assert watched.kind == KIND
    assert {name: watched.config[name] for name in alone.config} == alone.config


@pytest.mark.parametrize("method", ["lora", "cola"])
def test_looks_are_at_the_start_at_epochs_and_round_knots(method: str, seen: dict[str, Record]) -> None:
    curves = seen[method].curves
    assert list(zip(curves["step"], curves["when"], strict=True)) == WHEN[method]
    targets = len(curves["targets"])
    for name, curve in curves.items():
        if name in ("step", "when") or (name not in ("targets", "radius", "spectrum_last") and len(curve) > 4):
            assert len(curve) == len(WHEN[method]), name
    assert {len(row) for name in ("inner", "largest", "nuclear") for row in curves[name]} == {targets}
    json.loads(seen[method].to_json())


def test_the_gap_is_that_of_balls_that_hold_every_iterate(seen: dict[str, Record]) -> None:
    for record in seen.values():
        inner, largest, nuclear = (np.array(record.curves[name]) for name in ("inner", "largest", "nuclear"))
        radius = np.array(record.curves["radius"])
        np.testing.assert_allclose(radius, nuclear.max(0), rtol=1e-5)
        np.testing.assert_allclose(record.curves["gap"], frank_wolfe_gap(inner, largest, radius), rtol=1e-4)
        assert min(record.curves["gap"]) > 0
        assert nuclear[0].max() == inner[0].max() == 0
        assert record.scores["gap_last"] == record.curves["gap"][-1]


def test_a_knot_starts_a_link_and_leaves_the_delta(seen: dict[str, Record]) -> None:
    curves = seen["cola"].curves
    before, after, second, third = 1, 2, 3, 5
    for name in ("rank", "delta_norm", "intruders", "stable_rank"):
        assert curves[name][after] == pytest.approx(curves[name][before], rel=1e-4), name
    assert curves["spectrum"][after] == pytest.approx(curves["spectrum"][before] + [0] * 8, rel=1e-4, abs=1e-6)
    for name in ("loss", "perplexity", "gap"):  # in float32 the merge rounds
        assert curves[name][after] == pytest.approx(curves[name][before], rel=1e-3), name
    assert np.isnan([curves[name][after] for name in ("share", "epsilon", "cosine_top")]).all()
    assert np.isfinite([curves[name][second] for name in ("share", "epsilon", "cosine_top")]).all()
    assert [len(angles) for angles in curves["angles_columns"]] == [0, 0, 0, 8, 0, 8]
    assert [len(values) for values in curves["spectrum"]] == [8, 8, 16, 16, 24, 24]
    assert curves["rank"][third] > curves["rank"][before]


def test_links_that_start_from_one_A_read_from_nearby_spaces(questions: dict[str, Question]) -> None:
    run = dataclasses.replace(questions["cola"].run, chain=Schedule(knot_steps=(2,), initialization="same"))
    curves = examine(dataclasses.replace(questions["cola"], run=run), "cpu").curves
    assert np.mean(curves["angles_rows"][-1]) < 0.5 * np.mean(curves["angles_rows_chance"][-1])
    assert np.mean(curves["angles_rows"][-1]) < np.mean(curves["angles_columns"][-1])


def test_a_run_that_learns_nothing_forgets_nothing(questions: dict[str, Question], untrained: str) -> None:
    run = dataclasses.replace(questions["cola"].run, learning_rate=1e-30)
    record = examine(dataclasses.replace(questions["cola"], run=run), "cpu")
    assert record.scores["forgetting"] == 0
    assert record.scores["intruders_last"] == 0
    base = load(untrained)
    expected = perplexity(base.model, tokens_of(TEXT.content, base.tokenizer, 300), 64)
    assert record.scores["perplexity_last"] == pytest.approx(expected, rel=1e-5)


def test_a_restart_is_no_new_link(questions: dict[str, Question]) -> None:
    run = dataclasses.replace(questions["cola"].run, method="lora-restart")
    curves = examine(dataclasses.replace(questions["cola"], run=run), "cpu").curves
    assert list(zip(curves["step"], curves["when"], strict=True)) == WHEN["cola"]
    assert not any(curves["angles_columns"])
    assert np.isfinite(curves["share"][1:]).all()


def test_a_run_that_diverges_is_seen_until_then(questions: dict[str, Question]) -> None:
    run = dataclasses.replace(questions["cola"].run, learning_rate=1e30)
    record = examine(dataclasses.replace(questions["cola"], run=run), "cpu")
    assert record.status == "diverged"
    assert record.curves["when"][0] == "start"


@pytest.mark.parametrize(
    ("changes", "reason"),
    [
        ({"method": "full"}, "No link here is a product of two factors; expected a method that trains LoRA's"),
        ({"method": "zero-shot"}, "zero-shot trains nothing, so there is nothing to watch"),
        ({"adapter": Adapter(variant="loha")}, "No link here is a product of two factors"),
    ],
)
def test_what_has_no_factors_is_refused(
    changes: dict[str, object], reason: str, questions: dict[str, Question]
) -> None:
    run = dataclasses.replace(questions["cola"].run, **changes)  # type: ignore[arg-type]
    with pytest.raises(ColaError, match=reason):
        examine(dataclasses.replace(questions["cola"], run=run), "cpu")


def test_nothing_is_examined_twice(questions: dict[str, Question], seen: dict[str, Record], tmp_path: Path) -> None:
    question, store = questions["lora"], Store(tmp_path)
    assert is_missing(question, store)
    path = store.put(dataclasses.replace(seen["lora"], status="failed"))
    assert path == store.path(KIND, question.config())
    with claim(store, path.stem):  # another process is on it
        examine_stored(question, store, "cpu")
    assert is_missing(question, store)
    store.put(seen["lora"])
    written = path.stat().st_mtime_ns
    examine_stored(question, store, "cpu")
    assert path.stat().st_mtime_ns == written
    other = dataclasses.replace(question, text=dataclasses.replace(TEXT, content=TEXT.content + "And so on."))
    assert is_missing(other, store)


def test_a_failure_is_a_record_with_its_reason(questions: dict[str, Question], tmp_path: Path) -> None:
    run = dataclasses.replace(questions["cola"].run, method="full")
    question = dataclasses.replace(questions["cola"], run=run)
    examine_stored(question, Store(tmp_path), "cpu")
    record = Store(tmp_path).get(KIND, question.config())
    assert record is not None
    assert (record.kind, record.status) == (KIND, "failed")
    assert record.reason.startswith("No link here is a product of two factors")


def test_bfloat16_is_looked_at_as_it_is_trained(questions: dict[str, Question], seen: dict[str, Record]) -> None:
    """Several batches share autocast's copies of the factors."""
    run = dataclasses.replace(questions["cola"].run, dtype="bfloat16", batch_size=1)
    narrow = examine(dataclasses.replace(questions["cola"], run=run), "cpu").curves
    wide = seen["cola"].curves
    assert narrow["loss"][0] == pytest.approx(wide["loss"][0], rel=0.02)
    assert narrow["largest"][0] == pytest.approx(wide["largest"][0], rel=0.1)
