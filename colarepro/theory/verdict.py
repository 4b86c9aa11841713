"""What records say about a claim: one function a kind of claim, each from records to `Said`."""

from collections.abc import Callable, Sequence
from typing import NamedTuple

import numpy as np

from colarepro.results import Record, mean_interval


class Said(NamedTuple):
    """``text`` in words, and ``parts``, what is judged one by one: True holds, False fails, None cannot be told.

    A theorem is one part; what is no matter of yes or no has none.
    """

    text: str
    parts: tuple[bool | None, ...] = ()


Verdict = Callable[[Sequence[Record]], Said | None]
"""None if the records lack what the claim speaks of."""


def _score(record: Record, name: str) -> float:
    value = record.scores.get(name)
    return float("nan") if value is None else float(value)


def _violations(records: Sequence[Record]) -> int:
    return int(sum(_score(record, "violations") for record in records))


def labelled(records: Sequence[Record], *labels: str) -> list[Record]:
    """The records of these arms."""
    return [record for record in records if record.config["label"] in labels]


def theorem(constant: float) -> Verdict:
    """Theorem 4.1 with this constant, against how large a one the runs needed."""

    def verdict(own: Sequence[Record]) -> Said:
        needed = [_score(record, "needed_constant") for record in own]
        enough = [each <= constant for each in needed]
        iterates = sum(_score(record, "iterates") for record in own)
        word = f"holds in {len(own)} cases" if all(enough) else f"fails in {enough.count(False)} of {len(own)} cases"
        return Said(
            f"{word}, at every T that its condition allows, {iterates:,.0f} iterates; constants needed "
            f"{min(needed):.2f} to {max(needed):.2f} where {constant:.3g} is claimed",
            (all(enough),),
        )

    return verdict


def condition(records: Sequence[Record]) -> Said:
    """From which T on the theorem's step stays in the set."""
    first = max(_score(record, "first_valid") for record in records)
    return Said(f"needed for the step to stay in the set; the largest M/(βD²) here asks for T ≥ {first:.0f}")


def bound(records: Sequence[Record]) -> Said:
    """A bound from above; the fitted exponents of the first arm are shown, with bootstrap intervals."""
    if broken := _violations(records):
        return Said(f"fails at {broken} measurements", (False,))
    first = records[0].config["label"]
    slopes = [
        f"{_score(r, 'slope_mean'):.2f} [{_score(r, 'slope_low'):.2f}, {_score(r, 'slope_high'):.2f}]"
        for r in labelled(records, first)
    ]
    return Said(
        f"holds in {len(records)} cases, largest ratio {max(_score(r, 'tightest_ratio') for r in records):.2g}; "
        f"exponents measured for {first}: {', '.join(slopes)}",
        (True,),
    )


def hazan_luo(records: Sequence[Record]) -> Said | None:
    """The stochastic bound, its condition on the variance, and what a constant batch does instead."""
    own = labelled(records, "stochastic, growing batch")
    small = labelled(records, "stochastic, batch of 4")
    if not own or not small:
        return None
    variance = max(_score(record, "variance_ratio") for record in own)
    if broken := _violations(own):
        return Said(f"fails at {broken} measurements", (False,))
    final = [_score(record, "final_excess_mean") for record in own]
    stalled = [_score(record, "final_excess_mean") for record in small]
    return Said(
        f"holds, largest ratio {max(_score(r, 'tightest_ratio') for r in own):.2g} (variance at most {variance:.2g} of "
        f"what is allowed); a constant batch of 4 ends {np.median(np.divide(stalled, final)):.0f} times higher",
        (True,),
    )


def rac_exact(records: Sequence[Record]) -> Said:
    """Whether 1 - gamma mu r / n lies in the interval of the measured factor, for every rank."""
    missed = [
        record.config["method"]["rank"]
        for record in records
        if not _score(record, "factor_low") <= _score(record, "factor_bound") <= _score(record, "factor_high")
    ]
    if missed:
        return Said(f"fails for ranks {missed}: the 99 % interval of the factor misses 1 - γμr/n", (False,))
    errors = [abs(_score(r, "factor_mean") / _score(r, "factor_bound") - 1) for r in records]
    ranks = [record.config["method"]["rank"] for record in records]
    return Said(
        f"holds two-sided for r = {', '.join(map(str, ranks))}: 1 - γμr/n is in every 99 % interval, "
        f"means within {100 * max(errors):.1f} %",
        (True,),
    )


def one_sided(records: Sequence[Record]) -> Said:
    """An upper bound for several ranks, with its largest ratio."""
    if broken := _violations(records):
        return Said(f"fails at {broken} measurements", (False,))
    ratios = [_score(record, "tightest_ratio") for record in records]
    return Said(f"holds one-sided for {len(records)} ranks, largest ratio {max(ratios):.2g}", (True,))


