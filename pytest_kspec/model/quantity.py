"""Kubernetes quantities ("500m", "1Gi", "1024Mi") as exact numbers, so that equal amounts are equal."""

from __future__ import annotations

import re
from decimal import Decimal
from functools import lru_cache

_QUANTITY = re.compile(
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


@lru_cache(maxsize=4096)
def parse_quantity(text: str) -> Decimal:
    """Its value in base units. Raises ValueError."""
    match = _QUANTITY.fullmatch(text)
    if match is None:
        raise ValueError(f"{text!r} is not a quantity: write 500m, 2 or 1Gi")
    suffix = match["suffix"] or ""
    if suffix in _SUFFIXES:
        return Decimal(match["number"]) * _SUFFIXES[suffix]
    return Decimal(match["number"] + suffix)
