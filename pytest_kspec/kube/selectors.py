"""Label selectors, as Kubernetes reads them (apimachinery, LabelSelectorAsSelector)."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import lru_cache
from typing import Annotated, Literal, Protocol

import msgspec

from pytest_kspec import typed
from pytest_kspec.errors import Malformed

Operator = Literal["In", "NotIn", "Exists", "DoesNotExist"]


class Expression(Protocol):
    """One expression of a selector."""

    @property
    def key(self) -> str:
        """Name of the label."""
        ...

    @property
    def operator(self) -> Operator:
        """How its value is compared."""
        ...

    @property
    def values(self) -> Sequence[str]:
        """Values for In and NotIn; empty for the others."""
        ...


class Selector(Protocol):
    """Labels with these values, and expressions that are all true."""

    @property
    def match_labels(self) -> Mapping[str, str]:
        """Label → value."""
        ...

    @property
    def match_expressions(self) -> Sequence[Expression]:
        """All of them must hold."""
        ...


def check_values(operator: Operator, values: Sequence[str]) -> None:
    """Raises ValueError where an operator has values that it does not take, or lacks those that it needs."""
    if (operator in ("In", "NotIn")) != bool(values):
        raise ValueError(f"operator {operator} takes {'no' if values else 'at least one of'} values.")


class FoundExpression(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """An `Expression`."""

    key: Annotated[str, msgspec.Meta(min_length=1)]
    operator: Operator
    values: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        check_values(self.operator, self.values)


class FoundSelector(msgspec.Struct, frozen=True, forbid_unknown_fields=True, rename="camel"):
    """A `Selector`."""

    match_labels: dict[str, str] = {}
    match_expressions: tuple[FoundExpression, ...] = ()


def selects(selector: Selector, labels: Mapping[str, str]) -> bool:
    """Whether all of a selector is true of these labels; an empty one selects everything."""
    return all(labels.get(key) == value for key, value in selector.match_labels.items()) and all(
        _holds(expression, labels) for expression in selector.match_expressions
    )


def label_selector(data: object) -> Selector | None:
    """A selector as an object or a check has it: `matchLabels`, `matchExpressions`. None is None: it selects nothing.

    Raises Malformed for what is no selector.
    """
    if data is None:
        return None
    try:
        return _parsed(msgspec.json.encode(data))
    except (TypeError, ValueError, RecursionError) as error:
        raise Malformed(
            f"this is not a label selector ({error}). Write {{'matchLabels': {{…}}}} as in Kubernetes; the selector "
            "of a Service is the inside of matchLabels."
        ) from error


@lru_cache(maxsize=256)
def _parsed(text: bytes) -> FoundSelector:
    return typed.from_json(text, FoundSelector)


def _holds(expression: Expression, labels: Mapping[str, str]) -> bool:
    value = labels.get(expression.key)
    match expression.operator:
        case "In":
            return value in expression.values
        case "NotIn":  # as in Kubernetes, a label that is not there is not one of the values
            return value not in expression.values
        case "Exists":
            return value is not None
        case "DoesNotExist":
            return value is None
