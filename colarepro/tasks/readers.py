"""The official file layouts, read into flat rows with the columns that the hub's copies have.

Every reader yields ``(line, row)``; ``line`` counts from 1 and serves error messages.
"""

import json
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

from colarepro.errors import ColaError

Row = dict[str, Any]


def jsonl(path: Path) -> Iterator[tuple[int, Row]]:
    """SuperGLUE's JSON lines: one object a line."""
    with path.open(encoding="utf-8") as file:
        for number, line in enumerate(file, start=1):
            try:
                row = json.loads(line)
            except json.JSONDecodeError as error:
                raise ColaError(f"{path}, line {number}: not a whole JSON object ({error.msg}).") from error
            if not isinstance(row, dict):
                raise ColaError(f"{path}, line {number}: a JSON object was expected.")
            yield number, row


def tsv(path: Path) -> Iterator[tuple[int, Row]]:
    """GLUE's tab-separated values: a header line, no quoting; the row's place is its ``idx``, as on the hub."""
    with path.open(encoding="utf-8") as file:
        header = file.readline().rstrip("\n").split("\t")
        for number, line in enumerate(file, start=2):
            cells = line.rstrip("\n").split("\t")
            if len(cells) != len(header):
                raise ColaError(f"{path}, line {number}: {len(header)} columns were expected, found {len(cells)}.")
            yield number, dict(zip(header, cells, strict=True)) | {"idx": number - 2}


def multirc(path: Path) -> Iterator[tuple[int, Row]]:
    """MultiRC nests answers in questions in passages; one row an answer comes out."""
    for number, entry in jsonl(path):
        try:
            for question in entry["passage"]["questions"]:
                for answer in question["answers"]:
                    place = {"paragraph": entry["idx"], "question": question["idx"], "answer": answer["idx"]}
                    row = {"paragraph": entry["passage"]["text"], "question": question["question"]}
                    yield number, row | {"answer": answer["text"], "label": answer["label"], "idx": place}
        except (KeyError, TypeError) as error:
            raise ColaError(f"{path}, line {number}: not in MultiRC's layout ({error!r}).") from error


def wsc(path: Path) -> Iterator[tuple[int, Row]]:
    """WSC nests its two spans in ``target``; they come out flat and repaired as the hub's ``wsc.fixed`` has them.

    In about one row in seven of the official file a span's capital letter, final stop or line break is not that
    of the text. MeZO, whose templates we use, reads the repaired copy.
    """
    for number, row in jsonl(path):
        flat = row | (row["target"] if isinstance(row.get("target"), dict) else {})
        words = str(flat.get("text", "")).split()
        for span in ("span1", "span2"):
            text, place = flat.get(f"{span}_text"), flat.get(f"{span}_index")
            if not isinstance(text, str) or not text or not isinstance(place, int) or text in flat["text"]:
                continue
            if place < len(words):
                first = text[0].lower() if words[place][0].islower() else text[0].upper()
                flat[f"{span}_text"] = (first + text[1:]).rstrip(".").replace("\n", " ")
        yield number, flat


LAYOUTS: Mapping[str, Callable[[Path], Iterator[tuple[int, Row]]]] = {
    "jsonl": jsonl,
    "tsv": tsv,
    "multirc": multirc,
    "wsc": wsc,
}
