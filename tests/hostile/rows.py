"""Rows of the official files, more or less."""

from typing import Any

from hypothesis import strategies as st

from .values import TEXTS, mappings

NUMBER = st.integers(0, 9)


def row(**columns: st.SearchStrategy[Any]) -> st.SearchStrategy[Any]:
    """Rows that have all of these columns, but for some accident."""
    return mappings(columns, required=tuple(columns))


ANSWER = row(text=TEXTS, idx=NUMBER, label=st.integers(0, 1))
QUESTION = row(question=TEXTS, idx=NUMBER, answers=st.lists(ANSWER, max_size=2))
SPANS = row(span1_text=TEXTS, span2_text=TEXTS, span1_index=st.integers(-1, 4), span2_index=st.integers(-1, 4))
OFFICIAL: dict[str, st.SearchStrategy[Any]] = {
    "rte": row(premise=TEXTS, hypothesis=TEXTS, label=st.sampled_from(["entailment", "not_entailment"]), idx=NUMBER),
    "multirc": row(idx=NUMBER, passage=row(text=TEXTS, questions=st.lists(QUESTION, max_size=2))),
    "wsc": row(text=TEXTS, label=st.booleans(), idx=NUMBER, target=SPANS),
}
OWN = mappings(
    {
        "text": TEXTS,
        "label": st.sampled_from(["Yes", "No", 0, 1, True]),
        "größe": TEXTS,
        "idx": st.one_of(NUMBER, st.dictionaries(st.sampled_from(["paragraph", "question", "answer"]), NUMBER)),
    },
    required=("text", "label", "größe"),
)
SCRAPS = (
    *(b"sentence", b"label", b"\t", b"\n", b"\r", b"0", b"1", b"x", b"{", b'"', b"NaN", b"\x00", b"\xff"),
    *(b"\xef\xbb\xbf", b"[" * 9000, b"1" * 9000, b'{"premise": "a", "hypothesis": "b", "label": "entailment"}\n'),
)
BYTES = st.one_of(st.binary(max_size=200), st.lists(st.sampled_from(SCRAPS), max_size=20).map(b"".join))
