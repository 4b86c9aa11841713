"""What was seen, as a record keeps it."""

from collections.abc import Sequence
from typing import Any

import numpy as np

from colarepro.anatomy.gap import frank_wolfe_gap

Point = dict[str, Any]
"""One look: numbers, and arrays with an entry a target."""


def curves_of(points: Sequence[Point], radius: np.ndarray) -> dict[str, list[Any]]:
    """The points as a record's curves: an entry a point, which is a number, or a list with an entry a target, rank or
    angle (means over the targets). ``radius`` (targets,) is tau."""

    def column(name: str) -> np.ndarray:
        return np.array([point[name] for point in points])

    curves: dict[str, list[Any]] = {name: column(name).tolist() for name in ("step", "when")}
    for name in ("loss", "perplexity"):
        curves[name] = short(column(name))
    for name in ("inner", "largest", "nuclear", "shortfall"):  # with these the gap in any other ball can be had
        curves[name] = short(column(name))
    curves["gap"] = short(frank_wolfe_gap(column("inner"), column("largest"), radius))
    curves["epsilon"] = short((radius * column("shortfall")).sum(1))
    for name in ("gradient_norm", "delta_norm"):
        curves[name] = short(np.linalg.norm(column(name), axis=1))
    for name in ("rank", "stable_rank", "effective_rank", "intruders", "share", "cosine_top", "cosine_gradient"):
        curves[name] = short(column(name).mean(1))
    curves["spectrum"] = [short(point["spectrum"].mean(0)) for point in points]
    for name in ("angles_columns", "angles_rows", "angles_columns_chance", "angles_rows_chance"):
        curves[name] = [
            short(np.ma.masked_invalid(point[name]).mean(0).filled(np.nan)) if name in point else [] for point in points
        ]
    return curves


def short(numbers: np.ndarray) -> list[Any]:
    """Six digits of each, which is more than is known of them."""
    shortened: list[Any] = np.vectorize(lambda number: float(f"{number:.6g}"), otypes=[float])(numbers).tolist()
    return shortened
