"""What a language-model run is compared as: its arm by name, and what else was asked of it."""

import json
from typing import Any

from colarepro.results.record import Record

COORDINATES = ("model", "dtype", "protocol", "task", "method", "learning_rate", "seed", "data_seed")
"""Fields of a run that have columns of their own or, like the method, are in the arm's name."""


def arm(record: Record) -> str:
    """The method, with what sets a run apart from the method's defaults: ``cola, dora, ranks 8-2``."""
    adapter, chain = record.config.get("adapter", {}), record.config.get("chain", {})
    words = [record.config["method"]]
    if adapter.get("variant", "lora") != "lora":
        words.append(adapter["variant"])
    if adapter.get("rank", 8) != 8:
        words.append(f"rank {adapter['rank']}")
    if chain.get("length"):
        words.append(f"length {chain['length']}")
    for unit in ("epochs", "steps"):
        if knots := chain.get(f"knot_{unit}"):
            after = "-".join(f"{knot:g}" for knot in knots)
            words.append(f"knot{'s' * (len(knots) > 1)} {after}{' steps' * (unit == 'steps')}")
    if chain.get("ranks"):
        words.append(f"ranks {'-'.join(map(str, chain['ranks']))}")
    if chain.get("learning_rate", "continue") != "continue":
        words.append(f"{chain['learning_rate']} LR")
    if chain.get("initialization", "fresh") != "fresh":
        words.append(f"{chain['initialization']} A")
    if chain.get("fold", "merge") != "merge":
        words.append(f"fold {chain['fold']}")
    return ", ".join(words)


def settings(record: Record) -> str:
    """Everything that was asked but the seeds, as text: runs of one text are repetitions."""
    return _text({name: value for name, value in record.config.items() if name not in ("seed", "data_seed")})


def rest(record: Record) -> str:
    """As `settings`, without what `COORDINATES` names and the arm's name says: epochs, batch size, alpha and so on."""
    asked = {name: value for name, value in record.config.items() if name not in COORDINATES}
    said = {
        "adapter": ("variant", "rank"),
        "chain": ("length", "knot_epochs", "knot_steps", "ranks", "learning_rate", "initialization", "fold"),
    }
    for part, names in said.items():
        if part in asked:
            asked[part] = {name: value for name, value in asked[part].items() if name not in names}
    return _text(asked)


def _text(asked: dict[str, Any]) -> str:
    return json.dumps(asked, sort_keys=True)
