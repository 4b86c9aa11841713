"""RAC-LoRA's rates against the means over its random projections."""

from collections.abc import Sequence

import matplotlib.pyplot as plt
import pandas as pd
from matplotlib.figure import Figure as Canvas

from colarepro.figures.curves import Rows, bars, curve, legend, line, of, theory
from colarepro.figures.figure import Figure
from colarepro.figures.style import REFERENCE, WIDTH, letter
from colarepro.results import Record

LOWEST = 1e-9
TITLES = {
    "isotropic": "isotropic: the exact mean",
    "conditioned": "conditioned: an upper bound",
    "nonconvex": "nonconvex: an upper bound",
}


def table(records: Sequence[Record]) -> pd.DataFrame:
    """Mean with its 95 % interval over projections, and the theory's value, by problem, rank and step; ``factor``:
    the contraction of the first step over the theory's, with its 99 % interval (not on the nonconvex problem)."""
    rows: Rows = []
    for record in of(records, "rac-lora"):
        curves = {name: curve(record, name)[0] for name in ("mean", "low", "high", "bound")}
        scores = record.scores
        factor = {
            f"factor_{part}": scores[f"factor_{part}"] / scores["factor_bound"] if "factor_mean" in scores else None
            for part in ("mean", "low", "high")
        }
        for index, step in enumerate(record.curves["step"]):
            rows.append(
                {
                    "problem": record.config["label"],
                    "rank": record.config["method"]["rank"],
                    "step": step,
                    **{name: values[index] for name, values in curves.items()},
                    **factor,
                    "inputs": record.config["problem"]["inputs"],
                    "runs": len(record.config["seeds"]),
                }
            )
    return pd.DataFrame(rows)


def draw(frame: pd.DataFrame) -> Canvas:
    canvas, panels = plt.subplots(2, 2, figsize=(WIDTH, 5.2))
    places = {"isotropic": panels[0, 0], "conditioned": panels[1, 0], "nonconvex": panels[1, 1]}
    ranks = sorted(frame["rank"].unique())
    for number, (problem, axes) in zip((0, 2, 3), places.items(), strict=True):
        for index, rank in enumerate(ranks):
            rows = frame[(frame["problem"] == problem) & (frame["rank"] == rank)]
            band = rows["low"].clip(lower=LOWEST / 10), rows["high"].clip(lower=LOWEST / 10)
            start = 2 * index
            line(
                axes, index, rows["step"], rows["mean"], band, label=f"r = {rank}", linestyle="-", markevery=(start, 10)
            )
            theory(axes, index, rows["step"], rows["bound"], markevery=(start + 5, 10))
        axes.set(xlabel="steps", yscale="log")
        axes.minorticks_off()
        letter(axes, number, TITLES[problem])
    for axes in panels[:, 0]:
        axes.set_ylabel("mean excess / excess at the start")
        axes.set_ylim(max(LOWEST, axes.get_ylim()[0]), 1.5)
    panels[1, 1].set(xscale="log", ylabel="mean squared gradient")
    panels[1, 1].minorticks_off()
    panels[1, 1].plot([], [], "--", color=REFERENCE, linewidth=0.9, label="theory, hollow markers")
    exact = frame[frame["problem"] == "isotropic"].drop_duplicates("rank")
    for index, rank in enumerate(ranks):
        bars(panels[0, 1], index, [index], exact[exact["rank"] == rank], "factor", markersize=5)
    panels[0, 1].axhline(1, color=REFERENCE, linestyle="--", linewidth=0.9)
    panels[0, 1].set_xticks(range(len(ranks)), [f"{rank}" for rank in ranks])
    panels[0, 1].set(xlabel="rank r of the projections", ylabel="factor of a step / (1 - γμr/n)")
    panels[0, 1].set_xlim(-0.5, len(ranks) - 0.5)
    letter(panels[0, 1], 1, "isotropic: one step, two-sided")
    legend(canvas, 6)
    return canvas


def caption(frame: pd.DataFrame) -> str:
    first = frame.iloc[0]
    return (
        f"RAC-LoRA with a fresh projection of rank r at every step of size γ = 1/L, {first['inputs']} inputs (n). "
        f"Full markers: means over {first['runs']} runs from one start that differ in their projections alone, with "
        "95 % intervals as bands, mostly as narrow as the lines. Hollow: theory. (a) On an isotropic quadratic "
        "(1 - γμr/n)^t is the exact mean; far down few runs carry the mean. (b) The mean contraction of the first "
        "step over the theory's, with 99 % intervals. (c) The factor bounds a conditioned quadratic (Theorem 5.5). "
        f"(d) Robust regression against 2 h₀ n/(r γ T) (Theorem 5.3). Values below {LOWEST:g} leave the panel."
    )


RAC_LORA = Figure("rac-lora", "RAC-LoRA's rates", "theory", table, draw, caption)
