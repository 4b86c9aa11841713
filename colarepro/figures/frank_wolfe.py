"""Frank-Wolfe's step rules against the bounds of Jaggi, Hazan and Luo, and Lacoste-Julien."""

from collections.abc import Sequence

import matplotlib.pyplot as plt
import pandas as pd
from matplotlib.figure import Figure as Canvas

from colarepro.figures.curves import Rows, curve, geometric, legend, line, of
from colarepro.figures.figure import Figure
from colarepro.figures.style import REFERENCE, WIDTH, letter
from colarepro.results import Record

LOWEST = 1e-5
PLACES = {2.0: "optimum well inside the ball", 1.0: "optimum just inside", 0.5: "optimum outside"}


def table(records: Sequence[Record]) -> pd.DataFrame:
    """Mean and range over seeds of the excess (nonconvex: the least gap) by radius, rule and t; mean bound."""
    rows: Rows = []
    for record in of(records, "frank-wolfe"):
        quantity = "excess" if "excess" in record.curves else "least_gap"
        values, bound = curve(record, quantity), curve(record, "bound").mean(0)
        steps = [step + (quantity == "least_gap") for step in record.curves["step"]]  # iterates 0 to t are t + 1
        for index in geometric(steps):
            rows.append(
                {
                    "quantity": quantity,
                    "radius_share": record.config["radius_share"],
                    "rule": record.config["label"],
                    "t": steps[index],
                    "mean": values[:, index].mean(),
                    "lowest": values[:, index].min(),
                    "highest": values[:, index].max(),
                    "bound": bound[index],
                    "seeds": len(values),
                }
            )
    return pd.DataFrame(rows)


def draw(frame: pd.DataFrame) -> Canvas:
    canvas, panels = plt.subplots(2, 2, figsize=(WIDTH, 5.4))
    convex, other = frame[frame["quantity"] == "excess"], frame[frame["quantity"] == "least_gap"]
    rules = list(dict.fromkeys(convex["rule"]))
    for number, (axes, (share, title)) in enumerate(zip(panels.flat, PLACES.items(), strict=False)):
        here = convex[convex["radius_share"] == share]
        for rule, dashes, label in (
            ("open loop", "-", "bound of Jaggi, 2LD²/(t+2)"),
            ("stochastic, growing batch", "--", "bound of Hazan & Luo, 4LD²/(t+2)"),
        ):
            rows = here[here["rule"] == rule]
            axes.plot(rows["t"], rows["bound"], dashes, color=REFERENCE, linewidth=2, label=label)
        for index, rule in enumerate(rules):
            rows = here[here["rule"] == rule]
            band = rows["lowest"].clip(lower=LOWEST / 10), rows["highest"].clip(lower=LOWEST / 10)
            line(axes, index, rows["t"], rows["mean"], band, label=rule, markevery=(index % 4, 5))
        axes.set(xlabel="steps t", ylabel="loss above the best in the ball", xscale="log", yscale="log")
        axes.set_ylim(max(LOWEST, 0.5 * here["lowest"].min()), 2 * here["bound"].max())
        letter(axes, number, f"convex, {title}")
    axes = panels.flat[3]
    for index, radius in enumerate(other["radius_share"].unique()):
        rows = other[other["radius_share"] == radius]
        label = f"nonconvex, radius {radius:g} × |ΔW*|"
        style = {"color": "black", "linestyle": ("-", "--")[index], "marker": ("*", "x")[index]}
        line(axes, 0, rows["t"], rows["mean"], (rows["lowest"], rows["highest"]), label=label, markevery=5, **style)
        bound = "bound of Lacoste-Julien, C/√(t+1)" if index == 0 else None
        axes.plot(rows["t"], rows["bound"], ":", color=REFERENCE, linewidth=2, label=bound)
        last = rows.iloc[-1]
        axes.annotate(f"{radius:g}", (last["t"], last["bound"]), xytext=(3, -2), textcoords="offset points", fontsize=7)
    axes.set(xlabel="iterates t + 1", ylabel="least Frank-Wolfe gap so far", xscale="log", yscale="log")
    letter(axes, 3, "nonconvex")
    for axes in panels.flat:
        axes.minorticks_off()
    legend(canvas, 3)
    return canvas


def caption(frame: pd.DataFrame) -> str:
    return (
        f"Frank-Wolfe over nuclear-norm balls; lines are means over {frame['seeds'].iloc[0]} seeds, bands their whole "
        "range, with C_f at most LD². (a)-(c) Isotropic noisy regression, balls of 2, 1 and 0.5 times the nuclear norm "
        "|ΔW*| of the shift; here the short step is the line search, and the adaptive rule's own bound (not drawn) is "
        "at most twice Jaggi's. Hazan & Luo's bound asks for a batch that grows with t²: a constant batch of 4 is not "
        "covered, and ends above it in (c). (d) Robust regression with the step gap/(LD²), bounds labelled by radius. "
        f"Means below {LOWEST:g} leave the panel."
    )


FRANK_WOLFE = Figure("frank-wolfe", "Frank-Wolfe's rates", "theory", table, draw, caption)
