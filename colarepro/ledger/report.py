"""The report in the form of the ML Reproducibility Challenge, one page: prose in ``report.md``, numbers from here."""

from collections import Counter
from collections.abc import Sequence
from pathlib import Path

import pandas as pd

from colarepro.ledger.evidence import Evidence
from colarepro.ledger.row import Section, interval, mean_row
from colarepro.ledger.text import arithmetic, not_run
from colarepro.ledger.wording import counted, number
from colarepro.results import Record, average

FINDINGS = (
    ("COLA", "exceeds", "LoRA", "lora"),
    ("merging a link", "exceeds", "restarting optimizer and learning rate", "lora-restart, length 2"),
    ("two links of rank 8", "exceed", "one LoRA of rank 16", "lora-rank-sum, length 2"),
)
"""What a reader would most want to know of COLA against these arms."""
SENTENCES = {
    "supported": "{first} {verb} {second}",
    "contradicted": "{second} exceeds {first}",
    "cannot tell at this n": "whether {first} {verb} {second} cannot be told at this n",
}


def report(sections: Sequence[Section], evidence: Evidence, theory: Sequence[Record]) -> str:
    """The whole of REPORT.md."""
    prose = Path(__file__).with_name("report.md").read_text(encoding="utf-8")
    return prose.format(
        model=evidence.model,
        runs=_runs(evidence),
        theory=_theory(theory),
        verdicts=_verdicts(sections),
        findings=_findings(sections, evidence),
        detectable=_detectable(evidence),
        absent=_absent(evidence),
        in_part=_in_part(evidence),
        ends=_ends(evidence),
        unmeasured=_unmeasured(sections),
        missing=_missing(sections),
    )


def _runs(evidence: Evidence) -> str:
    runs = evidence.runs
    if runs.empty:
        return "There are no records of language models yet."
    arms = runs["arm"].unique().tolist()
    hours = evidence.seconds(evidence.tasks, arms) / 3600
    return (
        f"{counted(len(runs), 'run')} ({_lost(evidence)}) of {counted(len(arms), 'arm')} on "
        f"{counted(len(evidence.tasks), 'task')} ({', '.join(evidence.tasks)}) over "
        f"{counted(runs['data_seed'].nunique(), 'draw')}, {arithmetic(evidence)}, took {hours:.1f} hours on "
        f"{evidence.devices(evidence.tasks, arms)}, counted run by run, also where processes shared a GPU."
        f"{_commits(runs)}{_left_out(evidence)}"
    )


def _commits(runs: pd.DataFrame) -> str:
    """Whether the code changed in between, which no run's result should depend on, but its cost does."""
    count = runs.loc[runs["commit"] != "", "commit"].nunique()
    return f" They are of {count} states of the code, and arms of different ones are compared." if count > 1 else ""


def _left_out(evidence: Evidence) -> str:
    if not evidence.left_out:
        return ""
    verb = "is" if evidence.left_out == 1 else "are"
    return (
        f" {counted(evidence.left_out, 'more run')} of another model, arithmetic or draw of the data {verb} left out, "
        "since settings are not mixed."
    )


def _theory(records: Sequence[Record]) -> str:
    if not records:
        return "There are no records of the theory yet."
    devices = ", ".join(sorted({record.environment["device"] for record in records}))
    return (
        f"The theory was measured in {len(records)} records of synthetic problems and of a small network, on {devices}."
    )


def _lost(evidence: Evidence) -> str:
    """How many runs did not finish, with their reasons."""
    lost = evidence.runs[evidence.runs["status"] != "done"]
    if lost.empty:
        return "all finished"
    reasons = Counter(evidence.records[identity].reason or "no reason given" for identity in lost["identity"])
    said = "; ".join(f"{reason.rstrip('.')} ({count})" for reason, count in reasons.most_common(3))
    counts = ", ".join(f"{count} {word}" for word, count in sorted(Counter(lost["status"]).items()))
    return f"{counts}, most often: {said}"


def _verdicts(sections: Sequence[Section]) -> str:
    """How many claims earned which word, about language models and in theory."""
    counts = {"language models": Counter[str](), "theory": Counter[str]()}
    for section in sections:
        for row in section.rows:
            small = section.title == "The theory" or "digits" in row.scope
            counts["theory" if small else "language models"][row.verdict] += 1
    said = (f"{name}: {', '.join(f'{n} {word}' for word, n in words.most_common())}" for name, words in counts.items())
    return f"Claims by verdict, {'; '.join(said)}."


