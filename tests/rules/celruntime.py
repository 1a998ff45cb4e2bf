"""CEL evaluated without an API server, by CEL's own runtime.

What an API server adds to CEL and policies use is here in Python: `indexOf` of lists (policies use no other; the
runtime has that of texts, and cannot have both) and quantities. It also fills in defaults, drops nulls and checks
types before: `tests/parity` asks a real one. The runtime reads expressions to a depth of 32 (an API server to 250), and
each `+` is a level: a long sum of lists is evaluated list by list.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from functools import cache
from typing import Any

from cel_expr_python import cel
from cel_expr_python.ext import ext_optional, ext_strings

from pytest_kspec.kube.quantity import parse_quantity
from pytest_kspec.rules.cel.places import PLACES, Place

_SHORT = 4000
"""Characters of an expression that are never too deep."""

_PIECE = re.compile(r'"(?:[^"\\]|\\.)*"| [+?:] |.', re.DOTALL)
_SAID = re.compile(r" is .*", re.DOTALL)


def values(variables: Iterable[tuple[str, str]], obj: dict[str, Any]) -> dict[str, Any]:
    """Name → value of variables of a policy, (name, CEL), each of which may use those before it."""
    found: dict[str, Any] = {}
    plain = _without_nulls(obj)
    for name, text in variables:
        found[name] = _evaluated(text, {"object": plain, "variables": found})
    return found


def sentences(texts: list[str]) -> list[str]:
    """Of the problems of a rule: each violation by itself."""
    return [part for text in texts for part in text.split("; ")]


def path_of(sentence: str) -> str:
    """What a violation is about."""
    return _SAID.sub("", sentence)


def place_of(obj: dict[str, Any]) -> Place:
    """Where this object has its pod."""
    return next(place for place in PLACES if obj["kind"] in {kind.kind for kind in place.kinds})


def _without_nulls(value: Any) -> Any:
    if isinstance(value, dict):
        return {key: _without_nulls(item) for key, item in value.items() if item is not None}
    return [_without_nulls(item) for item in value] if isinstance(value, list) else value


def _evaluated(text: str, data: dict[str, Any]) -> Any:
    if len(text) > _SHORT:
        condition, then, otherwise = _split(text, " ? ", " : ")
        if then:
            return _evaluated(then if _evaluated(condition, data) else otherwise, data)
        term, rest, _ = _split(text, " + ")
        if rest:
            return [*_evaluated(term, data), *_evaluated(rest, data)]
    value = _compiled(text).eval(data=data)
    assert value.type() != cel.Type.ERROR, f"{value.value()}: {text}"
    return value.plain_value()


@cache
def _split(text: str, first: str, second: str = "") -> tuple[str, str, str]:
    """The text before, between and after two operators that stand in no parentheses; ("", "", "") without the first."""
    parts, depth, inner = ["", "", ""], 0, 0
    place = 0
    for piece in _PIECE.findall(text.removeprefix("(").removesuffix(")") if _is_wrapped(text) else text):
        depth += (piece in "([{") - (piece in ")]}")
        if depth == 0 and piece == first and place == 0:
            place = 1
        elif depth == 0 and piece == second and place == 1 and inner == 0:
            place = 2
        else:
            inner += depth == 0 and place == 1 and ((piece == first) - (piece == second))
            parts[place] += piece
    return (parts[0], parts[1], parts[2]) if place else ("", "", "")


def _is_wrapped(text: str) -> bool:
    """Whether one pair of parentheses is around all of it."""
    depth = 0
    pieces = _PIECE.findall(text)
    for index, piece in enumerate(pieces):
        depth += (piece in "([{") - (piece in ")]}")
        if depth == 0:
            return piece == ")" and index == len(pieces) - 1
    return False


@cache
def _compiled(text: str) -> Any:
    return _environment().compile(text.replace(".indexOf(", ".indexIn("))


@cache
def _environment() -> Any:
    string, anything, number = cel.Type.STRING, cel.Type.DYN, cel.Type.INT

    def function(name: str, returned: Any, parameters: list[Any], impl: Any, *, member: bool) -> Any:
        overload = cel.Overload(
            f"test_{name}", return_type=returned, parameters=parameters, is_member=member, impl=impl
        )
        return cel.FunctionDecl(name, [overload])

    def compare(one: str, other: str) -> int:
        first, second = parse_quantity(one), parse_quantity(other)
        return (first > second) - (first < second)

    return cel.NewEnv(
        variables={"object": anything, "variables": anything},
        extensions=[ext_optional.ExtOptional(), ext_strings.ExtStrings()],
        functions=[
            function("indexIn", number, [cel.Type.LIST, cel.Type.MAP], _index, member=True),
            function("quantity", string, [string], lambda text: text, member=False),
            function("compareTo", number, [string, string], compare, member=True),
        ],
    )


def _index(items: Any, item: Any) -> int:
    def plain(value: Any) -> Any:
        return value.plain_value() if hasattr(value, "plain_value") else value

    return [plain(value) for value in items].index(plain(item))
