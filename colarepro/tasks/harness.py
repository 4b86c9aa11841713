"""A task's examples for EleutherAI's lm-evaluation-harness, so that it judges an export on what we judge it on."""

import json
from collections.abc import Sequence
from pathlib import Path

import yaml

from colarepro.files import written_aside
from colarepro.tasks.examples import Example
from colarepro.tasks.task import Task


def write_harness_task(task: Task, examples: Sequence[Example], folder: Path | str) -> Path:
    """Write ``folder``/colarepro_NAME.yaml and the prompts with their labels beside it, and return the YAML file.

    ``lm_eval --tasks colarepro_NAME --include_path folder`` then gives our predictions and our accuracy where every
    verbalizer is one token: the harness takes the sum of a verbalizer's log-probabilities, we take their mean. It also
    moves the line break that ends a prompt into the verbalizer, which changes nothing unless the tokenizer fuses it
    with what stands before it (``?\\n`` as one token).
    """
    folder, name = Path(folder).resolve(), f"colarepro_{task.name}"  # the harness has tasks of the plain names
    rows, description = folder / f"{name}.jsonl", folder / f"{name}.yaml"
    with written_aside(rows) as aside:
        aside.write_text("".join(json.dumps({"prompt": e.prompt, "label": e.label}) + "\n" for e in examples))
    content = {
        "task": name,
        "dataset_path": "json",
        "dataset_kwargs": {"data_files": {"test": str(rows)}, "cache_dir": str(folder / "cache")},
        "test_split": "test",
        "output_type": "multiple_choice",
        "doc_to_text": "{{prompt}}",
        "doc_to_target": "label",
        "doc_to_choice": list(task.verbalizers),
        "target_delimiter": "",  # what stands between prompt and verbalizer is the template's own
        "metric_list": [{"metric": "acc", "aggregation": "mean", "higher_is_better": True}],
    }
    with written_aside(description) as aside:
        aside.write_text(yaml.safe_dump(content, sort_keys=False, allow_unicode=True), encoding="utf-8")
    return description
