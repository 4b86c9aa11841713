"""The official file layouts, read into flat rows with the columns that the hub's copies have.

Every reader yields ``(line, row)``; ``line`` counts from 1 and serves error messages.
"""

import json
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

from colarepro.errors import ColaError, quoted

Row = dict[str, Any]


def jsonl(path: Path) -> Iterator[tuple[int, Row]]:
    """SuperGLUE's JSON lines: one object a line. A task of one's own with such files needs no other layout."""
    for number, line in _lines(path):
        try:
            row = json.loads(line)
        except (ValueError, RecursionError) as error:  # ValueError: no JSON, or a number of thousands of digits
            said = error.msg if isinstance(error, json.JSONDecodeError) else error
            raise ColaError(f"{path}, line {number}: not a whole JSON object ({said}).") from error
        if not isinstance(row, dict):
            raise ColaError(f"{path}, line {number}: a JSON object was expected, not {line.strip()[:40]}.")
        yield number, row


def tsv(path: Path) -> Iterator[tuple[int, Row]]:
    """GLUE's tab-separated values: a header line, no quoting; the row's place is its ``idx``, as on the hub."""
    header: list[str] = []
    for number, line in _lines(path):
        cells = line.split("\t")
        if not header:
            header = cells
            if twice := [name for i, name in enumerate(header) if name in header[:i]]:
                raise ColaError(
                    f"{path}, line {number}: two columns are named {quoted(twice[0])}; expected one of each."
                )
            continue
        if len(cells) != len(header):
            names = f"{', '.join(header):.200}"
            raise ColaError(
                f"{path}, line {number}: {len(header)} columns were expected ({names}), found {len(cells)}."
            )
        yield number, dict(zip(header, cells, strict=True)) | {"idx": number - 2}


def _lines(path: Path) -> Iterator[tuple[int, str]]:
    """Lines of UTF-8 text without their ends, counted from 1; a byte-order mark and ``\\r\\n`` are accepted.

    Blank lines may end a file. One before a row is refused: it is more likely a lost row than meant.
    """
    blank = 0
    with path.open("rb") as file:  # decoded line by line, so that an error knows its line
        for number, raw in enumerate(file, start=1):
            try:
                line = raw.decode("utf-8-sig" if number == 1 else "utf-8").rstrip("\r\n")
            except UnicodeDecodeError as error:
                raise ColaError(f"{path}, line {number}: not UTF-8 text.") from error
            if not line.strip():
                blank = blank or number
            elif blank:
                raise ColaError(
                    f"{path}, line {blank}: a blank line, but rows follow; blank lines may only end a file."
                )
            else:
                yield number, line


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
            raise ColaError(
                f"{path}, line {number}: not in MultiRC's layout, where a passage has a text and questions, and a "
                f"question has answers ({error!s:.80})."
            ) from error


def wsc(path: Path) -> Iterator[tuple[int, Row]]:
    """WSC nests its two spans in ``target``; they come out flat and repaired as the hub's ``wsc.fixed`` has them.

    In about one row in seven of the official file a span's capital letter, final stop or line break is not that
    of the text. MeZO, whose templates we use, reads the repaired copy.
    """
    for number, row in jsonl(path):
        flat = row | (row["target"] if isinstance(row.get("target"), dict) else {})
        whole = flat.get("text")
        words = whole.split() if isinstance(whole, str) else []
        for span in ("span1", "span2"):
            text, place = flat.get(f"{span}_text"), flat.get(f"{span}_index")
            if not isinstance(text, str) or not text or not isinstance(place, int) or not 0 <= place < len(words):
                continue
            if text not in flat["text"]:
                first = text[0].lower() if words[place][0].islower() else text[0].upper()
                flat[f"{span}_text"] = (first + text[1:]).rstrip(".").replace("\n", " ")
        yield number, flat


LAYOUTS: Mapping[str, Callable[[Path], Iterator[tuple[int, Row]]]] = {
    "jsonl": jsonl,
    "tsv": tsv,
    "multirc": multirc,
    "wsc": wsc,
}
