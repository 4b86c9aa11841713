"""Many runs: done ones are skipped, failures are records, and nothing is lost."""

import dataclasses
import itertools
import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Iterable
from pathlib import Path
from typing import Literal

import pytest
from filelock import FileLock

from colarepro.errors import ColaError
from colarepro.results import Record, Store
from colarepro.runs import RunConfig, stored
from colarepro.runs.run_all import run_all
from colarepro.runs.stored import BusyError, run_stored
from tests.runs.test_perform import comparable


@pytest.fixture
def configs(untrained: str, miniature: Path) -> list[RunConfig]:
    base = RunConfig(
        task="rte",
        method="lora",
        model=untrained,
        data_dir=miniature,
        epochs=1,
        train_examples=16,
        dev_examples=8,
        test_examples=8,
    )
    return [dataclasses.replace(base, seed=seed) for seed in range(3)]


@pytest.fixture
def performed(monkeypatch: pytest.MonkeyPatch) -> list[RunConfig]:
    """Every configuration that is really performed."""
    seen: list[RunConfig] = []
    original = stored.perform

    def counted(config: RunConfig, *arguments: object, **options: object) -> object:
        seen.append(config)
        return original(config, *arguments, **options)  # type: ignore[arg-type]

    monkeypatch.setattr(stored, "perform", counted)
    return seen


@pytest.fixture
def fleets(monkeypatch: pytest.MonkeyPatch) -> list[list[RunConfig]]:
    """Every fleet or run that is attempted, in order; nothing is trained."""
    attempted: list[list[RunConfig]] = []

    def attempt(configs: list[RunConfig], *_: object) -> int:
        attempted.append(configs)
        return len(configs)

    monkeypatch.setattr("colarepro.runs.run_all.attempt", attempt)
    return attempted


def put(store: Store, configs: Iterable[RunConfig], status: Literal["done", "failed"] = "done") -> Store:
    """The store, with a record of each run."""
    for config in configs:
        store.put(Record("llm", config.question(), status=status))
    return store


def test_done_runs_are_skipped(configs: list[RunConfig], performed: list[RunConfig], tmp_path: Path) -> None:
    store = Store(tmp_path)
    run_all(configs[:2], store)
    records = run_all(configs, store)
    assert performed == configs
    assert [record.config["seed"] for record in records] == [0, 1, 2]
    assert not list((tmp_path / "unfinished").iterdir())


def test_runs_whose_model_is_to_be_kept_are_performed_again(
    configs: list[RunConfig], performed: list[RunConfig], tmp_path: Path
) -> None:
    """Once, and those alone that leave a model."""
    asked, store = [configs[0], dataclasses.replace(configs[0], method="zero-shot")], Store(tmp_path)
    first = run_all(asked, store)
    for _ in range(2):
        again = run_all(asked, store, keep=True)
    assert performed == [*asked, asked[0]]
    assert store.model(first[0].identity).exists()
    assert [comparable(record) for record in again] == [comparable(record) for record in first]


