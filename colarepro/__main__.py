"""``colarepro COMMAND ...``, also ``python -m colarepro COMMAND ...``; every command is a module with a ``main``."""

import importlib
import sys

from rich.console import Console
from rich.table import Table

COMMANDS = {
    "run": "fine-tune one model on one task and judge it",
    "sweep": "many runs: reproduction, table1, chain-length and so on, or a YAML file",
    "plan": "what a sweep would take, before anything starts",
    "status": "what a folder of records holds",
    "show": "one record",
    "pack": "a folder's records in one small file",
    "export": "a kept model as an adapter or merged into its base",
    "tasks.table": "rows, labels and token lengths of the tasks",
    "anatomy": "what happens inside a chain: gap, spectrum, angles, intruders, forgetting",
    "models": "put a model that needs no hub into the cache",
    "doctor": "check a folder of records, the cache and the environment",
    "claims": "judge every claim by the records: CLAIMS.md and REPORT.md",
    "figures": "draw figures from records",
    "theory.synthetic": "test the theory",
    "bench": "training speed beside that of plain PEFT",
}


def main() -> None:
    """Hand over to a command, which is imported only now, so that a quick one stays quick."""
    words = sys.argv[1:]
    if not words or words[0] not in COMMANDS:
        table = Table("command", "", title="colarepro COMMAND --help", title_justify="left")
        for name, purpose in COMMANDS.items():
            table.add_row(name, purpose)
        asked_for_help = not words or words[0] in ("-h", "--help", "help")
        if not asked_for_help:
            print(f"colarepro: unknown command '{words[0]}'; expected one of {', '.join(COMMANDS)}.", file=sys.stderr)
            raise SystemExit(2)
        Console().print(table)
        return
    name = f"{words[0]}.__main__" if words[0] in ("anatomy", "models", "figures", "bench") else words[0]
    sys.argv = [f"colarepro {words[0]}", *words[1:]]
    module = importlib.import_module(f"colarepro.{name}")
    exit_cleanly = importlib.import_module("colarepro.errors").exit_cleanly
    exit_cleanly(module.main)


if __name__ == "__main__":
    main()
