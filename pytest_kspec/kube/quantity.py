"""Kubernetes quantities ("500m", "1Gi", "1024Mi") as exact numbers, so that equal amounts are equal.

As the API server reads them (apimachinery, `resource.ParseQuantity`): what is finer than a nano is rounded away from
zero, and amounts with a binary suffix end at 2^63 - 1, so that 9Ei and 10Ei are the same.
"""

from __future__ import annotations

import re
from decimal import ROUND_UP, Context, Decimal
from functools import lru_cache

from pytest_kspec.regexes import regex

_QUANTITY = regex(
    r"(?P<number>[+-]?(\d{1,30}(\.\d{0,30})?|\.\d{1,30}))(?P<suffix>[eE][+-]?\d{1,2}|[KMGTPE]i|[numkMGTPE])?",
    re.ASCII,
)
_SUFFIXES = {
    "": Decimal(1),
    **{
        suffix: Decimal(1000) ** power
        for power, suffix in enumerate(("n", "u", "m", "", "k", "M", "G", "T", "P", "E"), -3)
    },
    **{
        suffix: Decimal(1024) ** power for power, suffix in enumerate(("Ki", "Mi", "Gi", "Ti", "Pi", "Ei"), 1)
    },
}


def is_quantity(text: str) -> bool:
    """True if Kubernetes reads it as a quantity."""
    return _QUANTITY.fullmatch(text) is not None


_NANO = Decimal(10) ** -9
_LARGEST_BINARY = Decimal(2**63 - 1)
_EXACT = Context(prec=300, rounding=ROUND_UP)  # 60 digits and an exponent of two: nothing is ever cut off


@lru_cache(maxsize=4096)
def parse_quantity(text: str) -> Decimal:
    """Its value in base units. Raises ValueError."""
    match = _QUANTITY.fullmatch(text)
    if match is None:
        raise ValueError(f"{text!r} is not a quantity: write 500m, 2 or 1Gi")
    suffix = match["suffix"] or ""
    if suffix not in _SUFFIXES:
        value = Decimal(match["number"] + suffix)
    else:
        value = _EXACT.multiply(Decimal(match["number"]), _SUFFIXES[suffix])
    if _EXACT.remainder(value, _NANO):
        value = value.quantize(_NANO, context=_EXACT)
    if suffix.endswith("i"):
        value = max(-_LARGEST_BINARY, min(value, _LARGEST_BINARY))
    return value


def plain(value: Decimal) -> str:
    """The value as a quantity without suffix, in which Kubernetes reads exactly the same."""
    return format(value, "f")
