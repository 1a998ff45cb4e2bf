"""Templates of request bodies: a JSON document with expressions in its texts, or text.

A document is read as JSON first, and expressions are evaluated in its texts afterwards: whatever a value holds, the
result is JSON. Of Jinja's language only what reads values is allowed: no calls, no arithmetic, no unbounded loops, so
that no template takes the time or the memory of who sends. `{{ .Title }}`, as in v0.3, is read as `{{ title }}`.
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from functools import lru_cache
from typing import Any

from pytest_kspec.errors import SpecError
from pytest_kspec.shown import printable

LONGEST = 64 << 10
"""Characters that a template may become."""

_FILTERS = frozenset(
    ("upper", "lower", "default", "d", "length", "count", "title", "trim", "e", "escape", "tojson")
)
_OF_V03 = {
    "Level": "level",
    "Title": "title",
    "Description": "description",
    "Source": "source",
    "Timestamp": "timestamp",
    "EventType": "event_type",
    "Labels": "labels",
    "Metadata": "metadata",
}
_GO = re.compile(r"\{\{-?\s*((?:\.[A-Za-z_]\w*)+)\s*-?\}\}")
_GO_WORDS = re.compile(r"\{\{-?\s*(range(?!\s*\()|if|end|else|with|printf|index|define|template|block)\b")
_DEPTH = 2


def problem(template: str) -> str:
    """Why a template cannot be used; "" if it can."""
    try:
        _compiled(template)
    except ValueError as error:
        return str(error)
    return ""


def render(template: str, values: Mapping[str, Any]) -> tuple[bytes, str]:
    """The body, and its content type. Raises SpecError where a value is not there or the text is too long."""
    made, is_document = _compiled(template)
    budget = [LONGEST]
    if not is_document:
        values = {name: _inert(name, value) for name, value in values.items()}
    try:
        filled = _filled(made, values, budget)
    except (_jinja().TemplateError, TypeError, ValueError, RecursionError) as error:
        raise SpecError(f"the template cannot be filled in: {error}.", where="template") from error
    if is_document:
        return json.dumps(filled, ensure_ascii=False).encode("utf-8", "replace"), "application/json"
    return str(filled).encode("utf-8", "replace"), "text/plain; charset=utf-8"


class _Expressions:
    """A text with expressions, compiled."""

    def __init__(self, text: str) -> None:
        self.whole = _WHOLE.fullmatch(text)
        environment = _environment()
        if self.whole is not None:
            self._run = environment.compile_expression(self.whole[1], undefined_to_none=False)
        self._template = environment.from_string(text)

    def fill(self, values: Mapping[str, Any], budget: list[int]) -> Any:
        """The text; where it is one expression and nothing else, its value as it is."""
        if self.whole is not None:
            found = self._run(**values)
            if isinstance(found, dict | list | bool | int | float) or found is None:
                budget[0] -= len(json.dumps(found, default=str))
                _check(budget)
                return found
        parts = []
        for part in self._template.generate(**values):
            budget[0] -= len(part)
            _check(budget)
            parts.append(part)
        return "".join(parts)


_WHOLE = re.compile(r"\{\{((?:(?!\{\{|\}\}).)*)\}\}", re.DOTALL)


def _check(budget: list[int]) -> None:
    if budget[0] < 0:
        raise ValueError(f"its result is longer than {LONGEST} characters")


def _filled(made: Any, values: Mapping[str, Any], budget: list[int]) -> Any:
    if isinstance(made, _Expressions):
        return made.fill(values, budget)
    if isinstance(made, dict):
        return {key: _filled(value, values, budget) for key, value in made.items()}
    return [_filled(value, values, budget) for value in made] if isinstance(made, list) else made


def _inert(name: str, value: Any) -> Any:
    """The same for text that is shown as it is: no name begins a line or moves a cursor. A description has lines."""
    if isinstance(value, str):
        lines = value.split("\n") if name == "description" else [value]
        return "\n".join(map(printable, lines))
    if isinstance(value, Mapping):
        return {key: _inert(key, one) for key, one in value.items()}
    return [_inert(name, one) for one in value] if isinstance(value, list | tuple) else value


@lru_cache(64)
def _compiled(template: str) -> tuple[Any, bool]:
    """Raises ValueError that says what is wrong."""
    text = _without_go(template)
    is_document = text.lstrip()[:1] in ("{", "[") and not text.lstrip().startswith(("{{", "{%"))
    if not is_document:
        return _expressions(text), False
    try:
        data = json.loads(text)
    except (ValueError, RecursionError) as error:
        raise ValueError(
            f"it is not JSON ({error}). Write each expression inside a string: "
            '{"title": "{{ title }}"}; a string that is one expression becomes its value.'
        ) from None
    return _compile(data), True


def _compile(data: Any) -> Any:
    if isinstance(data, str):
        return _expressions(data) if "{{" in data or "{%" in data else data
    if isinstance(data, dict):
        return {key: _compile(value) for key, value in data.items()}
    return [_compile(value) for value in data] if isinstance(data, list) else data


def _expressions(text: str) -> _Expressions:
    jinja = _jinja()
    try:
        _check_tree(_environment().parse(text), 0)
        return _Expressions(text)
    except (jinja.TemplateError, RecursionError) as error:
        raise ValueError(f"it cannot be read: {error}.") from None


def _without_go(template: str) -> str:
    found = _GO_WORDS.search(template)
    if found is not None:
        raise ValueError(
            f"'{found[1]}' of Go's templates is not supported; write {{{{ title }}}}, or Jinja's {{% if %}}."
        )

    def written(match: re.Match[str]) -> str:
        first, *rest = match[1][1:].split(".")
        return "{{ " + ".".join([_OF_V03.get(first, first), *rest]) + " }}"

    return _GO.sub(written, template)


def _jinja() -> Any:
    import jinja2

    return jinja2


@lru_cache(1)
def _environment() -> Any:
    from jinja2 import StrictUndefined
    from jinja2.sandbox import ImmutableSandboxedEnvironment

    return ImmutableSandboxedEnvironment(
        autoescape=False, undefined=StrictUndefined, keep_trailing_newline=True, cache_size=0
    )


def _check_tree(node: Any, depth: int) -> None:
    """Only what reads values. Raises ValueError."""
    from jinja2 import nodes

    allowed = (
        *(nodes.Template, nodes.Output, nodes.TemplateData, nodes.Name, nodes.Const, nodes.Getattr),
        *(nodes.Getitem, nodes.Filter, nodes.If, nodes.CondExpr, nodes.Compare, nodes.Operand),
        *(nodes.And, nodes.Or, nodes.Not, nodes.For, nodes.Test),
    )
    for child in node.iter_child_nodes():
        name = type(child).__name__.lower()
        if not isinstance(child, allowed):
            raise ValueError(f"'{name}' is not allowed; a template reads values and does not compute.")
        if isinstance(child, nodes.Filter) and child.name not in _FILTERS:
            raise ValueError(
                f"the filter '{child.name}' is not allowed; allowed: {', '.join(sorted(_FILTERS))}."
            )
        if isinstance(child, nodes.Test) and child.name not in ("defined", "undefined", "none"):
            raise ValueError(f"the test '{child.name}' is not allowed.")
        inner = depth + isinstance(child, nodes.For)
        if inner > _DEPTH:
            raise ValueError(f"loops are nested more than {_DEPTH} deep.")
        if isinstance(child, nodes.For) and child.recursive:
            raise ValueError("recursive loops are not allowed.")
        _check_tree(child, inner)
