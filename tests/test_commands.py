"""What a user types: exit codes, what is printed, one sentence where something is wrong, and no traceback."""

import importlib.metadata
import json
import os
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import NamedTuple

import pytest
from peft import PeftConfig

from colarepro.__main__ import COMMANDS, main
from colarepro.results import Record, Store

ROOT = Path(__file__).parents[1]
QUICK = "epochs: 1, train_examples: 16, dev_examples: 8, test_examples: 8"


class Done(NamedTuple):
    """A command that has ended."""

    code: int
    out: str
    err: str


Command = Callable[..., Done]


@pytest.fixture
def command(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Iterator[Command]:
    """``colarepro WORDS`` in this process, since another one takes seconds to import what it needs."""
    monkeypatch.setenv("COLUMNS", "300")
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_OFFLINE", True)
    interrupted = signal.getsignal(signal.SIGINT)

    def call(*words: object) -> Done:
        monkeypatch.setattr(sys, "argv", ["colarepro", *map(str, words)])
        capsys.readouterr()
        try:
            main()
            code = 0
        except SystemExit as left:
            code = int(left.code or 0)
        out, err = capsys.readouterr()
        return Done(code, out, err)

    yield call
    signal.signal(signal.SIGINT, interrupted)


@pytest.fixture
def quick(untrained: str, miniature: Path, tmp_path: Path) -> Path:
    """A configuration file of a run that takes a second."""
    path = tmp_path / "quick.yaml"
    path.write_text(f"{{task: rte, method: lora, model: {untrained}, data_dir: {miniature}, {QUICK}}}")
    return path


def sentence(done: Done) -> str:
    """The one that a failed command ends with."""
    assert done.code == 2
    assert "Traceback" not in done.err
    lines = [line for line in done.err.splitlines() if line.startswith("colarepro: ")]
    assert len(lines) == 1
    return lines[0]


def test_every_way_in_is_the_same() -> None:
    """The installed word, and ``python -m`` with the package or one of its modules."""
    (script,) = importlib.metadata.entry_points(group="console_scripts", name="colarepro")
    assert script.load() is main
    ways: dict[str, list[str]] = {
        "unknown command 'rum'": ["colarepro", "rum"],
        "There is no folder nowhere": ["colarepro.status", "--output", "nowhere"],
    }
    for said, words in ways.items():
        done = subprocess.run(
            [sys.executable, "-m", *words],
            capture_output=True,
            text=True,
            check=False,
            cwd=ROOT,
            env=os.environ | {"HF_HUB_OFFLINE": "1", "OMP_NUM_THREADS": "1"},
        )
        assert said in sentence(Done(done.returncode, done.stdout, done.stderr))


@pytest.mark.parametrize("words", [(), ("--help",)])
def test_no_command_lists_them(command: Command, words: tuple[str, ...]) -> None:
    done = command(*words)
    assert done.code == 0
    assert all(name in done.out for name in COMMANDS)


def test_an_unknown_command_is_named(command: Command) -> None:
    assert sentence(command("rum")).startswith("colarepro: unknown command 'rum'; expected one of run, sweep, plan")


@pytest.mark.parametrize("name", COMMANDS)
def test_every_command_has_help(command: Command, name: str) -> None:
    done = command(name, "--help")
    assert done.code == 0
    assert done.out.startswith(f"usage: colarepro {name}")


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (("run", "--task", "rtee"), "Unknown task 'rtee'"),
        (("run", "--task", "rte", "--device", "tpu9"), "'tpu9' is no device"),
        (("run", "--config", "nowhere.yaml"), "nowhere.yaml could not be read"),
        (("sweep", "table9"), "Unknown sweep 'table9'"),
        (("sweep", "table1", "--jobs", "-1"), "jobs is -1"),
        (("sweep", "table1", "--report-to", "tensorbored"), "Unknown tracker 'tensorbored'"),
        (("plan", "nowhere.yaml"), "nowhere.yaml could not be read"),
        (("plan", "cost"), "could not be read from the hub"),
        (("status", "--output", "nowhere"), "There is no folder nowhere"),
        (("tasks.table", "--tasks", "rtee"), "Unknown task 'rtee'"),
        (("models", "fetch", "smollm3"), "Unknown model 'smollm3'"),
        (("figures", "scorse"), "Unknown figure 'scorse'"),
    ],
    ids=str,
)
def test_wrong_words_end_with_one_sentence(command: Command, words: tuple[str, ...], said: str) -> None:
    assert said in sentence(command(*words))


