"""What a user types: exit codes, one sentence, and no traceback."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]


def run(*words: str) -> subprocess.CompletedProcess[str]:
    environment = os.environ | {"HF_HUB_OFFLINE": "1", "OMP_NUM_THREADS": "1"}
    command = [sys.executable, "-m", *words]
    return subprocess.run(command, capture_output=True, text=True, check=False, cwd=ROOT, env=environment)


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (("colarepro.figures", "scorse"), "Unknown figure 'scorse'"),
        (("colarepro.run", "--task", "rtee"), "Unknown task 'rtee'"),
        (("colarepro.run", "--task", "rte", "--chain.length", "0"), "chain length is 0"),
        (("colarepro.run", "--task", "rte", "--device", "tpu9"), "'tpu9' is no device"),
        (("colarepro.models", "fetch", "smollm3"), "smollm3"),
    ],
)
def test_wrong_words_end_with_one_sentence(words: tuple[str, ...], message: str) -> None:
    done = run(*words)
    assert done.returncode == 2
    assert "Traceback" not in done.stderr
    assert message in " ".join(done.stderr.split())


def test_figures_list() -> None:
    done = run("colarepro.figures", "list")
    assert done.returncode == 0
    assert "generalization-gap" in done.stdout
