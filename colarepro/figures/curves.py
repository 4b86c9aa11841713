"""What the theory figures share: a record's curves as arrays, and lines that also differ in greyscale."""

from collections.abc import Iterable, Sequence
from typing import Any

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure as Canvas

from colarepro.figures.style import COLOURS, LINES, MARKERS
from colarepro.results import Record

Rows = list[dict[str, Any]]
Numbers = pd.Series | Sequence[float]


def of(records: Iterable[Record], *experiments: str) -> list[Record]:
    """The theory records of these experiments."""
    return [record for record in records if record.config.get("experiment") in experiments]


def curve(record: Record, name: str) -> np.ndarray:
    """One of a record's curves as floats (S, K); NaN after a seed's end."""
    return np.array(record.curves[name], dtype=float)


def geometric(steps: Sequence[int], points: int = 40) -> list[int]:
    """Places in ``steps`` of about evenly spaced values on a logarithmic axis, without a step 0."""
    wanted = np.unique(np.geomspace(1, max(steps), points).round())
    return [index for index, step in enumerate(steps) if step in wanted]


PALETTE = (*COLOURS, "black")
SHAPES = (*MARKERS, "<", ">")


def mark(index: int) -> dict[str, Any]:
    """Colour, line style and marker of the series with this number; markers and lines differ in greyscale."""
    return {
        "color": PALETTE[index % len(PALETTE)],
        "linestyle": LINES[index % len(LINES)],
        "marker": SHAPES[index % len(SHAPES)],
    }


def line(
    axes: Axes,
    index: int,
    x: Numbers,
    y: Numbers,
    band: tuple[Numbers, Numbers] | None = None,
    **options: Any,
) -> None:
    """Draw the series with this number, with its band from ``band[0]`` to ``band[1]`` behind it."""
    axes.plot(x, y, **{**mark(index), **options})
    if band is not None:
        axes.fill_between(x, *band, color=mark(index)["color"], alpha=0.15, linewidth=0)


def theory(axes: Axes, index: int, x: Numbers, y: Numbers, **options: Any) -> None:
    """Draw what theory says of the series with this number: dashed, with the series' marker hollow."""
    style = mark(index) | {"linestyle": "--", "markerfacecolor": "white", "linewidth": 0.9, "markeredgewidth": 0.8}
    axes.plot(x, y, **{**style, **options})


def bars(axes: Axes, index: int, x: Numbers, rows: pd.DataFrame, quantity: str, **options: Any) -> None:
    """Draw means of a quantity with the ends of their interval, from the columns ``_mean``, ``_low``, ``_high``."""
    mean = rows[f"{quantity}_mean"]
    ends = (mean - rows[f"{quantity}_low"], rows[f"{quantity}_high"] - mean)
    axes.errorbar(x, mean, yerr=ends, **{**mark(index), "capsize": 2, "elinewidth": 0.9, **options})


def legend(canvas: Canvas, columns: int, **options: Any) -> None:
    """One legend under the panels: every label of any of them, once."""
    handles: dict[str, Any] = {}
    for axes in canvas.axes:
        for handle, label in zip(*axes.get_legend_handles_labels(), strict=True):
            handles.setdefault(label, handle)
    canvas.legend(list(handles.values()), list(handles), loc="outside lower center", ncols=columns, **options)
