"""Numbers as the ledger writes them."""

NOTHING = 1e-9
"""Below it a number is the rounding of 0."""


def number(value: float, digits: int = 2, sign: bool = False) -> str:
    """``0.71`` or, with ``sign``, ``+0.71``. What would read as 0 but is not keeps its first digit, since on which side
    of 0 an interval ends decides a word; and 0 has no minus."""
    plus = "+" if sign else ""
    if abs(value) < NOTHING:
        return f"{0:{plus}.{digits}f}"
    rounded = f"{value:{plus}.{digits}f}"
    return rounded if float(rounded) else f"{value:{plus}.1g}"


def p_value(p: float) -> str:
    """``p 0.012`` or ``p < 0.001``."""
    return "p < 0.001" if p < 0.001 else f"p {p:.3f}"


def counted(count: int, noun: str) -> str:
    """``1 task`` or ``1,787 items``."""
    return f"{count:,} {noun}{'' if count == 1 else 's'}"
