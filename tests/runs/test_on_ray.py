"""A sweep on a Ray cluster gives the records of a local one, whoever is killed meanwhile."""

import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from colarepro.results import Store
from colarepro.runs.run_all import run_all
from colarepro.runs.sweep import load_sweep
from tests.runs.nodes import Nodes, answers, kill, until


@pytest.fixture(scope="module")
def nodes() -> Iterator[Nodes]:
    nodes = Nodes(2)
    yield nodes
    nodes.stop()


@pytest.fixture(scope="module")
def sweep(tmp_path_factory: pytest.TempPathFactory, untrained: str, miniature: Path) -> Path:
    path = tmp_path_factory.mktemp("sweep") / "sweep.yaml"
    path.write_text(
        f"base: {{model: {untrained}, data_dir: {miniature}, task: rte, epochs: 20, train_examples: 16, "
        "dev_examples: 8, test_examples: 8}\naxes: {method: [lora, cola], seed: [0, 1]}"
    )
    return path


@pytest.fixture(scope="module")
def undisturbed(sweep: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Folder of the local sweep's records."""
    folder = tmp_path_factory.mktemp("undisturbed")
    run_all(load_sweep(str(sweep)).configs, Store(folder))
    return folder


def test_a_worker_and_a_node_are_killed(nodes: Nodes, sweep: Path, undisturbed: Path, tmp_path: Path) -> None:
    driver = nodes.drive(sweep, tmp_path)
    until(lambda: list(tmp_path.glob("unfinished/*/checkpoint-*")) and nodes.workers(), driver)
    kill(nodes.workers()[0])
    until(lambda: answers(tmp_path), driver)
    nodes.add()
    nodes.kill_node(0)
    said, _ = driver.communicate(timeout=60)
    assert driver.returncode == 0, said
    assert answers(tmp_path) == answers(undisturbed)
    assert len(answers(tmp_path)) == 4


def test_a_driver_is_killed_and_started_again(nodes: Nodes, sweep: Path, undisturbed: Path, tmp_path: Path) -> None:
    """What has a record is not asked again."""
    driver = nodes.drive(sweep, tmp_path)
    until(lambda: list(tmp_path.glob("*.json")), driver)
    driver.kill()
    driver.communicate()
    first = {path: path.stat().st_mtime_ns for path in tmp_path.glob("*.json")}
    again = nodes.drive(sweep, tmp_path)
    said, _ = again.communicate(timeout=60)
    assert again.returncode == 0, said
    assert answers(tmp_path) == answers(undisturbed)
    assert first == {path: path.stat().st_mtime_ns for path in first}


def test_a_folder_that_the_nodes_do_not_see(nodes: Nodes, sweep: Path, undisturbed: Path, tmp_path: Path) -> None:
    """This name is another folder in each process, as /home is on each machine."""
    driver = nodes.drive(sweep, Path("/proc/self/cwd/records"), cwd=tmp_path)
    until(nodes.workers, driver)
    kill(nodes.workers()[0])
    said, _ = driver.communicate(timeout=60)
    assert driver.returncode == 0, said
    assert answers(tmp_path / "records") == answers(undisturbed)
    assert [path.name for path in (tmp_path / "records" / "unfinished").iterdir()] == ["place"]
    kept = nodes.drive(sweep, Path("/proc/self/cwd/kept"), "--keep", cwd=tmp_path)
    said, _ = kept.communicate(timeout=60)
    assert kept.returncode == 2
    assert "does not see /proc/self/cwd/kept, where models and what is tracked are to be kept." in said


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (("--device", "cuda"), "the Ray cluster has no GPU"),
        (("--device", "cuda:1"), "on a Ray cluster expected auto, cpu or cuda"),
        (("--jobs", "2"), "on a Ray cluster expected none"),
    ],
)
def test_refusals(nodes: Nodes, sweep: Path, tmp_path: Path, words: tuple[str, ...], said: str) -> None:
    driver = nodes.drive(sweep, tmp_path, *words)
    output, _ = driver.communicate(timeout=60)
    assert driver.returncode == 2
    assert said in output.replace("\n", " ")
    assert "Traceback" not in output


def test_a_local_sweep_needs_no_ray() -> None:
    code = "import sys, colarepro.sweep; sys.exit('ray' in sys.modules)"
    subprocess.run([sys.executable, "-c", code], check=True)
