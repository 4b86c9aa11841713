"""One run: ``colarepro run --task rte --method cola --data-dir FOLDER``."""

import argparse
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Annotated

import tyro
from rich.pretty import pprint
from transformers.utils import logging

from colarepro.errors import exit_cleanly
from colarepro.results import Store
from colarepro.runs import RunConfig, ranks
from colarepro.runs.config import config_from
from colarepro.runs.devices import confine, devices
from colarepro.runs.stored import run_stored
from colarepro.show import show
from colarepro.yaml_file import read_yaml


@dataclass(frozen=True)
class Arguments:
    """Fine-tune a language model on one task, judge it on the test set, and leave a record. A run that was interrupted
    goes on where its last checkpoint is. Under torchrun or accelerate launch many processes share its batches."""

    run: Annotated[RunConfig, tyro.conf.arg(name="")]
    config: Path | None = None
    """YAML file with any of the options below that describe the run; options given here win over it."""
    output: Path = Path("runs/llm")
    """Folder of records; a run that has a record there is not repeated."""
    device: str = "auto"
    """cpu, cuda, cuda:1; auto takes CUDA where there is one."""
    keep: bool = False
    """Keep the trained model in OUTPUT/models, for colarepro export."""
    shard: bool = False
    """Under torchrun, share the frozen weights out among the processes, too (FSDP2)."""
    report_to: str = "none"
    """A tracker that transformers knows, such as trackio, wandb, mlflow or tensorboard."""


def main() -> None:
    arguments = _parsed()
    logging.set_verbosity_error()
    logging.disable_progress_bar()
    if ranks.is_first():
        pprint(arguments.run, expand_all=True)
    store = Store(arguments.output)
    device = devices(arguments.device)[0]
    device = confine(device) if ranks.count() == 1 else device
    record = run_stored(
        arguments.run,
        store,
        device,
        progress=True,
        keep=arguments.keep,
        report_to=arguments.report_to,
        sharded=arguments.shard,
    )
    if ranks.is_first():
        show(record, store)
    ranks.leave()


def _parsed() -> Arguments:
    """The command line over the file that it names, if it names one."""
    finder = argparse.ArgumentParser(add_help=False, allow_abbrev=False)
    finder.add_argument("--config", type=Path)
    file = finder.parse_known_args()[0].config
    if file is None:
        return tyro.cli(Arguments)
    values = read_yaml(file)
    if isinstance(values, dict) and "task" not in values:  # the one field without a default; it may be an option
        run = replace(config_from(values | {"task": ""}, str(file)), task=tyro.MISSING)
    else:
        run = config_from(values, str(file))
    return tyro.cli(Arguments, default=Arguments(run=run, config=file))


if __name__ == "__main__":
    exit_cleanly(main)
