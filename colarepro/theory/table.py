"""The theory records as tables for the terminal."""

import math
from collections.abc import Iterable, Sequence

from rich.table import Table

from colarepro.results import Record
from colarepro.theory.claims import verdicts

OUTCOMES = ("converged", "stalled", "still falling", "diverged")


def tables(records: Iterable[Record]) -> list[Table]:
    """One table an experiment that has one, and the claims last, where a terminal leaves them in sight."""
    found = list(records)

    def of(experiment: str) -> list[Record]:
        return [record for record in found if record.config["experiment"] == experiment]

    return [
        _convergence(of("convergence")),
        _counterexample(of("counterexample")),
        _generalization(of("generalization")),
        _digits(of("digits")),
        _claims(found),
    ]


def _table(title: str, columns: Sequence[str], left: int = 1) -> Table:
    table = Table(title=title, title_justify="left")
    for index, column in enumerate(columns):
        table.add_column(column, justify="left" if index < left else "right")
    return table


def _convergence(records: list[Record]) -> Table:
    problems = list(dict.fromkeys(record.config["problem"]["name"] for record in records))
    table = _table(
        f"Excess over the optimum after {_of(records, 'steps')} gradients, geometric mean over {_seeds(records)} seeds "
        "(robust: over a lower bound)",
        ["method", *problems],
    )
    for label in dict.fromkeys(record.config["label"] for record in records):
        cells = {r.config["problem"]["name"]: r for r in records if r.config["label"] == label}
        table.add_row(label, *(_excess(cells[name]) if name in cells else "" for name in problems))
    return table


def _excess(record: Record) -> str:
    if record.status == "diverged":
        return record.reason
    rate = record.scores.get("learning_rate")
    return f"{_number(record, 'excess_mean', '.1e')}" + (f" (lr {rate:g})" if rate else "")


def _counterexample(records: list[Record]) -> Table:
    factors = sorted({record.config["factor"] for record in records}, reverse=True)
    table = _table(
        f"RAC-LoRA's 3 x 3 quadratic, rank 1, {_seeds(records)} seeds: how runs end, and the mean excess of those that "
        "did not diverge",
        ["method", *(f"step {factor:g}/L" for factor in factors)],
    )
    for label in dict.fromkeys(record.config["label"] for record in records):
        row = {record.config["factor"]: record for record in records if record.config["label"] == label}
        table.add_row(label, *(_outcome(row[factor]) for factor in factors))
    return table


def _outcome(record: Record) -> str:
    words = [f"{record.scores[word]:.0f} {word}" for word in OUTCOMES if record.scores[word]]
    return ", ".join(words) + (f" ({_number(record, 'excess_mean', '.0e')})" if "excess_mean" in record.scores else "")


def _generalization(records: list[Record]) -> Table:
    table = _table(
        f"Test loss over {_seeds(records)} seeds, mean (at which length or rank); the true rank is "
        f"{records[0].config['problem']['rank'] if records else '-'}",
        ["noise, samples", *(labels := list(dict.fromkeys(record.config["label"] for record in records)))],
    )
    cells: dict[tuple[float, int], list[Record]] = {}
    for record in records:
        problem = record.config["problem"]
        cells.setdefault((problem["noise"], problem["samples"]), []).append(record)
    for (noise, samples), own in sorted(cells.items()):
        row = []
        for label in labels:
            best = min((r for r in own if r.config["label"] == label), key=lambda r: r.scores["test_loss_mean"])
            length = best.config["length"]
            row.append(f"{_number(best, 'test_loss_mean', '.2f')}" + (f" ({length})" if length else ""))
        table.add_row(f"{noise:g}, {samples}", *row)
    return table


def _digits(records: list[Record]) -> Table:
    table = _table(
        f"Digits 0-4 to 5-9, tanh network, {_of(records, 'steps')} steps of AdamW, {_seeds(records)} seeds",
        ["method", "trained at once", "rank", "test accuracy, % [95 %]", "learning rate"],
    )
    for record in records:
        table.add_row(
            record.config["label"],
            f"{record.scores['trained']:.0f}",
            _number(record, "rank_mean", ".1f"),
            _interval(record, "accuracy", ".1f"),
            f"{record.scores['learning_rate']:g}",
        )
    return table


def _claims(records: list[Record]) -> Table:
    table = _table("Claims, with what the records say", ["claim", "statement", "source", "verdict"], left=4)
    for claim, verdict in verdicts(records):
        table.add_row(claim.name, claim.statement, claim.source, verdict)
    return table


def _number(record: Record, name: str, form: str) -> str:
    value = record.scores.get(name)
    return "-" if value is None or not math.isfinite(value) else f"{value:{form}}"  # null where it was not finite


def _interval(record: Record, name: str, form: str) -> str:
    mean, low, high = (_number(record, f"{name}_{part}", form) for part in ("mean", "low", "high"))
    return f"{mean} [{low}, {high}]"


def _of(records: list[Record], key: str) -> str:
    return str(records[0].config[key]) if records else "-"


def _seeds(records: list[Record]) -> str:
    return str(len(records[0].config["seeds"])) if records else "-"
