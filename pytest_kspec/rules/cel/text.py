"""CEL as text: literals, optional paths, wildcards. Nothing here knows a rule."""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Sequence
from typing import Any

from pytest_kspec.kube.globs import is_literal

EMPTY_LIST = "[]"
_IDENTIFIER = re.compile(r"[A-Za-z_][A-Za-z0-9_]*", re.ASCII)


class NotExpressible(ValueError):
    """A rule or an exemption that CEL cannot express exactly; the text is the reason."""


def literal(value: Any) -> str:
    """A boolean, an integer or a text as CEL."""
    if isinstance(value, bool):
        return "true" if value else "false"
    return str(value) if isinstance(value, int) else json.dumps(str(value), ensure_ascii=False)


def literals(values: Iterable[Any]) -> str:
    """A list of them."""
    return f"[{', '.join(map(literal, values))}]"


def optional(base: str, keys: Sequence[str]) -> str:
    """The value at a path below `base`, as an optional: `c.?securityContext.?privileged`."""
    return base + "".join(f".?{key}" if _IDENTIFIER.fullmatch(key) else f"[?{literal(key)}]" for key in keys)


def one_of(text: str, values: Sequence[Any]) -> str:
    """Whether a value is one of these."""
    if len(values) == 1:
        return f"{text} == {literal(values[0])}"
    return f"{text} in {literals(values)}"


def any_of(conditions: Sequence[str]) -> str:
    """`a || b`; false for none."""
    return " || ".join(map(parenthesised, conditions)) if conditions else "false"


def all_of(conditions: Sequence[str]) -> str:
    """`a && b`; true for none."""
    return " && ".join(map(parenthesised, conditions)) if conditions else "true"


def parenthesised(expression: str) -> str:
    """In parentheses if it needs them beside an operator."""
    return f"({expression})" if re.search(r"\|\||&&|\?\s|==|!=| in | \+ |<|>", expression) else expression


def matches_glob(text: str, pattern: str) -> str:
    """Whether a text matches a pattern of `pytest_kspec.kube.globs`."""
    if is_literal(pattern):
        return f"{text} == {literal(pattern)}"
    if not pattern.strip("*"):
        return "true"
    inner = pattern.strip("*")
    if is_literal(inner):
        if pattern == inner + pattern[len(inner) :] and not pattern.startswith("*"):
            return f"{text}.startsWith({literal(inner)})"
        if not pattern.endswith("*"):
            return f"{text}.endsWith({literal(inner)})"
        return f"{text}.contains({literal(inner)})"
    body = "".join(".*" if c == "*" else "." if c == "?" else re.escape(c) for c in pattern)
    return f"{text}.matches({literal(f'^(?s:{body})$')})"


def matches_globs(text: str, patterns: Sequence[str]) -> str:
    """Whether it matches one of them; as in `Globs`, no pattern matches everything."""
    if not patterns:
        return "true"
    plain = [pattern for pattern in patterns if is_literal(pattern)]
    found = [one_of(text, plain)] if plain else []
    found += [matches_glob(text, pattern) for pattern in patterns if not is_literal(pattern)]
    return "true" if "true" in found else any_of(found)


def concat(parts: Sequence[str]) -> str:
    """Lists one after the other; the empty list for none."""
    if len(parts) == 1:
        return parts[0]
    return " + ".join(f"({part})" if " ? " in part else part for part in parts) or EMPTY_LIST
