"""How figures look: legible at column width, in print and in greyscale."""

from collections.abc import Iterator
from contextlib import contextmanager
from string import ascii_lowercase
from typing import Any

import matplotlib as mpl
import seaborn as sns
from matplotlib.axes import Axes

WIDTH = 6.75
"""Inches, a full text width."""
COLOURS = [
    sns.color_palette("colorblind").as_hex()[place] for place in (0, 1, 2, 3, 4, 5, 9, 7)
]  # no pale pink, no yellow
LINES = ("-", "--", "-.", ":", (0, (5, 1, 1, 1, 1, 1)), (0, (3, 3)), (0, (1, 3)))
MARKERS = ("o", "s", "^", "D", "v", "P", "X")
REFERENCE = "0.35"
"""Grey of bounds, majority lines and other things that are not measured runs."""


@contextmanager
def style() -> Iterator[None]:
    """Matplotlib settings of every figure, without a display."""
    settings: dict[Any, Any] = {
        "axes.grid": True,
        "axes.labelsize": 8,
        "axes.spines.right": False,
        "axes.spines.top": False,
        "axes.titlesize": 8.5,
        "figure.constrained_layout.use": True,
        "font.size": 8,
        "grid.alpha": 0.3,
        "legend.fontsize": 7,
        "legend.frameon": False,
        "lines.linewidth": 1.3,
        "lines.markersize": 4,
        "pdf.fonttype": 42,
        "savefig.dpi": 200,
        "svg.hashsalt": "colarepro",
        "xtick.labelsize": 7,
        "ytick.labelsize": 7,
    }
    with mpl.rc_context(settings):
        yield


def letter(axes: Axes, index: int, title: str) -> None:
    """Title of a panel, with its letter: a to z, then aa, ab and so on."""
    before, own = divmod(index, len(ascii_lowercase))
    name = (ascii_lowercase[before - 1] if before else "") + ascii_lowercase[own]
    axes.set_title(f"({name}) {title}", loc="left")
