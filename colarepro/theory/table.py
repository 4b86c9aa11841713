"""The theory records as tables for the terminal."""

import math
from collections.abc import Iterable

from rich.table import Table

from colarepro.results import Record


def tables(records: Iterable[Record]) -> list[Table]:
    """One table an experiment, in the records' order."""
    found = list(records)
    return [
        _convergence([r for r in found if r.config["experiment"] == "convergence"]),
        _generalization([r for r in found if r.config["experiment"] == "generalization"]),
        _bound([r for r in found if r.config["experiment"] == "bound"]),
    ]


def _convergence(records: list[Record]) -> Table:
    table = Table(
        title=f"Convergence: excess over the optimum after {_of(records, 'steps')} gradients, "
        f"geometric mean [95 % interval] over {_seeds(records)} seeds"
    )
    for column in ("problem", "method", "excess", "rank", "test loss", "learning rate"):
        table.add_column(column, justify="left" if column in ("problem", "method") else "right")
    for record in records:
        rate = record.scores.get("learning_rate")
        table.add_row(
            record.config["problem"]["name"],
            record.config["label"],
            _interval(record, "excess", ".1e") if record.status == "done" else record.reason,
            f"{record.scores['rank_mean']:.1f}",
            _interval(record, "test_loss", ".1e"),
            f"{rate:g} (tuned)" if rate else "1 / L" if "descent" in record.config["method"] else "",
        )
    return table


def _generalization(records: list[Record]) -> Table:
    table = Table(
        title=f"Generalisation: test loss and (test - train) after {_of(records, 'steps')} gradients, true rank "
        f"{records[0].config['problem']['rank'] if records else '-'}, mean [95 % interval] over {_seeds(records)} seeds"
    )
    labels = list(dict.fromkeys(r.config["label"] for r in records if r.config["length"]))
    rows: dict[str, dict[str, Record]] = {}
    for record in records:
        length = record.config["length"]
        # An arm without a rank has a row of its own, under the first column.
        row, column = (str(length), record.config["label"]) if length else (record.config["label"], labels[0])
        rows.setdefault(row, {})[column] = record
    for column in ("links or rank", *labels):
        table.add_column(column, justify="right")
    for name, cells in rows.items():
        table.add_row(name, *(_test_and_gap(cells[label]) if label in cells else "" for label in labels))
    return table


def _test_and_gap(record: Record) -> str:
    return f"{_interval(record, 'test_loss', '.2f')} ({record.scores['generalization_gap_mean']:.2f})"


def _bound(records: list[Record]) -> Table:
    table = Table(
        title=f"Theorem 4.1: average Frank-Wolfe gap / bound, {_seeds(records)} seeds, "
        f"T = 1 to {records[0].config['horizons'][-1] if records else '-'} (above 1 the theorem would fail)"
    )
    for column in (
        "problem",
        "radius / nuclear norm",
        "constant",
        "largest ratio",
        "ratio at the last T",
        "violations",
    ):
        table.add_column(column, justify="left" if column == "problem" else "right")
    for record in records:
        table.add_row(
            record.config["problem"]["name"],
            f"{record.config['radius_share']:g}",
            f"{record.scores['constant']:.3f}",
            f"{record.scores['tightest_ratio']:.3f}",
            _interval(record, "last_ratio", ".3f"),
            f"{record.scores['violations']:.0f}",
        )
    return table


def _interval(record: Record, name: str, form: str) -> str:
    mean, low, high = (record.scores[f"{name}_{part}"] for part in ("mean", "low", "high"))
    if mean is None or not math.isfinite(mean):  # a record read back holds null where a number was not finite
        return "-"
    if low is None or not math.isfinite(low):
        return f"{mean:{form}}"
    return f"{mean:{form}} [{low:{form}}, {high:{form}}]"


def _of(records: list[Record], key: str) -> str:
    return str(records[0].config[key]) if records else "-"


def _seeds(records: list[Record]) -> str:
    return str(len(records[0].config["seeds"])) if records else "-"
