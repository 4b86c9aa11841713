"""A sweep on a Ray cluster gives the records of a local one, whoever is killed meanwhile."""

import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from colarepro.errors import ColaError
from colarepro.results import Record, Store
from colarepro.runs import RunConfig, on_ray
from colarepro.runs.run_all import run_all
from colarepro.runs.sweep import load_sweep
from colarepro.sweep import main
from tests.runs.nodes import LIMIT, Nodes, answers, kill, records, until


@pytest.fixture(scope="module")
def nodes() -> Iterator[Nodes]:
    nodes = Nodes(2)
    yield nodes
    nodes.stop()


@pytest.fixture(scope="module")
def sweep(tmp_path_factory: pytest.TempPathFactory, untrained: str, miniature: Path) -> Path:
    path = tmp_path_factory.mktemp("sweep") / "sweep.yaml"
    path.write_text(
        f"base: {{model: {untrained}, data_dir: {miniature}, task: rte, epochs: 12, train_examples: 16, "
        "dev_examples: 8, test_examples: 8}\naxes: {method: [lora, cola], seed: [0, 1]}"
    )
    return path


@pytest.fixture(scope="module")
def undisturbed(sweep: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Folder of the local sweep's records."""
    folder = tmp_path_factory.mktemp("undisturbed")
    run_all(load_sweep(str(sweep)).configs, Store(folder))
    return folder


def test_a_worker_a_node_and_the_driver_are_killed(
    nodes: Nodes, sweep: Path, undisturbed: Path, tmp_path: Path
) -> None:
    """Started again, the driver asks nothing that has a record."""
    driver = nodes.drive(sweep, tmp_path)
    until(lambda: list(tmp_path.glob("unfinished/*/checkpoint-*")) and nodes.workers(), driver)
    kill(nodes.workers()[0])
    nodes.add()
    nodes.kill_node(0)
    until(lambda: records(tmp_path), driver)
    driver.kill()
    driver.communicate()
    first = {path: path.stat().st_mtime_ns for path in records(tmp_path)}
    again = nodes.drive(sweep, tmp_path)
    said, _ = again.communicate(timeout=LIMIT)
    assert again.returncode == 0, said
    assert answers(tmp_path) == answers(undisturbed)
    assert len(answers(tmp_path)) == 4
    assert first == {path: path.stat().st_mtime_ns for path in first}


def test_a_folder_that_the_nodes_do_not_see(nodes: Nodes, sweep: Path, undisturbed: Path, tmp_path: Path) -> None:
    """This name is another folder in each process, as a name may be on each machine."""
    driver = nodes.drive(sweep, Path("/proc/self/cwd/records"), cwd=tmp_path)
    until(nodes.workers, driver)
    kill(nodes.workers()[0])
    said, _ = driver.communicate(timeout=LIMIT)
    assert driver.returncode == 0, said
    assert answers(tmp_path / "records") == answers(undisturbed)
    assert [path.name for path in (tmp_path / "records" / "unfinished").iterdir()] == ["place"]


def test_what_a_cluster_cannot_do(nodes: Nodes, sweep: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("RAY_ADDRESS", nodes.cluster.address)
    monkeypatch.chdir(tmp_path)
    configs, store = load_sweep(str(sweep)).configs[:1], Store("/proc/self/cwd/records")
    with pytest.raises(ColaError, match="asked for, but the Ray cluster has no GPU"):
        run_all(configs, store, ["cuda"], on="ray")
    with pytest.raises(ColaError, match="on a Ray cluster expected auto, cpu or cuda"):
        run_all(configs, store, ["cuda:1"], on="ray")
    with pytest.raises(ColaError, match="does not see /proc/self/cwd/records, where models"):
        run_all(configs, store, ["auto"], on="ray", keep=True)
    monkeypatch.setattr(sys, "argv", ["sweep", str(sweep), "--on", "ray", "--jobs", "2"])
    with pytest.raises(ColaError, match="on a Ray cluster expected none"):
        main()


def test_every_fleet_is_sized_before_one_sails(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Both are the cluster's work, and to size one would wait behind those that sail."""
    happened: list[str] = []

    class Remote:
        def remote(self, *_: Any) -> object:
            happened.append("sails")
            return object()

    def units() -> Iterator[list[RunConfig]]:
        for _ in range(2):
            happened.append("sized")
            yield []

    monkeypatch.setattr(on_ray, "_remote", lambda *_: Remote())
    monkeypatch.setattr(on_ray, "_answer", lambda _: [])
    monkeypatch.setattr("ray.wait", lambda pending, num_returns: (pending[:1], pending[1:]))
    assert len(list(on_ray.on_nodes(units(), tmp_path, ["cpu"], 1, False, "none"))) == 2
    assert happened == ["sized", "sized", "sails", "sails"]


def test_a_failure_is_not_repeated_while_another_run_is_busy(
    untrained: str, miniature: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    busy, failing = (RunConfig(task="rte", model=untrained, data_dir=miniature, seed=seed) for seed in (0, 1))
    attempts: list[list[RunConfig]] = []

    def attempt(configs: list[RunConfig], *_: Any) -> None:
        attempts.append(configs)
        for config in configs:
            if config == failing:
                Store(tmp_path).put(Record("llm", config.question(), status="failed"))
            elif len(attempts) == 3:  # the other process is gone
                Store(tmp_path).put(Record("llm", config.question()))

    monkeypatch.setattr(on_ray, "attempt", attempt)
    monkeypatch.setattr(on_ray, "quiet_worker", lambda: None)
    monkeypatch.setattr("time.sleep", lambda _: None)
    asked = [(config, config.question()) for config in (failing, busy)]
    found = on_ray._perform(asked, tmp_path, on_ray._mark(tmp_path), "cpu", False, "none")
    assert [record.status for record in found] == ["failed", "done"]
    assert attempts == [[failing, busy], [busy], [busy]]


def test_a_name_is_no_path_even_beside_a_folder_called_so(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    for name in ("rte", "tiny", "own", "data"):
        (tmp_path / name).mkdir()
    named = RunConfig(task="rte", model="tiny")
    assert on_ray._absolute(named) == named
    on_hub = RunConfig(task="rte", model="some/model")
    assert on_ray._absolute(on_hub) == on_hub
    here = RunConfig(task="own/task.yaml", model="own", data_dir=Path("data"))
    there = RunConfig(task=f"{tmp_path}/own/task.yaml", model=f"{tmp_path}/own", data_dir=tmp_path / "data")
    assert on_ray._absolute(here) == there


def test_a_local_sweep_needs_no_ray() -> None:
    code = "import sys, colarepro.sweep; sys.exit('ray' in sys.modules)"
    subprocess.run([sys.executable, "-c", code], check=True)