class _Ends:
    """How the seeds of RAC-LoRA's quadratic end, by arm and by step in multiples of 1/L."""

    def __init__(self, records: Sequence[Record]) -> None:
        self._records = {(record.config["label"], record.config["factor"]): record for record in records}

    def lack(self, *arms: tuple[str, float]) -> bool:
        """Whether one of these is not there."""
        return not set(arms) <= self._records.keys()

    def words(self, label: str, factor: float) -> str:
        record = self._records[label, factor]
        counts = {word: int(_score(record, word)) for word in ("converged", "stalled", "still falling", "diverged")}
        total = sum(counts.values())
        return " and ".join(f"{count}/{total} {word}" for word, count in counts.items() if count)

    def share(self, label: str, factor: float, word: str) -> float:
        """Of the seeds that ended this way."""
        record = self._records[label, factor]
        return _score(record, word) / len(record.config["seeds"])


COLAS = "COLA, fresh A", "COLA, same A"
"""Both readings of the algorithm."""


WORDS = {True: "holds", False: "fails", None: "cannot tell at this budget"}


def _judged(failing: float, working: float) -> bool | None:
    """A claim of failure, from the shares of the seeds that fail as claimed and that work."""
    return True if failing > 0.5 else False if working > 0.5 else None


def counterexample_large(records: Sequence[Record]) -> Said | None:
    """How runs of RAC-LoRA's quadratic end at step 1/L, with a fresh A and with the same."""
    ends = _Ends(records)
    others = {
        "RAC-LoRA, no projection": "RAC-LoRA without its projection",
        "COLA, fresh A, local step": "COLA at 1/L of the factors' own L",
        "LoRA": "LoRA",
    }
    if ends.lack(*((label, 1.0) for label in (*COLAS, *others))):
        return None
    parts = []
    for label in COLAS:
        diverged, stalled, converged = (ends.share(label, 1.0, word) for word in ("diverged", "stalled", "converged"))
        parts.append(_judged(diverged, stalled + converged))
    words = [f"{WORDS[part]} for {label}: {ends.words(label, 1.0)}" for part, label in zip(parts, COLAS, strict=True)]
    words += [f"{name}: {ends.words(label, 1.0)}" for label, name in others.items()]
    return Said("; ".join(words), tuple(parts))


def counterexample_small(records: Sequence[Record]) -> Said | None:
    """How they end at 0.1/L and 0.01/L, with a fresh A and with the same."""
    ends = _Ends(records)
    if ends.lack(*((label, factor) for label in (*COLAS, "RAC-LoRA") for factor in (0.1, 0.01))):
        return None
    parts, words = [], []
    for label in COLAS:
        stalled, converged = (
            min(ends.share(label, factor, word) for factor in (0.1, 0.01)) for word in ("stalled", "converged")
        )
        parts.append(_judged(stalled, converged))
        words.append(
            f"{WORDS[parts[-1]]} for {label}: {ends.words(label, 0.1)} at 0.1/L, {ends.words(label, 0.01)} at 0.01/L"
        )
    rac = f"RAC-LoRA: {ends.words('RAC-LoRA', 0.1)}, {ends.words('RAC-LoRA', 0.01)}"
    return Said("; ".join([*words, rac]), tuple(parts))


def pursuit(records: Sequence[Record]) -> Said:
    """The contraction of greedy pursuit at every step, seen whole and through a mask."""
    if broken := _violations(records):
        return Said(f"fails at {broken} measurements", (False,))
    whole = [record for record in records if record.config["problem"]["observed"] == 1]
    masked = [record for record in records if record.config["problem"]["observed"] < 1]

    def factors(own: Sequence[Record]) -> str:
        return ", ".join(f"{_score(r, 'worst_factor'):.2f} of {_score(r, 'factor_bound'):.2f}" for r in own)

    seen = f"worst factor at r = 1, 2, 4 seen whole: {factors(whole)}; through a mask: {factors(masked)}"
    return Said(f"holds; {seen}", (True,))


def path(records: Sequence[Record]) -> Said:
    """What a trained chain misses of ideal links, at the shortest and the longest links."""
    conditions = sorted({record.config["condition"] for record in records})
    sizes = []
    for condition in conditions:
        own = [record for record in records if record.config["condition"] == condition]
        short = min(own, key=lambda record: record.config["link_steps"])
        long = max(own, key=lambda record: record.config["link_steps"])
        sizes.append(
            f"condition {condition:g}: {100 * _score(short, 'lag_mean'):.2g} % at {short.config['link_steps']} steps a "
            f"link, {100 * _score(long, 'lag_mean'):.1g} % at {long.config['link_steps']}"
        )
    held = tuple(_score(record, "lag_mean") <= 1e-3 for record in records)
    return Said(
        f"holds to 0.1 % in {sum(held)} of {len(held)} cases; the gain missing after 4 links is " + "; ".join(sizes),
        held,
    )


