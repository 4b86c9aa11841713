"""Which shipped sweep makes an arm's records again; a test holds this to the sweeps' files."""

from collections.abc import Sequence

SWEEPS = {
    "reproduction": (
        "lora",
        "cola, length 2",
        "lora-restart, length 2",
        "lora-rank-sum, length 2",
        "cola, length 3",
        "lora-rank-sum, length 3",
        "cola, length 2, same A",
        "relora, length 2",
        "rac-lora, length 2",
        "asym-lora",
        "full",
        "linear-probe",
        "zero-shot",
    ),
    "rank-step-down": (
        "cola, knot 3, ranks 8-8",
        "cola, knot 3, ranks 8-6",
        "cola, knot 3, ranks 8-4",
        "cola, knot 3, ranks 8-2",
    ),
}


def command(model: str, dtype: str, arms: Sequence[str], tasks: Sequence[str]) -> str:
    """The commands that perform all runs of these arms on these tasks; empty for an arm that no sweep has."""
    found = []
    for name, known in SWEEPS.items():
        if own := [arm for arm in arms if arm in known]:
            arms = [arm for arm in arms if arm not in own]
            found.append(f"colarepro sweep {name} --model {model} --dtype {dtype} --task {' '.join(tasks)}")
    return "" if arms else "; ".join(found)
