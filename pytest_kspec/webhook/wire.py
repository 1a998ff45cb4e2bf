"""What the webhook and its worker say to each other: frames over pipes, each a length, a kind and content.

Both ends are this program, in the same version, started by it: specifications cross as pickles, which nothing from
outside ever is; reviews cross as the bytes that came.
"""

from __future__ import annotations

import struct
from collections.abc import Mapping
from datetime import datetime

import msgspec

HEADER = struct.Struct(">BI")

POLICIES, REVIEW, LABELS = 1, 2, 3
"""To the worker: a pickled `Work`; a `Review`; labels of the namespace that it asked for."""
READY, SAID, NO_REVIEW, TOO_LARGE, ASKS = 11, 12, 13, 14, 15
"""From it: after POLICIES; a `Said`; why it is no review; why it was given up; a namespace whose labels are needed."""


class Review(msgspec.Struct, frozen=True, gc=False):
    """One review. only: id of a policy, "" for all; evaluate: False while the circuit breaker is open."""

    body: bytes
    only: str
    moment: datetime
    evaluate: bool


class Labels(msgspec.Struct, frozen=True, gc=False):
    """Of one namespace; None: not known."""

    labels: Mapping[str, str] | None


def frame(kind: int, content: bytes) -> tuple[bytes, bytes]:
    """Header and content, to be written one after the other."""
    return HEADER.pack(kind, len(content)), content