def rank(records: Sequence[Record]) -> Said | None:
    """What a larger rank does to the measured gap and to the links' error."""
    own = labelled(records, "convex combination, theorem's step")
    if not own:
        return None
    gaps = ", ".join(f"{_score(record, 'average_gap_mean'):.3g}" for record in own)
    errors = ", ".join(f"{_score(record, 'error_mean'):.3g}" for record in own)
    return Said(f"the bound knows no rank; at r = 1, 2, 4 the measured average gap is {gaps}, the links' ε {errors}")


def addition(label: str) -> Verdict:
    """COLA's added links against the theorem's inequality, for one inner optimizer."""

    def verdict(records: Sequence[Record]) -> Said | None:
        own = labelled(records, label)
        combined = labelled(records, "convex combination, theorem's step")
        if not own or not combined:
            return None
        broken, total = _violations(own), sum(len(record.config["seeds"]) for record in own)
        ratio = max(_score(record, "ratio_mean") for record in own)
        shares = [_score(record, "share_mean") for record in own]
        return Said(
            f"not covered; measured: the inequality with the links' own ε is broken in {broken} of {total} runs (mean "
            f"ratio at most {ratio:.2f}), ε is {100 * min(shares):.0f} to {100 * max(shares):.0f} % of the exact "
            f"oracle's gain; it ends at an excess of {_score(own[0], 'excess_mean'):.1e} where the convex combination "
            f"ends at {_score(combined[0], 'excess_mean'):.1e}"
        )

    return verdict


def precision(records: Sequence[Record]) -> Said:
    """How much of the sum of all links is in the weight, by its type."""

    def final(record: Record) -> str:
        return f"{100 * _score(record, 'kept_mean'):.0f} % (excess {_score(record, 'excess_mean'):.0e})"

    sizes = []
    for size in sorted({record.config["size"] for record in records}, reverse=True):
        own = [f"{r.config['label']} {final(r)}" for r in records if r.config["size"] == size]
        sizes.append(f"shift {size:g}: {', '.join(own)}")
    held = tuple(_score(record, "kept_mean") >= 0.9 for record in records)
    word = f"holds to 10 % in {sum(held)} of {len(held)} cases"
    return Said(f"{word}; kept of the sum of links, " + "; ".join(sizes), held)


def _cells(records: Sequence[Record]) -> dict[tuple[float, int], list[Record]]:
    cells: dict[tuple[float, int], list[Record]] = {}
    for record in records:
        problem = record.config["problem"]
        cells.setdefault((problem["noise"], problem["samples"]), []).append(record)
    return cells


def u_shape(records: Sequence[Record]) -> Said | None:
    """Where the least test loss of the chain sits, relative to the true rank."""
    cells = _cells(records)
    true = records[0].config["problem"]["rank"]
    chains = {cell: labelled(own, "COLA, rank-1 links") for cell, own in cells.items()}
    if not all(chains.values()):
        return None
    best = {cell: min(own, key=lambda record: _score(record, "test_loss_mean")) for cell, own in chains.items()}
    found = {cell: record.config["length"] for cell, record in best.items()}
    at = sum(length == true for length in found.values())
    ranges = ", ".join(f"{length} (noise {noise:g}, N {n})" for (noise, n), length in found.items() if length != true)
    return Said(
        f"the least test loss is at the true rank {true} in {at} of {len(found)} cells"
        + (f"; elsewhere at {ranges}" if ranges else "")
    )


def beats_full(records: Sequence[Record]) -> Said | None:
    """At the true rank, which is fixed before the data, for the chain and for LoRA alike."""
    parts: dict[str, list[bool | None]] = {"COLA, rank-1 links": [], "LoRA, summed rank": []}
    cells = _cells(records)
    for own in cells.values():
        full = labelled(own, "full")
        for label, found in parts.items():
            at_rank = [r for r in labelled(own, label) if r.config["length"] == r.config["problem"]["rank"]]
            if not at_rank or not full:
                return None
            found.append(_below(at_rank[0], full[0]))
    chain, lora = parts.values()

    def where(part: bool | None) -> str:
        return ", ".join(
            f"noise {noise:g}, N {n}" for (noise, n), found in zip(cells, chain, strict=True) if found is part
        )

    return Said(
        f"holds in {chain.count(True)} of {len(cells)} cells"
        + (f"; fails when {where(False)}" if False in chain else "")
        + (f"; cannot be told when {where(None)}" if None in chain else "")
        + f"; LoRA of that rank in {lora.count(True)}: it is the rank that does it",
        tuple(chain),
    )


def _below(first: Record, second: Record) -> bool | None:
    """Whether the first's test loss is less, by the 95 % interval of the seeds' paired difference."""
    a, b = (np.array(record.curves["test_loss"], dtype=float)[:, 0] for record in (first, second))
    difference = mean_interval(list(a - b))
    return True if difference.high < 0 else False if difference.low > 0 else None
