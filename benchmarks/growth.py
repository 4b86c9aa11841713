"""Draw how a fleet's speed grows with its runs and its chains: ``python benchmarks/growth.py``, from training.jsonl."""

from pathlib import Path

import matplotlib.pyplot as plt
import pandas as pd

from colarepro.figures.style import COLOURS, MARKERS, REFERENCE, WIDTH, letter, style

HERE = Path(__file__).parent
COSTS = {"ms_a_step": "time of a step, LoRA = 1", "peak_gib": "peak memory, LoRA = 1"}


def measured(path: Path) -> pd.DataFrame:
    """Fleets and runs alone on prompts of 64 tokens and GPUs, with a step's time and the peak memory in multiples of
    one link's in the same process. Of a shape and a number of runs, those of the newest commit that measured it."""
    rows = pd.read_json(path, lines=True).dropna(subset=["runs", "links", "commit"])  # before, rows named no commit
    ours = rows[rows["contender"].str[:3].isin(["(c)", "(d)"]) & (rows["length"] == 64) & (rows["shape"] != "tiny")]
    ours = ours.astype({"runs": int, "links": int})
    process = ["shape", "runs", "ceiling_teraflops"]  # every process measured a ceiling of its own
    lora = ours[ours["links"] == 1].drop_duplicates(process)[[*process, *COSTS]]
    ours = ours.merge(lora, on=process, suffixes=("", "_of_lora"))
    for cost in COSTS:
        ours[cost + "_of_lora"] = ours[cost] / ours[cost + "_of_lora"]
    newest = ours.groupby(["shape", "runs"])["commit"].transform("last")
    return ours[ours["commit"] == newest].drop_duplicates(["shape", "runs", "links"], keep="last")


def draw(rows: pd.DataFrame, path: Path) -> None:
    """Examples a second against the runs, and a step's time and the memory against the links, in one link's."""
    with style():
        canvas, (left, *others) = plt.subplots(1, 3, figsize=(WIDTH, 2.4))
        for place, (shape, own) in enumerate(rows.groupby("shape")):
            marks = {"color": COLOURS[place], "marker": MARKERS[place]}
            lora = own[own["links"] == 1].sort_values("runs")
            left.plot(lora["runs"], lora["examples_a_second"], label=shape, **marks)
            left.plot(
                lora["runs"], lora["runs"] * lora["examples_a_second"].iloc[0], color=REFERENCE, linestyle=":", zorder=0
            )
            for runs, fleet in own.groupby("runs"):
                chains = fleet.sort_values("links")
                for axes, cost in zip(others, COSTS, strict=True):
                    if len(chains) > 1:
                        line = "--" if runs == 1 else "-"
                        axes.plot(chains["links"], chains[cost + "_of_lora"], linestyle=line, **marks)
        left.set(xscale="log", yscale="log", xlabel="runs in the fleet", ylabel="examples a second", ylim=(None, 1e6))
        ticks = [1, 4, 16, 64]
        left.set_xticks(ticks, [str(tick) for tick in ticks])
        left.minorticks_off()
        left.legend(loc="upper left")
        for axes, label in zip(others, COSTS.values(), strict=True):
            axes.set(xlabel="links of the chain", ylabel=label, ylim=(0.985, None), xticks=[1, 2, 4, 8])
            axes.axhline(1.01, color=REFERENCE, linestyle=":")
            for line, label in (("-", "25 runs"), ("--", "alone")):
                axes.plot([], [], color=REFERENCE, linestyle=line, label=label)
            axes.legend(loc="upper left")
        titles = "more runs", "longer chains: time", "and memory"
        for number, (axes, title) in enumerate(zip((left, *others), titles, strict=True)):
            letter(axes, number, title)
        canvas.savefig(path)
        plt.close(canvas)


if __name__ == "__main__":
    draw(measured(HERE / "training.jsonl"), HERE / "growth.png")
