"""The word that an interval earns a claim."""

import math
from typing import Literal

Word = Literal["supported", "contradicted", "cannot tell at this n", "not measured"]


def verdict(low: float, high: float, claimed: float | None = None) -> Word:
    """The rule, for a claim that one thing exceeds another, by ``claimed`` if it says by how much.

    ``low`` and ``high`` end the 95 % interval of the measured difference.

    * **supported**: the whole interval is above 0.
    * **contradicted**: it is not, and the whole interval lies below the claimed size; without one, below 0.
    * **cannot tell at this n**: anything else, an interval that is not known included.

    So an interval from -1 to 2 contradicts a gain of 3.7 and says nothing about a gain of 1; an interval from 1 to 2
    supports either, and shows by itself that the larger one was too large.
    """
    if math.isnan(low) or math.isnan(high):
        return "cannot tell at this n"
    if low > 0:
        return "supported"
    if high < max(claimed or 0.0, 0.0):
        return "contradicted"
    return "cannot tell at this n"
