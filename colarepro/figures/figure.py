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


@dataclass(frozen=True)
class Figure:
    """One figure: ``table`` turns records into the numbers shown (the CSV), ``draw`` draws them, ``caption`` says
    what the marks, the intervals and n are."""

    name: str
    title: str
    kind: Literal["llm", "theory", "none"]
    table: Callable[[Sequence[Record]], pd.DataFrame]
    draw: Callable[[pd.DataFrame], Canvas]
    caption: Callable[[pd.DataFrame], str]

    def write(self, records: Sequence[Record], folder: Path) -> str:
        """Write NAME.csv, NAME.pdf and NAME.png to ``folder``; returns the caption.

        Raises `ColaError` if there is nothing to show; files of an earlier call are then left as they were.
        """
        frame = self.table([record for record in records if record.kind == self.kind])
        if frame.empty:
            raise ColaError(f"The figure '{self.name}' found no record to draw; expected some of kind '{self.kind}'.")
        with style():
            canvas = self.draw(frame)
            # No dates in the files, so that equal numbers give equal bytes.
            for suffix, metadata in ((".png", {"Software": None}), (".pdf", {"CreationDate": None})):
                with written_aside(folder / f"{self.name}{suffix}") as aside:
                    canvas.savefig(aside, metadata=metadata)
                canvas.set_layout_engine("none")  # laid out by now; a third of the time is saved
            plt.close(canvas)
        with written_aside(folder / f"{self.name}.csv") as aside:
            frame.to_csv(aside, index=False, float_format="%.6g")
        return self.caption(frame)
