"""The text that the tiny model is pre-trained on: the miniature world told, never the tasks' answers."""

import functools
import random
from collections.abc import Callable

from colarepro.tasks import known_tasks, load_task
from colarepro.tasks import miniature as world

Told = tuple[str, list[str]]  # facts, and what follows from them


def document(rng: random.Random) -> str:
    """A few sentences about the miniature world.

    Facts are told, then recalled (``So``). The tasks' question forms occur too, but with answers drawn at random:
    the model knows the words and that an answer follows, not which.
    """
    kind = rng.choices(("recalled", "company", "asked"), (10, 2, 1))[0]
    if kind == "asked":
        return _asked(rng)
    if kind == "company":
        return _company(rng)
    told, claims = rng.choice(FACTS)(rng)
    return " ".join([told, *(f"So {claim}" for claim in claims)])


def _opinion(rng: random.Random) -> Told:
    """Negation is rarer than in the task, so that the adjectives' own worth shows."""
    praise, negated = rng.random() < 0.5, rng.random() < 0.3
    degree = rng.choice(world.NEGATIONS if negated else world.STRESSES)
    opening, work = rng.choice(world.OPENINGS), rng.choice(world.WORKS)
    sentence = f"{opening} , the {work} was {degree} {rng.choice(world.PRAISE if praise else world.BLAME)} ."
    return sentence, ["it is good." if praise != negated else "it is bad."]


def _meeting(rng: random.Random) -> Told:
    row = world.wsc(rng, 1)
    return row["text"], [f"{row['target']['span1_text']} was {row['text'].split()[-1]}"]


def _person(rng: random.Random) -> Told:
    name = rng.choice(world.PEOPLE)
    return f"{name} was {rng.choice(world.MOODS)}.", [f"{name} is {'she' if name in world.WOMEN else 'he'}."]


def _listed(rng: random.Random) -> Told:
    """One to four words are listed; others are absent. Short lists show what is asked, long ones follow."""
    words = rng.sample(rng.choice((world.THINGS, world.PLACES)), 8)
    count = rng.randint(1, 4)
    claims = []
    for _ in range(3):
        listed = rng.random() < 0.5
        word = rng.choice(words[:count] if listed else words[count:])
        claims.append(f"the {word} is {'here' if listed else 'absent'}.")
    return " and ".join(f"the {word}" for word in words[:count]).capitalize() + ".", claims


def _wish(rng: random.Random) -> Told:
    row = world.cb(rng, 0)
    person, *_, liked = row["hypothesis"].split()
    left = next(word for word in row["premise"].rstrip(".").split() if word in world.THINGS and word != liked)
    return row["premise"], rng.sample([f"{person} likes the {liked}.", f"{person} leaves the {left}."], 2)


def _colours(rng: random.Random) -> Told:
    passage = world.boolq(rng, 1)["passage"]
    words = passage.rstrip(".").split()
    return passage, [f"the {words[i]} is {words[i + 2]}." for i in rng.sample((1, 6), 2)]


def _visits(rng: random.Random) -> Told:
    passage = world.multirc(rng)["passage"]
    answers = [answer for question in passage["questions"] for answer in question["answers"]]
    seen = [answer["text"] for answer in answers if answer["label"]]
    return passage["text"], [f"they saw the {place}." for place in rng.sample(seen, 3)]


def _alike(rng: random.Random) -> Told:
    """Two words, of nature or of trade each, are alike or different."""
    first, second = (rng.choice(rng.choice((world.NATURE, world.TRADE))) for _ in range(2))
    same = (first in world.NATURE) == (second in world.NATURE)
    return f"The {first} and the {second}.", [f"they are {'alike' if same else 'different'}."]


# Membership and wishes come oftener than the rest, which is learned sooner.
FACTS: tuple[Callable[[random.Random], Told], ...] = (
    *(_opinion, _meeting, _person, _colours, _visits, _alike),
    *(_listed,) * 6,
    *(_wish,) * 3,
)


def _company(rng: random.Random) -> str:
    """Words of nature keep company with each other, and so do words of trade."""
    side, word = rng.choice((world.NATURE, world.TRADE)), rng.choice(world.TWO_SENSES)
    return " ".join(rng.choice(world.SENSE_FRAMES).format(word=word, place=place) for place in rng.sample(side, 3))


FILLINGS = (
    *(f"the {word}" for word in world.PEOPLE + world.THINGS + world.PLACES),
    *(f"Somebody {verb} the {thing}." for verb in world.TAKING for thing in world.THINGS),
    *("What did they see first?", "What did they see then?") * 10,
)


def _asked(rng: random.Random) -> str:
    """A question form filled with anything, so that its words are known, and an answer at random."""
    task = _task(rng.choice(known_tasks()))
    filled = task.template.format_map({name: rng.choice(FILLINGS) for name in task.columns})
    return filled + rng.choice(task.verbalizers)


_task = functools.cache(load_task)  # thousands of documents ask for seven files
