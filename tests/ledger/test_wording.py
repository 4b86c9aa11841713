"""Numbers as they are written."""

import pytest

from colarepro.ledger.row import Span, interval
from colarepro.ledger.wording import counted, number, p_value


@pytest.mark.parametrize(
    ("value", "plain", "signed"),
    [
        (1.234, "1.23", "+1.23"),
        (-1.0, "-1.00", "-1.00"),
        (0.0, "0.00", "+0.00"),
        (-0.0, "0.00", "+0.00"),
        (-1e-15, "0.00", "+0.00"),
        (0.004, "0.004", "+0.004"),
        (-0.0041, "-0.004", "-0.004"),
        (-0.00041, "-0.0004", "-0.0004"),
        (-0.006, "-0.01", "-0.01"),
    ],
)
def test_what_is_not_nothing_does_not_read_as_nothing(value: float, plain: str, signed: str) -> None:
    assert number(value) == plain
    assert number(value, sign=True) == signed


def test_an_interval_shows_on_which_side_of_0_it_ends() -> None:
    assert interval(Span(0.5, 0.002, 1.0)) == "+0.50 [0.002, 1.00]"
    assert interval(Span(-0.5, -1.0, -0.002), " points") == "-0.50 [-1.00, -0.002] points"
    assert number(0.04, 1) == "0.04"


def test_no_p_is_0() -> None:
    assert p_value(0.0) == p_value(0.00099) == "p < 0.001"
    assert p_value(0.001) == "p 0.001"
    assert p_value(0.6071) == "p 0.607"


def test_one_is_not_many() -> None:
    assert [counted(count, "task") for count in (1, 2, 1787)] == ["1 task", "2 tasks", "1,787 tasks"]
