"""Small data sets in the official layouts, written for tests."""

import json
from pathlib import Path
from typing import Any

from colarepro.tasks import Task, load_task

ROWS: dict[str, list[dict[str, Any]]] = {
    "rte": [
        {"premise": "A dog ran.", "hypothesis": "An animal ran.", "label": "entailment", "idx": 0},
        {"premise": "A dog ran.", "hypothesis": "A cat ran.", "label": "not_entailment", "idx": 1},
    ],
    "cb": [
        {"premise": "He knows it.", "hypothesis": "it", "label": "entailment", "idx": 0},
        {"premise": "He denies it.", "hypothesis": "it", "label": "contradiction", "idx": 1},
        {"premise": "He asks.", "hypothesis": "it", "label": "neutral", "idx": 2},
    ],
    "wsc": [
        {
            "text": "Ann fed the cat before She slept.",
            "target": {"span1_index": 2, "span1_text": "The cat", "span2_index": 5, "span2_text": "She"},
            "label": False,
            "idx": 0,
        },
        {
            "text": "Ann fed the cat before She slept.",
            "target": {"span1_index": 0, "span1_text": "Ann", "span2_index": 5, "span2_text": "She"},
            "label": True,
            "idx": 1,
        },
    ],
    "wic": [
        {"word": "bank", "sentence1": "A river bank.", "sentence2": "A savings bank.", "label": False, "idx": 0},
        {"word": "bank", "sentence1": "A river bank.", "sentence2": "The west bank.", "label": True, "idx": 1},
    ],
    "boolq": [
        {"question": "is snow white", "passage": "Snow is white.", "label": True, "idx": 0},
        {"question": "Is {snow} black?", "passage": "  Snow is white.", "label": False, "idx": 1},
    ],
    "multirc": [
        {
            "idx": 7,
            "passage": {
                "text": "Ann and Bo ran.",
                "questions": [
                    {
                        "question": "Who ran?",
                        "idx": 3,
                        "answers": [{"text": "Ann", "idx": 8, "label": 1}, {"text": "Cy", "idx": 9, "label": 0}],
                    },
                    {"question": "Who sat?", "idx": 4, "answers": [{"text": "Bo", "idx": 10, "label": 0}]},
                ],
            },
        }
    ],
}


def write(folder: Path, name: str, train: str | None = None, validation: str | None = None) -> Task:
    """Write a task's two files, with the given text or with `ROWS`, and return the task."""
    task = load_task(name)
    (folder / task.folder).mkdir(parents=True, exist_ok=True)
    if name == "sst2":
        usual = 'sentence\tlabel\n a fine film \t1\n"dull\t0\n'
    else:
        usual = "".join(json.dumps(row) + "\n" for row in ROWS[name])
    for split, text in (("train", train), ("validation", validation)):
        (folder / task.folder / task.files[split]).write_text(usual if text is None else text)
    return task


def write_rte(folder: Path, train: int, validation: int = 5) -> Task:
    """RTE with numbered rows."""

    def rows(count: int, sign: str) -> str:
        labels = ("entailment", "not_entailment")
        return "".join(
            json.dumps({"premise": f"{sign}{i}", "hypothesis": "h", "label": labels[i % 2], "idx": i}) + "\n"
            for i in range(count)
        )

    return write(folder, "rte", rows(train, "t"), rows(validation, "v"))