def test_a_record_outlives_a_model_that_cannot_be_kept(
    configs: list[RunConfig], tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def broken(*_: object, **__: object) -> object:
        raise RuntimeError("CUDA out of memory.")

    store = Store(tmp_path)
    first = run_all(configs[:1], store)
    monkeypatch.setattr(stored, "perform", broken)
    assert run_all(configs[:1], store, keep=True) == first
    said = f"the model of run {first[0].identity} was not kept: RuntimeError: CUDA out of memory."
    assert said in capsys.readouterr().err


def test_processes_give_the_same_records(configs: list[RunConfig], tmp_path: Path) -> None:
    alone, together = run_all(configs, Store(tmp_path / "1")), run_all(configs, Store(tmp_path / "2"), jobs=2)
    assert [comparable(record) for record in alone] == [comparable(record) for record in together]


def test_a_killed_sweep_is_made_of_the_same_fleets(
    configs: list[RunConfig], fleets: list[list[RunConfig]], tmp_path: Path
) -> None:
    """Of whichever there are records: a fleet finds its state by the runs that it is made of."""
    many = [dataclasses.replace(configs[0], seed=seed) for seed in range(10)]
    run_all(many, Store(tmp_path), fleet=3)
    whole = list(fleets)
    assert [len(runs) for runs in whole] == [2, 3, 2, 3]
    for count in (1, 2, 3):
        for ended in itertools.combinations(whole, count):
            fleets.clear()
            store = put(Store(tmp_path / f"{[whole.index(runs) for runs in ended]}"), itertools.chain(*ended))
            run_all(many, store, fleet=3)
            assert fleets == [runs for runs in whole if runs not in ended]


def test_an_extended_sweep_sails_in_fleets_as_large(
    configs: list[RunConfig], fleets: list[list[RunConfig]], tmp_path: Path
) -> None:
    """By a learning rate: what is new lies between what has records. Killed in turn, it is made of the same fleets."""
    rates = itertools.product(range(10), (1e-3, 5e-4, 1e-4))
    many = [dataclasses.replace(configs[0], seed=seed, learning_rate=rate) for seed, rate in rates]
    store = put(Store(tmp_path), [config for config in many if config.learning_rate > 1e-4])
    run_all(many, store, fleet=3)
    assert [len(runs) for runs in fleets] == [3, 3, 3, 1]
    whole = list(fleets)
    fleets.clear()
    run_all(many, put(store, whole[0]), fleet=3)
    assert fleets == whole[1:]


def test_a_run_that_failed_does_not_keep_others_from_their_fleet(
    configs: list[RunConfig], fleets: list[list[RunConfig]], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def size(runs: list[RunConfig], *_: object, **__: object) -> int:
        if configs[0] in runs:
            raise ColaError("Rank 200 is more than a layer can hold.")
        return 3

    monkeypatch.setattr("colarepro.runs.run_all.fleet_size", size)
    store = put(Store(tmp_path), configs[:1], "failed")
    run_all(configs, store, ["cuda:0"])
    run_all(configs, store, ["cuda:0"], retry_failed=True)
    assert fleets == [configs[1:], *([config] for config in configs)]


def test_a_failure_is_a_record_and_stops_nothing(
    configs: list[RunConfig], performed: list[RunConfig], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    store, good = Store(tmp_path), stored.perform
    wrong = dataclasses.replace(configs[1], method="cola", adapter=dataclasses.replace(configs[1].adapter, rank=0))

    def broken(config: RunConfig, *arguments: object, **options: object) -> object:
        if config.seed == 2:
            raise RuntimeError("CUDA out of memory.\nTried to allocate")
        return good(config, *arguments, **options)  # type: ignore[arg-type]

    monkeypatch.setattr(stored, "perform", broken)
    records = run_all([configs[0], wrong, configs[2]], store)
    assert [record.status for record in records] == ["done", "failed", "failed"]
    assert records[1].reason == "The adapter's rank is 0; expected 1 or more."
    assert records[2].reason == "RuntimeError: CUDA out of memory."

    monkeypatch.setattr(stored, "perform", good)
    performed.clear()
    assert run_all([configs[2]], store)[0].status == "failed"  # not tried again unasked
    assert not performed
    assert run_all([configs[2]], store, retry_failed=True)[0].status == "done"


def test_a_run_that_another_process_is_on_is_left_to_it(configs: list[RunConfig], tmp_path: Path) -> None:
    store = Store(tmp_path)
    path = store.path("llm", configs[0].question())
    (tmp_path / "unfinished").mkdir()
    with FileLock(tmp_path / "unfinished" / f"{path.stem}.lock"):
        with pytest.raises(BusyError, match="Another process is on the run"):
            run_stored(configs[0], store, "cpu")
        assert [record.config["seed"] for record in run_all(configs[:2], store)] == [1]


def test_a_killed_worker_is_one_sentence(configs: list[RunConfig], tmp_path: Path) -> None:
    """As the system does when memory runs out: kill -9. Started again, the sweep is whole."""
    store = Store(tmp_path)
    many = [dataclasses.replace(configs[0], seed=seed, epochs=20) for seed in range(4)]

    def kill_one() -> None:
        import multiprocessing

        while not list(tmp_path.glob("unfinished/*/checkpoint-*")):
            time.sleep(0.02)
        os.kill(multiprocessing.active_children()[0].pid or 0, signal.SIGKILL)

    killer = threading.Thread(target=kill_one)
    killer.start()
    with pytest.raises(ColaError, match="A worker process was killed"):
        run_all(many, store, jobs=2)
    killer.join()
    assert [record.status for record in run_all(many, store, jobs=2)] == 4 * ["done"]


def test_a_folder_that_cannot_be_written_to_is_one_sentence(configs: list[RunConfig], tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(ColaError, match="cannot be written to: Not a directory"):
        run_stored(configs[0], Store(tmp_path / "file"), "cpu")


@pytest.mark.parametrize("jobs", [1, 2])
def test_interrupted_twice(
    configs: list[RunConfig], tmp_path: Path, untrained: str, miniature: Path, jobs: int
) -> None:
    """Ctrl-C, and again at once, as impatient people do: exit code 130, one sentence, and the sweep goes on later."""
    sweep = tmp_path / "sweep.yaml"
    sweep.write_text(
        f"base: {{model: {untrained}, data_dir: {miniature}, task: rte, method: cola, epochs: 8, train_examples: 16, "
        "dev_examples: 8, test_examples: 8}\naxes: {seed: [0, 1]}"
    )
    words = [
        sys.executable,
        "-m",
        "colarepro",
        "sweep",
        str(sweep),
        "--output",
        str(tmp_path / "out"),
        "--jobs",
        str(jobs),
    ]
    process = subprocess.Popen(words, stderr=subprocess.PIPE, stdout=subprocess.PIPE, text=True, start_new_session=True)
    while not list(tmp_path.glob("out/unfinished/*/checkpoint-*")):
        assert process.poll() is None, process.stderr.read() if process.stderr else ""
        time.sleep(0.02)
    for _ in range(2):  # the terminal's Ctrl-C reaches the whole process group
        os.killpg(process.pid, signal.SIGINT)
        time.sleep(0.05)
    _, said = process.communicate(timeout=60)
    assert process.returncode == 130
    assert "Traceback" not in said
    assert said.strip().splitlines()[-1] == "colarepro: interrupted; what was already written stays."
    subprocess.run(words, capture_output=True, check=True)
    assert [record.status for record in Store(tmp_path / "out")] == ["done", "done"]
