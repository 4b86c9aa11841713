"""The convergence claims about chains of low-rank updates, each with the verdict that the records give."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from functools import partial

from colarepro.errors import ColaError
from colarepro.results import Record
from colarepro.theory import verdict
from colarepro.theory.bounds import BEST, PRINTED, PROVED
from colarepro.theory.verdict import Said, Verdict, labelled


@dataclass(frozen=True)
class Claim:
    """``verdict`` reads the records of ``experiment`` with these ``labels`` (none: all)."""

    name: str
    statement: str
    source: str
    page: str
    experiment: str
    verdict: Verdict
    labels: tuple[str, ...] = ()


def refuse_mixed(records: Iterable[Record]) -> None:
    """Raises `ColaError` if an arm was measured at several settings, whose records are no evidence together."""
    seeds: dict[tuple[str, str], list[int]] = {}
    for record in records:
        arm = record.config["experiment"], record.config["label"]
        if (first := seeds.setdefault(arm, record.config["seeds"])) != record.config["seeds"]:
            raise ColaError(
                f"The theory's records hold '{arm[1]}' of '{arm[0]}' with {len(first)} and with "
                f"{len(record.config['seeds'])} seeds; expected those of one setting, each in a folder of its own."
            )


def verdicts(records: Iterable[Record]) -> list[tuple[Claim, str]]:
    """Every claim with its verdict; a claim without records is "not measured"."""
    found = list(records)
    judged = [(claim, said(claim, evidence(claim, found))) for claim in CLAIMS]
    return [(claim, answer.text if answer else "not measured") for claim, answer in judged]


def said(claim: Claim, own: Sequence[Record]) -> Said | None:
    """What its `evidence` says; None if that is none, or lacks what the claim speaks of."""
    return claim.verdict(own) if own else None


def evidence(claim: Claim, records: Iterable[Record]) -> list[Record]:
    """The records that a claim's verdict is read from, in its order."""
    own = [record for record in records if record.config["experiment"] == claim.experiment]
    if claim.labels:
        own = labelled(own, *claim.labels)
    return sorted(own, key=partial(_order, claim.labels))


def _order(labels: tuple[str, ...], record: Record) -> tuple[float, int, float, str]:
    """As the claim names its arms, then by rank, falling radius and label: a store has no order of its own."""
    config = record.config
    place = labels.index(config["label"]) if labels else 0
    return place, config.get("method", {}).get("rank", 0), -config.get("radius_share", 0.0), config["label"]


ORACLES = ("exact", "minibatch", "LoRA link")

CLAIMS: tuple[Claim, ...] = (
    Claim(
        "Theorem 4.1, as printed",
        "average gap ≤ 2√(Mβ)D/√T + ε",
        "COLA, Theorem 4.1",
        "cola-theorem-4-1.md",
        "theorem",
        verdict.theorem(PRINTED),
        ORACLES,
    ),
    Claim(
        "Theorem 4.1, as proved",
        "the same with 1.5",
        "its proof",
        "cola-theorem-4-1.md",
        "theorem",
        verdict.theorem(PROVED),
        ORACLES,
    ),
    Claim(
        "Theorem 4.1, best step",
        "the same with √2",
        "its proof, other step",
        "cola-theorem-4-1.md",
        "theorem",
        verdict.theorem(BEST),
        ("exact, best step",),
    ),
    Claim("its condition", "T ≥ M/(βD²)", "left out in the paper", "cola-theorem-4-1.md", "theorem", verdict.condition),
    Claim(
        "convex Frank-Wolfe",
        "excess ≤ 2C_f/(t+2)",
        "Jaggi 2013",
        "frank-wolfe-convex.md",
        "frank-wolfe",
        verdict.bound,
        ("open loop", "short step", "line search"),
    ),
    Claim(
        "adaptive Frank-Wolfe",
        "excess ≤ 4C_f/(t+2), L estimated",
        "Pedregosa et al. 2020",
        "frank-wolfe-convex.md",
        "frank-wolfe",
        verdict.bound,
        ("adaptive",),
    ),
    Claim(
        "nonconvex Frank-Wolfe",
        "least gap ≤ max(2h₀, C)/√(t+1)",
        "Lacoste-Julien 2016",
        "frank-wolfe-convex.md",
        "frank-wolfe",
        verdict.bound,
        ("gap / (L D²), nonconvex",),
    ),
    Claim(
        "stochastic Frank-Wolfe",
        "mean excess ≤ 4LD²/(t+2) with growing batches",
        "Hazan & Luo 2016",
        "frank-wolfe-convex.md",
        "frank-wolfe",
        verdict.hazan_luo,
        ("stochastic, growing batch", "stochastic, batch of 4"),
    ),
    Claim(
        "RAC-LoRA, isotropic",
        "mean gap × (1 - γμr/n) a step, exactly",
        "RAC-LoRA, Theorem 5.5",
        "rac-lora.md",
        "rac-lora",
        verdict.rac_exact,
        ("isotropic",),
    ),
    Claim(
        "RAC-LoRA, PL",
        "mean gap ≤ (1 - γμr/n)^T h₀",
        "RAC-LoRA, Theorem 5.5",
        "rac-lora.md",
        "rac-lora",
        verdict.one_sided,
        ("conditioned",),
    ),
    Claim(
        "RAC-LoRA, nonconvex",
        "mean |∇f|² ≤ 2h₀n/(rγT)",
        "RAC-LoRA, Theorem 5.3",
        "rac-lora.md",
        "rac-lora",
        verdict.one_sided,
        ("nonconvex",),
    ),
    Claim(
        "COLA diverges at 1/L",
        "3 × 3 quadratic, step 1/L",
        "RAC-LoRA, Section 3",
        "rac-lora.md",
        "counterexample",
        verdict.counterexample_large,
    ),
    Claim(
        "COLA stalls at small steps",
        "3 × 3 quadratic, steps 0.1/L and 0.01/L",
        "RAC-LoRA, Section 3",
        "rac-lora.md",
        "counterexample",
        verdict.counterexample_small,
    ),
    Claim(
        "greedy pursuit",
        "excess × (1 - r/min(m,n)) a step",
        "Wang et al. 2014",
        "chain-on-quadratics.md",
        "pursuit",
        verdict.pursuit,
    ),
    Claim(
        "a trained chain is greedy pursuit",
        "k links reach reduced-rank regression of rank kr",
        "ours",
        "chain-on-quadratics.md",
        "path",
        verdict.path,
    ),
    Claim("the rank", "no r in Theorem 4.1", "gap in the theorem", "beyond-the-theorem.md", "beyond", verdict.rank),
    Claim(
        "addition",
        "COLA adds, the theorem shrinks",
        "gap in the theorem",
        "beyond-the-theorem.md",
        "beyond",
        verdict.addition("addition, gradient descent"),
    ),
    Claim(
        "AdamW",
        "COLA's inner optimizer",
        "gap in the theorem",
        "beyond-the-theorem.md",
        "beyond",
        verdict.addition("addition, AdamW"),
    ),
    Claim(
        "knots in narrow types",
        "the weight keeps the sum of 100 links",
        "ours",
        "finite-precision.md",
        "precision",
        verdict.precision,
    ),
    Claim(
        "best chain length",
        "test loss is a U with its bottom at the true rank",
        "ours",
        "generalization.md",
        "generalization",
        verdict.u_shape,
    ),
    Claim(
        "a chain beats full fine-tuning",
        "lower test loss at the true rank, 95 % paired",
        "ours",
        "generalization.md",
        "generalization",
        verdict.beats_full,
    ),
)
