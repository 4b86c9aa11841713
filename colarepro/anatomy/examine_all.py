"""Many watched runs, side by side."""

from collections.abc import Sequence
from functools import partial

from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn

from colarepro.anatomy.examine import KIND, Question, examine_stored, is_missing
from colarepro.results import Record, Store
from colarepro.runs.side_by_side import side_by_side


def examine_all(questions: Sequence[Question], store: Store, devices: Sequence[str], jobs: int) -> list[Record]:
    """Examine what ``store`` lacks, or could not be done, and return the records there are, in the questions' order.

    ``jobs`` processes of one thread work at once, dealt over ``devices``. Raises `ColaError` if one is killed.
    """
    missing = [question for question in questions if is_missing(question, store)]
    columns = TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeElapsedColumn()
    with Progress(*columns) as bars:
        bar = bars.add_task(KIND, total=len(questions), completed=len(questions) - len(missing))
        for _ in side_by_side(partial(examine_stored, store=store), missing, devices, max(1, min(jobs, len(missing)))):
            bars.advance(bar)
    found = (store.get(KIND, question.config()) for question in questions)
    return [record for record in found if record is not None]
