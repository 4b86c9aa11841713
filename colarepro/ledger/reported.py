"""What papers report, by number."""

from dataclasses import dataclass
from pathlib import Path

import pandas as pd

from colarepro.errors import ColaError

COLUMNS = ["source", "where", "model", "task", "arm", "quantity", "value", "certainty", "note"]
TITLES = {
    "cola": "COLA (arXiv 2401.04151)",
    "rac-lora": "RAC-LoRA (arXiv 2410.08305)",
    "beyond-lora": "Beyond LoRA (arXiv 2606.13767)",
}


@dataclass(frozen=True)
class Reported:
    """Rows of ``data/reported.csv``."""

    frame: pd.DataFrame

    @classmethod
    def read(cls, path: Path) -> "Reported":
        """Raises `ColaError` if the file is not there or has other columns."""
        try:
            frame = pd.read_csv(path, keep_default_na=False)
        except (OSError, ValueError) as error:
            raise ColaError(f"The reported numbers {path} could not be read: {error}.") from error
        if list(frame.columns) != COLUMNS:
            raise ColaError(f"{path} has the columns {', '.join(frame.columns)}; expected {', '.join(COLUMNS)}.")
        return cls(frame)

    def of(self, **wanted: str) -> pd.DataFrame:
        """The rows with these values, such as ``source="cola", task="rte"``."""
        rows = self.frame
        for column, value in wanted.items():
            rows = rows[rows[column] == value]
        return rows

    def say(self, sign: bool = False, **wanted: str) -> str:
        """The one such number with its certainty, ``70.63 (doubtful)``; raises `ColaError` unless there is one."""
        value, certainty = self.one(**wanted)
        return f"{value:{'+' if sign else ''}.2f} ({certainty})"

    def one(self, **wanted: str) -> tuple[float, str]:
        """The one such number and its certainty; raises `ColaError` unless there is one."""
        rows = self.of(**wanted)
        if len(rows) != 1:
            raise ColaError(f"{len(rows)} numbers are reported for {', '.join(wanted.values())}; expected one.")
        return float(rows["value"].iloc[0]), str(rows["certainty"].iloc[0])
