"""What a span is, for those who make and use them."""

from __future__ import annotations

from collections.abc import Mapping
from contextlib import AbstractContextManager
from typing import Protocol

Value = str | int | float | bool
Attributes = Mapping[str, Value]

TRACEPARENT = "TRACEPARENT"
"""The variable by which a process hands its span to those that it starts, in the format of W3C."""

END_S = 4.0
"""How long sending what is left may hold up the end of a run, its workers included."""

LEAST_S = 0.5
"""What a run has for its own spans, however long its workers waited."""


class Span(Protocol):
    """One span, while it is open."""

    def set(self, attributes: Attributes) -> None:
        """Say more of it."""
        ...

    def fail(self, kind: str, text: str) -> None:
        """It ended in an error: its type, and a text that holds no credentials."""
        ...


class Backend(Protocol):
    """What makes spans: `otel.Traces`."""

    def span(self, name: str, attributes: Attributes, *, server: bool) -> AbstractContextManager[Span]:
        """A child of the span that is open here, else of the one that this process was given."""
        ...

    def carrier(self) -> dict[str, str]:
        """Variables for a process that is started here."""
        ...

    def end(self, within_s: float) -> str:
        """Send what is left, for so long at most. Returns why something was not sent, else "". Raises nothing."""
        ...