@pytest.mark.parametrize(
    "words",
    [
        ("claims", "--output", "FILE"),
        ("figures", "algorithm", "--output", "FILE"),
        ("tasks.table", "--tasks", "rte", "--data-dir", "data/miniature", "--output", "FILE/x.csv"),
        ("models", "fetch", "tiny"),
    ],
    ids=str,
)
def test_a_file_where_a_folder_should_be_is_one_sentence(
    command: Command, words: tuple[str, ...], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(ROOT)
    monkeypatch.setattr("colarepro.claims.write", lambda _: {"CLAIMS.md": ""})
    (tmp_path / "file").write_text("kept")
    monkeypatch.setenv("COLAREPRO_CACHE", str(tmp_path / "file"))
    said = sentence(command(*(word.replace("FILE", str(tmp_path / "file")) for word in words)))
    assert said.startswith(f"colarepro: {tmp_path / 'file'}")
    assert "could not be read or written: " in said
    assert (tmp_path / "file").read_text() == "kept"


@pytest.mark.parametrize("option", ["--records", "--theory"])
def test_claims_of_no_records_are_refused_and_none_is_written(
    command: Command, option: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(ROOT)
    assert "There is no folder nothere with records" in sentence(
        command("claims", option, "nothere", "--output", tmp_path)
    )
    assert not list(tmp_path.iterdir())


def test_a_value_that_cannot_be_names_its_option(command: Command) -> None:
    done = command("run", "--task", "rte", "--chain.length", 0)
    assert done.code == 2
    assert "chain length is 0; expected 1" in " ".join(done.err.split())
    assert "Traceback" not in done.err


def test_figures_list(command: Command) -> None:
    done = command("figures", "list")
    assert done.code == 0
    assert "generalization-gap" in done.out


def test_a_run_from_a_file_with_an_option_that_wins(command: Command, quick: Path, tmp_path: Path) -> None:
    done = command("run", "--config", quick, "--seed", 4, "--adapter.rank", 2, "--output", tmp_path / "out")
    assert done.code == 0
    (record,) = Store(tmp_path / "out")
    asked = record.config
    assert (asked["method"], asked["epochs"], asked["seed"], asked["adapter"]["rank"]) == ("lora", 1, 4, 2)
    assert "learning_rate=0.0005" in done.out  # the whole configuration, defaults included
    assert record.identity in done.out

    again = command("run", "--config", quick, "--seed", 4, "--adapter.rank", 2, "--output", tmp_path / "out")
    assert again.code == 0
    assert next(iter(Store(tmp_path / "out"))) == record


def test_a_file_without_a_task_leaves_it_to_the_option(command: Command, quick: Path, tmp_path: Path) -> None:
    quick.write_text(quick.read_text().replace("task: rte, ", "").replace("lora", "zero-shot"))
    assert command("run", "--config", quick, "--output", tmp_path / "out").code == 2
    assert command("run", "--config", quick, "--task", "wic", "--output", tmp_path / "out").code == 0
    assert [record.config["task"] for record in Store(tmp_path / "out")] == ["wic"]


def test_a_wrong_key_in_a_file_is_named_with_the_file(command: Command, quick: Path) -> None:
    quick.write_text("{task: rte, lerning_rate: 1e-3}")
    assert sentence(command("run", "--config", quick)) == f"colarepro: {quick}: the key lerning_rate is no known key."


@pytest.fixture
def swept(command: Command, quick: Path, tmp_path: Path) -> tuple[Done, Path, Path]:
    """A sweep of three runs, one of which fails: how it ended, its file and its folder."""
    path, out = tmp_path / "sweep.yaml", tmp_path / "out"
    path.write_text(
        f"description: Three runs.\nbase: {quick.read_text()}\n"
        "axes: {arm: [{method: lora}, {method: lora, adapter: {targets: [nothing]}}, {method: zero-shot}]}"
    )
    return command("sweep", path, "--output", out), path, out


def test_a_sweep_whose_one_run_fails(command: Command, swept: tuple[Done, Path, Path]) -> None:
    done, path, out = swept
    assert "Some runs failed" in sentence(done)
    assert {record.status for record in Store(out)} == {"done", "failed"}
    (failed,) = (record for record in Store(out) if record.status == "failed")
    reason = "No layer of OPTForCausalLM is named nothing."
    assert failed.reason == reason
    assert f"failed: {failed.identity} (lora, rte): {reason}" in done.out
    assert "3 of 3 runs have a record" in done.out

    before = {record.identity: record for record in Store(out)}
    assert sentence(command("sweep", path, "--output", out, "--retry-failed"))
    assert {record.identity: record for record in Store(out) if record.status == "done"} == {
        name: record for name, record in before.items() if record.status == "done"
    }

    status = command("status", "--output", out)
    assert status.code == 0
    assert reason in status.out

    plan = command("plan", path, "--output", out, "--task", "rte", "wic")
    assert plan.code == 2  # what cannot run cannot be planned
    assert reason in sentence(plan)


def test_a_plan_counts_what_is_to_do(command: Command, quick: Path, tmp_path: Path) -> None:
    out, path = tmp_path / "out", tmp_path / "sweep.yaml"
    path.write_text(f"description: Both.\nbase: {quick.read_text()}\naxes: {{method: [zero-shot, cola], seed: [0, 1]}}")
    command("run", "--config", quick, "--method", "zero-shot", "--output", out)
    done = command("plan", path, "--output", out)
    assert done.code == 0
    rows = [[cell.strip() for cell in line.split("│")[1:-1]] for line in done.out.splitlines() if "│" in line]
    assert [row[:4] for row in rows] == [
        ["rte", "zero-shot", "1", "0"],
        ["rte", "cola", "2", "2"],
        ["all", "", "3", "2"],
    ]
    assert "Both." in done.out


def test_show_and_export(command: Command, quick: Path, tmp_path: Path) -> None:
    out = tmp_path / "out"
    for method in ("lora", "full"):
        command("run", "--config", quick, "--method", method, "--output", out, "--keep")
    command("run", "--config", quick, "--output", out, "--seed", 5)
    by = {(record.config["method"], record.config["seed"]): record.identity for record in Store(out)}
    lora, full, unkept = by["lora", 0], by["full", 0], by["lora", 5]

    shown = command("show", lora[:10], "--output", out)
    assert shown.code == 0
    assert "'learning_rate': 0.0005" in shown.out
    assert "test accuracy" in shown.out
    assert f"0 records in {out} have a name that begins with 'abcdef" in sentence(
        command("show", "abcdef0123456789", "--output", out)
    )
    assert "'../x' is no identity of a run" in sentence(command("show", "../x", "--output", out))
    assert f"3 records in {out} have a name" in sentence(command("show", "", "--output", out))

    adapter = tmp_path / "adapter"
    done = command("export", lora, adapter, "--output", out)
    assert (done.code, done.out.strip()) == (0, str(adapter))
    assert PeftConfig.from_pretrained(str(adapter)).r == 8
    assert "exists already" in sentence(command("export", lora, adapter, "--output", out))
    assert "perform the run again with --keep" in sentence(command("export", unkept, tmp_path / "x", "--output", out))
    assert "no adapter holds" in sentence(command("export", full, tmp_path / "x", "--output", out))
    base = json.loads(quick.read_text().partition("model: ")[2].partition(",")[0].join('""'))
    words = ("--to", "merged", "--model", base, "--output", out)
    assert command("export", lora, tmp_path / "merged", *words).code == 0
    assert (tmp_path / "merged" / "model.safetensors").exists()
    assert (tmp_path / "merged" / "tokenizer.json").exists()


def test_packed_records_are_as_good_as_single_ones(
    command: Command, swept: tuple[Done, Path, Path], tmp_path: Path
) -> None:
    """They are counted, shown, and not performed again."""
    _, path, out = swept
    packed = command("pack", out, out / "all.jsonl.xz")
    assert packed.code == 0
    assert packed.out.startswith(f"3 new records, 3 now in {out / 'all.jsonl.xz'}: 0.0")
    single = {record.identity: record for record in Store(out)}
    counted = command("status", "--output", out).out
    for name in single:
        (out / f"{name}.json").unlink()
    assert command("status", "--output", out).out == counted
    assert sentence(command("sweep", path, "--output", out))  # one of them failed, and still has
    assert not list(out.glob("*.json"))
    (name,) = (name for name, record in single.items() if record.config["method"] == "zero-shot")
    shown = command("show", name, "--output", out).out
    assert str(out / "all.jsonl.xz") in "".join(shown.split())
    assert "ends in .jsonl.xz" in sentence(command("pack", out, tmp_path / "all.json"))


def test_a_doctor_names_and_repairs(
    command: Command, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setenv("COLAREPRO_CACHE", str(tmp_path / "cache"))
    out = tmp_path / "out"
    path = Store(out).put(Record("llm", {"task": "[b]rte", "method": "lora"}))
    assert command("doctor", out).code == 0
    path.write_text(path.read_text()[:30])
    assert command("status", "--output", out).code == 0
    assert f"{path} is not a whole record" in caplog.text
    ill = command("doctor", out)
    assert ill.code == 1
    assert f"{path} is not a whole record" in ill.out
    assert "Traceback" not in ill.err
    assert command("doctor", out, "--repair").code == 0
    assert not path.exists()
    assert command("doctor", out).code == 0
