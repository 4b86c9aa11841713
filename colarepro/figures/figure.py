"""What a figure is, and how it reaches the disk."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import matplotlib.pyplot as plt
import pandas as pd
from matplotlib.figure import Figure as Canvas

from colarepro.errors import ColaError
from colarepro.figures.style import style
from colarepro.files import written_aside
from colarepro.results import Record

Kind = Literal["llm", "theory", "anatomy", "both", "none"]


class NoRecordError(ColaError):
    """A figure has nothing to show."""


@dataclass(frozen=True)
class Written:
    """What `Figure.write` has left: the caption, and the suffixes of the files."""

    caption: str
    suffixes: tuple[str, ...]


@dataclass(frozen=True)
class Figure:
    """One figure or table: ``table`` turns records into the numbers shown (the CSV), ``draw`` shows them, ``caption``
    says what the marks, the intervals and n are.

    A picture is drawn as a canvas; a table as a frame of texts, since text can be copied, searched and read aloud,
    and LaTeX sets it better than a picture of it.
    """

    name: str
    title: str
    kind: Kind
    table: Callable[[Sequence[Record]], pd.DataFrame]
    draw: Callable[[pd.DataFrame], Canvas | pd.DataFrame]
    caption: Callable[[pd.DataFrame], str]

    def write(self, records: Sequence[Record], folder: Path) -> Written:
        """Write NAME.csv and NAME.pdf, NAME.png or, of a table, NAME.tex, NAME.html to ``folder``.

        Raises `NoRecordError` if there is nothing to show; files of an earlier call are then left as they were.
        """
        frame = self.table([record for record in records if self.kind in (record.kind, "both")])
        if frame.empty:
            wanted = "kinds 'llm' and 'theory'" if self.kind == "both" else f"kind '{self.kind}'"
            raise NoRecordError(f"The figure '{self.name}' found no record to draw; expected some of {wanted}.")
        with style():
            drawn = self.draw(frame)
            path = folder / self.name
            suffixes = _save_texts(drawn, path) if isinstance(drawn, pd.DataFrame) else _save_canvas(drawn, path)
        with written_aside(folder / f"{self.name}.csv") as aside:
            frame.to_csv(aside, index=False, float_format="%.6g")
        return Written(self.caption(frame), (*suffixes, ".csv"))


def _save_canvas(canvas: Canvas, path: Path) -> tuple[str, ...]:
    # No dates in the files, so that equal numbers give equal bytes.
    for suffix, metadata in ((".png", {"Software": None}), (".pdf", {"CreationDate": None})):
        with written_aside(path.with_suffix(suffix)) as aside:
            canvas.savefig(aside, metadata=metadata)
        canvas.set_layout_engine("none")  # laid out by now; a third of the time is saved
    plt.close(canvas)
    return ".pdf", ".png"


def _save_texts(texts: pd.DataFrame, path: Path) -> tuple[str, ...]:
    styler = texts.style.hide(axis="index").format(escape="latex").format_index(escape="latex", axis="columns")
    with written_aside(path.with_suffix(".tex")) as aside:
        aside.write_text(styler.to_latex(hrules=True), encoding="utf-8")
    with written_aside(path.with_suffix(".html")) as aside:
        aside.write_text(texts.to_html(index=False, border=0, justify="left"), encoding="utf-8")
    return ".tex", ".html"
