"""The word that an interval earns a claim."""

import math
from typing import Literal

Word = Literal["supported", "contradicted", "cannot tell at this n", "not measured"]
LEVEL = 0.05


def verdict(low: float, high: float, claimed: float | None = None, p: float = 0.0) -> Word:
    """The rule, for a claim that one thing exceeds another, by ``claimed`` if it says by how much.

    ``low`` and ``high`` end the 95 % interval of the measured difference. Where one claim is asked of several tasks,
    ``p`` is the task's p-value after Holm's correction, and a sign counts only if p is at most 0.05: among seven tasks
    without any difference, one interval in three campaigns lies to one side of 0. A claim on at least k of m tasks
    ("every" is m of m) has an interval of its own, corrected by Bonferroni for partial conjunctions (Benjamini & Heller
    2008): from the k-th largest of the tasks' lower ends, each missed with probability 2.5 % / (m - k + 1), to the k-th
    largest of the upper ends, each missed with probability 2.5 % / k.

    * **supported**: the whole interval is above 0, and the sign counts.
    * **contradicted**: it is not supported, and the whole interval lies below the claimed size; without one, below 0,
      and the sign counts.
    * **cannot tell at this n**: anything else, an interval that is not known included.

    So an interval from -1 to 2 contradicts a gain of 3.7 and says nothing about a gain of 1; an interval from 1 to 2
    supports either, and shows by itself that the larger one was too large.
    """
    if math.isnan(low) or math.isnan(high):
        return "cannot tell at this n"
    if low > 0 and p <= LEVEL:
        return "supported"
    size = max(claimed or 0.0, 0.0)
    if high < size and (size > 0 or p <= LEVEL):
        return "contradicted"
    return "cannot tell at this n"
