"""What people, programs and vandals write where a value is expected."""

import string
from collections.abc import Mapping
from typing import Any

from hypothesis import strategies as st

NUMBERS = st.one_of(
    st.integers(-3, 12),
    st.integers(),
    st.floats(),
    st.sampled_from([10**6, 10**7, 10**9, 2**31, 2**32, 2**63, 10**400, -(10**400), 1e308, 1e-320, -0.0]),
)
ODD = ("", " ", "\0", "a\nb", "\ud800", "\u2028", "a" * 300, "../x", "/etc/passwd", "~", "{x}", "1e-3", "no")
TEXTS = st.one_of(
    st.text(max_size=20),
    st.text(string.printable, max_size=20),
    st.sampled_from(ODD),
)
PLAIN = st.one_of(st.none(), st.booleans(), NUMBERS, TEXTS)
ANY = st.recursive(
    PLAIN, lambda inner: st.one_of(st.lists(inner, max_size=4), st.dictionaries(TEXTS, inner, max_size=4)), max_leaves=8
)


def mappings(sensible: Mapping[str, st.SearchStrategy[Any]], required: tuple[str, ...] = ()) -> st.SearchStrategy[Any]:
    """Mappings of known keys to sensible values; sometimes a known or an unknown key has any value, or one is lost."""
    names = st.one_of(st.sampled_from(sorted(sensible)), TEXTS)
    whole = st.fixed_dictionaries(
        {name: sensible[name] for name in required},
        optional={name: values for name, values in sensible.items() if name not in required},
    )
    odd = st.dictionaries(names, ANY, max_size=2)
    lost = st.sets(st.sampled_from(required), max_size=1) if required else st.just(set())

    def joined(parts: tuple[dict[str, Any], dict[str, Any], set[str], int]) -> dict[str, Any]:
        good, bad, gone, kind = parts
        if kind < 7:
            return good
        return {name: value for name, value in (good | bad).items() if kind < 9 or name not in gone}

    return st.tuples(whole, odd, lost, st.integers(0, 9)).map(joined)


INSIDES = [", ".join(9 * ["x"]), *(", ".join(9 * [f"*{name}"]) for name in "abcdefgh")]
BOMB = f"[{', '.join(f'&{name} [{inside}]' for name, inside in zip('abcdefghi', INSIDES, strict=True))}]"
"""YAML: some three hundred letters that stand for half a billion."""

ABSURD = {
    "a billion links": {"chain": {"length": 10**9}, "max_steps": 10**10},
    "a billion knots an epoch apart": {"chain": {"length": 10**9}, "epochs": 10**9},
    "a rank of a million": {"adapter": {"rank": 10**6}},
    "a link's rank of a million": {"chain": {"length": 2, "ranks": [8, 10**6]}},
    "ten million links' ranks": {"chain": {"length": 10**7, "ranks": [8]}},
    "a billion epochs": {"epochs": 10**9},
    "a billion steps": {"max_steps": 10**9},
    "a billion examples a step": {"batch_size": 10**9},
    "a billion examples": {"train_examples": 10**18},
    "a billion demonstrations": {"method": "in-context", "demonstrations": 10**18},
    "a billion tokens": {"max_length": 10**18},
    "a seed of no generator": {"seed": 2**32},
    "a draw of no generator": {"data_seed": 2**32},
}