def _findings(sections: Sequence[Section], evidence: Evidence) -> str:
    """Each with its interval, as a numbered list."""
    lines = []
    for first, verb, second, arm in FINDINGS:
        by_task = evidence.comparisons(evidence.chain, arm)
        if by_task:
            over = f"in the mean over {len(by_task)} tasks" if len(by_task) > 1 else f"on {next(iter(by_task))} alone"
            word = mean_row(evidence, "", "", "", evidence.chain, arm).verdict
            said = SENTENCES[word].format(first=first, verb=verb, second=second)
            lines.append(f"{said}: {interval(average(list(by_task.values())), ' points')} {over}.")
    lines += [
        f"RAC-LoRA's claim that {row.claim.partition(':')[0]} is {row.verdict}: {row.ours}."
        for section in sections
        for row in section.rows
        if row.claim.startswith("COLA stalls") and row.ours
    ]
    lines += [
        f"{row.claim}: {row.verdict}; {row.ours} ({row.n})."
        for section in sections
        for row in section.rows
        if row.claim.startswith("COLA forgets") and row.ours
    ]
    return "\n".join(f"{number}. {line[0].upper()}{line[1:]}" for number, line in enumerate(lines, 1))


def _detectable(evidence: Evidence) -> str:
    """What this number of draws can show."""
    found = evidence.comparisons(evidence.chain, "lora")
    # Where dev chose epochs before the knot throughout, the arms are one, and there is no difference to find.
    differ = {task: c for task, c in found.items() if c.draws > 1 and c.low != c.high}
    known = [f"{task} {number(c.detectable(len(found)), 1)}" for task, c in differ.items()]
    if not known:
        return ""
    return f"To be found with 80 % power by Holm's first step, a true gain over LoRA must be {', '.join(known)} points."


def _absent(evidence: Evidence) -> str:
    """Which of COLA's models were not run."""
    said = not_run(evidence, ("OPT-1.3B", "Llama-2-7B"))
    return f"{said}, for want of weights, so no level that is reported there is met or missed here. " if said else ""


def _in_part(evidence: Evidence) -> str:
    """Arms that most tasks have, and this one not, or not with as many learning rates."""
    if evidence.runs.empty:
        return ""
    begun = evidence.runs.groupby("arm")["task"].nunique()
    arms = [str(arm) for arm, tasks in begun.items() if 2 * tasks > len(evidence.tasks)]
    lacking = {task: [arm for arm in arms if not evidence.answers(task, arm)] for task in evidence.tasks}
    said = "; ".join(f"{task}: {', '.join(f'`{arm}`' for arm in arms)}" for task, arms in lacking.items() if arms)
    return f"Not there, or not with every learning rate and draw, and left out: {said}. " if said else ""


def _ends(evidence: Evidence) -> str:
    """Arms for which dev chose the grid's lowest or highest learning rate on half of their tasks or more; of arms that
    most tasks have."""
    tried = evidence.runs.dropna(subset="learning_rate") if not evidence.runs.empty else evidence.runs
    if tried.empty:
        return ""
    grid = tried.groupby("task")["learning_rate"].agg(["min", "max", "nunique"])
    chosen = evidence.chosen[evidence.chosen["whole"]].dropna(subset="learning_rate")
    chosen = chosen.drop_duplicates(["arm", "task"]).join(grid[grid["nunique"] > 1], on="task", how="inner")
    said = []
    for word, end in (("highest", "max"), ("lowest", "min")):
        at = (chosen["learning_rate"] == chosen[end]).groupby(chosen["arm"]).agg(["sum", "size"])
        at = at[(2 * at["sum"] >= at["size"]) & (2 * at["size"] > len(evidence.tasks))]
        if not at.empty:
            arms = ", ".join(f"`{arm}` ({row['sum']} of {row['size']})" for arm, row in at.iterrows())
            said.append(f"the {word} for {arms}")
    if not said:
        return ""
    return f"The grid ends early for some arms: on half of their tasks or more dev chose {' and '.join(said)}. "


def _unmeasured(sections: Sequence[Section]) -> str:
    claims = [row.claim for section in sections for row in section.rows if row.verdict == "not measured"]
    without_intruders = any("intruder dimensions" in claim for claim in claims)
    return "Intruder dimensions, sharpness and shifting data" if without_intruders else "Sharpness and shifting data"


def _missing(sections: Sequence[Section]) -> str:
    count = sum(row.verdict == "not measured" for section in sections for row in section.rows)
    return f'{count} rows of the ledger say "not measured".' if count else ""
