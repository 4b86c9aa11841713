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
    "reproduction-chain-length": (
        "cola, length 4",
        "cola, length 5",
        "cola, length 6",
    ),
    "reproduction-rank-step-down": (
        "cola, knot 3, ranks 8-8",
        "cola, knot 3, ranks 8-6",
        "cola, knot 3, ranks 8-4",
        "cola, knot 3, ranks 8-2",
    ),
    "reproduction-knots": (
        "cola, knot 1",
        "cola, knot 2",
        "cola, knot 3",
        "cola, knot 4",
        "cola, knot 1, restart LR",
        "cola, knot 2, restart LR",
        "cola, knot 3, restart LR",
        "cola, knot 4, restart LR",
        "cola, knot 1, same A",
        "cola, knot 2, same A",
        "cola, knot 3, same A",
        "cola, knot 4, same A",
        "cola, knot 1, restart LR, same A",
        "cola, knot 2, restart LR, same A",
        "cola, knot 3, restart LR, same A",
        "cola, knot 4, restart LR, same A",
    ),
}


def command(model: str, dtype: str, arms: Sequence[str], tasks: Sequence[str]) -> str:
    """The commands that perform all runs of these arms on these tasks, or without any on those of the sweeps; empty for
    an arm that no sweep has."""
    found = []
    chosen = f" --task {' '.join(tasks)}" if tasks else ""
    for name, known in SWEEPS.items():
        if own := [arm for arm in arms if arm in known]:
            arms = [arm for arm in arms if arm not in own]
            found.append(f"colarepro sweep {name} --model {model} --dtype {dtype}{chosen}")
    return "" if arms else "; ".join(found)
