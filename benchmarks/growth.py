"""Draw how a fleet's speed grows with its runs and its chains: ``python benchmarks/growth.py``, from training.jsonl."""

from pathlib import Path

import matplotlib.pyplot as plt
import pandas as pd

from colarepro.figures.style import COLOURS, MARKERS, REFERENCE, WIDTH, letter, style

HERE = Path(__file__).parent


def measured(path: Path) -> pd.DataFrame:
    """Fleets and runs alone on prompts of 64 tokens and GPUs, of code that computes steps as it does now, with
    ``times_lora``: a step's time in multiples of one link's in the same process. What several processes measured is
    of the one whose LoRA was fastest, since what disturbs a host makes steps slower."""
    rows = pd.read_json(path, lines=True).dropna(subset=["runs", "links", "commit"])  # before, rows named no commit
    ours = rows[rows["contender"].str[:3].isin(["(c)", "(d)"]) & (rows["length"] == 64) & (rows["shape"] != "tiny")]
    ours = ours.astype({"runs": int, "links": int})
    process = ["shape", "runs", "ceiling_teraflops"]  # every process measured a ceiling of its own
    lora = ours[ours["links"] == 1].drop_duplicates(process)[[*process, "ms_a_step"]]
    ours = ours.merge(lora, on=process, suffixes=("", "_of_lora"))
    ours["times_lora"] = ours["ms_a_step"] / ours["ms_a_step_of_lora"]
    return ours.sort_values("ms_a_step_of_lora", kind="stable").drop_duplicates(["shape", "runs", "links"])


def draw(rows: pd.DataFrame, path: Path) -> None:
    """Examples a second against the runs, and a step's time against the links, in multiples of one link's."""
    with style():
        canvas, (left, right) = plt.subplots(1, 2, figsize=(WIDTH, 2.6))
        for place, (shape, own) in enumerate(rows.groupby("shape")):
            marks = {"color": COLOURS[place], "marker": MARKERS[place], "label": shape}
            lora = own[own["links"] == 1].sort_values("runs")
            left.plot(lora["runs"], lora["examples_a_second"], **marks)
            left.plot(
                lora["runs"], lora["runs"] * lora["examples_a_second"].iloc[0], color=REFERENCE, linestyle=":", zorder=0
            )
            for runs, fleet in own.groupby("runs"):
                times = fleet.sort_values("links").set_index("links")["times_lora"]
                if len(times) > 1:
                    own_marks = {"label": f"{shape}, {runs} runs", "linestyle": "-"}
                    if runs == 1:
                        own_marks = {"label": f"{shape}, alone", "linestyle": "--"}
                    right.plot(times.index, times, **marks | own_marks)
        left.set(xscale="log", yscale="log", xlabel="runs in the fleet", ylabel="examples a second")
        ticks = sorted(rows.loc[rows["links"] == 1, "runs"].unique())
        left.set_xticks(ticks, [str(tick) for tick in ticks])
        left.minorticks_off()
        right.set(xlabel="links of the chain", ylabel="time of a step, LoRA = 1", ylim=(0.98, None))
        right.set_xticks(sorted(rows["links"].unique()))
        right.axhline(1.01, color=REFERENCE, linestyle=":")
        for number, (axes, title) in enumerate(((left, "more runs"), (right, "longer chains"))):
            letter(axes, number, title)
            axes.legend(loc="upper left")
        canvas.savefig(path)
        plt.close(canvas)


if __name__ == "__main__":
    draw(measured(HERE / "training.jsonl"), HERE / "growth.png")
