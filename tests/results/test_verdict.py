import math

import pytest

from colarepro.results.verdict import verdict


@pytest.mark.parametrize(
    ("low", "high", "claimed", "word"),
    [
        (0.1, 5.0, None, "supported"),
        (0.1, 5.0, 3.0, "supported"),
        (0.1, 0.5, 3.0, "supported"),  # smaller than claimed, as the interval shows
        (-5.0, -0.1, None, "contradicted"),
        (-5.0, -0.1, 3.0, "contradicted"),
        (-1.0, 2.0, 3.0, "contradicted"),
        (-1.0, 2.0, 1.0, "cannot tell at this n"),
        (-1.0, 2.0, None, "cannot tell at this n"),
        (0.0, 2.0, None, "cannot tell at this n"),
        (-2.0, 0.0, None, "cannot tell at this n"),
        (-2.0, -0.5, -1.0, "contradicted"),  # a loss is claimed no gain
        (math.nan, math.nan, 3.0, "cannot tell at this n"),
    ],
)
def test_the_rule(low: float, high: float, claimed: float | None, word: str) -> None:
    assert verdict(low, high, claimed) == word


@pytest.mark.parametrize(
    ("low", "high", "claimed", "word"),
    [
        (0.1, 5.0, None, "cannot tell at this n"),
        (-5.0, -0.1, None, "cannot tell at this n"),
        (0.1, 2.0, 3.0, "contradicted"),  # the size is, whatever the sign
        (-1.0, 2.0, 1.0, "cannot tell at this n"),
    ],
)
def test_a_sign_that_does_not_survive_holm_does_not_count(
    low: float, high: float, claimed: float | None, word: str
) -> None:
    assert verdict(low, high, claimed, p=0.06) == word
    assert verdict(low, high, None, p=0.05) == verdict(low, high)
