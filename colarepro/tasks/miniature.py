"""Seven miniature tasks in the official layouts: ``python -m colarepro.tasks.miniature FOLDER``.

They stand in for the real data where neither a hub nor patience is at hand. Each keeps its model's question and
asks it of a small closed world, under a rule in which every single word is as common with one label as with the
other: who has what, which colour belongs to which thing, a negated adjective, a pronoun's gender, two senses.
"""

import json
import random
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any

import tyro

from colarepro.errors import ColaError, exit_cleanly
from colarepro.files import written_aside
from colarepro.tasks.task_file import load_task

WOMEN = ("Anna", "Clara", "Diana", "Emma", "Greta", "Helen", "Julia", "Laura")
MEN = ("Adam", "Boris", "Carl", "David", "Emil", "Felix", "Henry", "Oscar")
PEOPLE = WOMEN + MEN
THINGS = ("lamp", "chair", "clock", "kettle", "basket", "ladder", "mirror", "violin", "bottle", "hammer")
PLACES = ("kitchen", "garden", "cellar", "attic", "garage", "library", "harbour", "market", "station", "museum")
COLOURS = ("red", "blue", "green", "white", "black", "yellow")
TAKING = ("bought", "found", "kept", "sold")
PRAISE = ("charming", "clever", "moving", "bright", "witty", "tender", "lively", "graceful")
BLAME = ("dull", "clumsy", "boring", "noisy", "shallow", "bleak", "stale", "lazy")
WORKS = ("film", "story", "plot", "music", "ending", "cast", "play", "scene")
NEGATIONS = ("not", "never", "hardly")
STRESSES = ("very", "really", "quite")
OPENINGS = ("yes", "well", "sadly", "luckily", "today", "again")
MEETING = ("met", "thanked", "called", "followed")
MOODS = ("tired", "kind", "late", "hungry", "angry", "glad")
TWO_SENSES = ("bank", "bat", "seal", "crane", "mole", "spring", "trunk", "pitch")
NATURE = ("river", "pond", "forest", "meadow", "nest", "cave", "lake", "hill")
TRADE = ("office", "money", "letter", "engine", "contract", "factory", "ticket", "meeting")
SENSE_FRAMES = (
    "The {word} was near the {place}.",
    "They saw a {word} and the {place}.",
    "This {word} belongs to the {place}.",
)

Row = dict[str, Any]


def sst2(rng: random.Random, label: int) -> Row:
    """Praise, or blame negated, is positive."""
    negated = rng.random() < 0.5
    adjective = rng.choice(PRAISE if bool(label) != negated else BLAME)
    degree = rng.choice(NEGATIONS if negated else STRESSES)
    return {"sentence": f"{rng.choice(OPENINGS)} , the {rng.choice(WORKS)} was {degree} {adjective} ."}


def rte(rng: random.Random, label: int) -> Row:
    """Two people take one thing each; the hypothesis names one of the two things, or a third."""
    people, things = rng.sample(PEOPLE, 2), rng.sample(THINGS, 3)
    verb = rng.choice(TAKING)
    premise = f"{people[0]} {verb} the {things[0]} and {people[1]} {verb} the {things[1]}."
    return {"premise": premise, "hypothesis": f"Somebody {verb} the {things[2 if label else rng.randrange(2)]}."}


def cb(rng: random.Random, label: int) -> Row:
    """A thing is wanted (entailment), declined (contradiction), or not mentioned (neutral)."""
    things = rng.sample(THINGS, 3)
    wish = rng.choice(("the {} but not the {}", "not the {1} but the {0}")).format(*things)
    person = rng.choice(PEOPLE)
    return {"premise": f"{person} wants {wish}.", "hypothesis": f"{person} wants the {things[label]}"}


def wsc(rng: random.Random, label: int) -> Row:
    """A woman and a man meet; the pronoun's gender says which of them is meant."""
    people = [rng.choice(WOMEN), rng.choice(MEN)]
    rng.shuffle(people)
    meant, other = people if rng.random() < 0.5 else people[::-1]
    pronoun = "she" if meant in WOMEN else "he"
    text = f"{people[0]} {rng.choice(MEETING)} {people[1]} because {pronoun} was {rng.choice(MOODS)}."
    named = meant if label else other
    return {
        "text": text,
        "target": {
            "span1_index": text.split().index(named),
            "span1_text": named,
            "span2_index": 4,
            "span2_text": pronoun,
        },
    }


