"""The tasks: what is asked, where the data comes from, and how answers are judged."""

from colarepro.tasks.encode import Encoded, encode, tokenize
from colarepro.tasks.examples import Example, digest, load_examples
from colarepro.tasks.origin import origin
from colarepro.tasks.protocol import Protocol, Splits, draw
from colarepro.tasks.score import scores
from colarepro.tasks.task import Hub, Split, Task
from colarepro.tasks.task_file import known_tasks, load_task

__all__ = [
    "Encoded",
    "Example",
    "Hub",
    "Protocol",
    "Split",
    "Splits",
    "Task",
    "digest",
    "draw",
    "encode",
    "known_tasks",
    "load_examples",
    "load_task",
    "origin",
    "scores",
    "tokenize",
]