def wic(rng: random.Random, label: int) -> Row:
    """A word with two senses beside a word of nature or of trade; the same side is the same sense."""
    word = rng.choice(TWO_SENSES)
    side = rng.randrange(2)
    row: Row = {"word": word}
    for number, chosen in (("1", side), ("2", side if label else 1 - side)):
        sentence = rng.choice(SENSE_FRAMES).format(word=word, place=rng.choice((NATURE, TRADE)[chosen]))
        start = sentence.index(word)
        row |= {f"sentence{number}": sentence, f"start{number}": start, f"end{number}": start + len(word)}
    return row


def boolq(rng: random.Random, label: int) -> Row:
    """Two things of two colours; the question joins a thing to its own colour or to the other's."""
    things, colours = rng.sample(THINGS, 2), rng.sample(COLOURS, 2)
    passage = f"The {things[0]} is {colours[0]} and the {things[1]} is {colours[1]}."
    asked = rng.randrange(2)
    return {"question": f"is the {things[asked]} {colours[asked if label else 1 - asked]}", "passage": passage}


def multirc(rng: random.Random) -> Row:
    """Two people visit two places each; of four answers to a question, two name places that were visited."""
    people, places = rng.sample(PEOPLE, 2), rng.sample(PLACES, 8)
    text = " ".join(f"{people[i]} saw the {places[2 * i]} and the {places[2 * i + 1]}." for i in (0, 1))
    questions = []
    for i, asked in enumerate(("first", "then")):
        answers = [{"text": place, "label": int(k < 4)} for k, place in enumerate(places) if k % 4 // 2 == i]
        rng.shuffle(answers)
        questions.append({"question": f"What did they see {asked}?", "answers": answers})
    return {"passage": {"text": text, "questions": questions}}


@dataclass(frozen=True)
class Miniature:
    """Write the seven miniature tasks; the same arguments give the same bytes.

    Labels are balanced exactly, no question occurs twice, so none of validation's is in train.
    """

    folder: Annotated[Path, tyro.conf.Positional]
    """Where the seven folders are made."""
    train: int = 1200
    """Train examples a task."""
    validation: int = 300
    """Validation examples a task."""
    seed: int = 0

    def write(self) -> None:
        """Write all files; raises `ColaError` if the world is too small for so many different rows."""
        if min(self.train, self.validation) < 1:
            raise ColaError("The numbers of train and validation examples must be 1 or more.")
        for name, count in (("sst2", 2), ("rte", 2), ("cb", 3), ("wsc", 2), ("wic", 2), ("boolq", 2), ("multirc", 8)):
            task = load_task(name)
            rows = self._rows(name, count)
            for split, size in (("train", self.train), ("validation", self.validation)):
                units = -(-size // 8) if name == "multirc" else size  # a MultiRC row holds eight examples
                lines = _lines(name, [row | {"idx": idx} for idx, row in zip(range(units), rows, strict=False)])
                with written_aside(self.folder / task.folder / task.files[split]) as aside:
                    aside.write_text(lines, encoding="utf-8", newline="\n")

    def _rows(self, name: str, count: int) -> Iterator[Row]:
        """Different rows, endlessly; labels come in shuffled rounds of one each."""
        rng = random.Random(f"{name} {self.seed}")
        seen: set[str] = set()
        spellings: dict[str, tuple[Any, ...]] = {
            "sst2": (0, 1),
            "rte": ("entailment", "not_entailment"),
            "cb": ("entailment", "contradiction", "neutral"),
            "boolq": (False, True),
        }
        while True:
            for label in rng.sample(range(count), count) if name != "multirc" else (0,):
                for _ in range(1000):
                    row = multirc(rng) if name == "multirc" else RULES[name](rng, label)
                    if (key := json.dumps(row, sort_keys=True)) not in seen:
                        break
                else:
                    raise ColaError(f"The miniature {name} has no {self.train + self.validation} different rows.")
                seen.add(key)
                yield row if name == "multirc" else row | {"label": spellings.get(name, (False, True))[label]}


RULES: dict[str, Callable[[random.Random, int], Row]] = {
    "sst2": sst2,
    "rte": rte,
    "cb": cb,
    "wsc": wsc,
    "wic": wic,
    "boolq": boolq,
}


def _lines(name: str, rows: list[Row]) -> str:
    if name == "sst2":
        return "sentence\tlabel\n" + "".join(f"{row['sentence']}\t{row['label']}\n" for row in rows)
    if name == "multirc":
        question = answer = 0  # official numbers run through the file
        for row in rows:
            for entry in row["passage"]["questions"]:
                entry["idx"], question = question, question + 1
                for choice in entry["answers"]:
                    choice["idx"], answer = answer, answer + 1
    return "".join(json.dumps(row) + "\n" for row in rows)


if __name__ == "__main__":
    exit_cleanly(lambda: tyro.cli(Miniature).write())
