"""What a check asks for by name, where no pytest resolves it: the context's own names, and fixtures of its module.

Of a user's fixtures this knows those that are functions or generators of other fixtures. Whatever only pytest can make
(`request`, `tmp_path`, parameters of fixtures) is an error of the check, never left out.
"""

from __future__ import annotations

import inspect
from collections.abc import Callable, Iterable, Iterator, Mapping
from functools import partial
from types import ModuleType
from typing import Any, NamedTuple

from pytest_kspec.errors import CheckError
from pytest_kspec.evaluate.context import FIXTURES, CheckContext
from pytest_kspec.evaluate.verdict import no_fixture

_NOTHING = object()


class Fixture(NamedTuple):
    """A fixture of a user. func: a function, or a generator that yields once; problem: why it cannot be made here."""

    func: Callable[..., Any]
    autouse: bool = False
    problem: str = ""


def fixtures_of(module: ModuleType) -> dict[str, Fixture]:
    """The fixtures that a module defines or imports, by name, as pytest marks them."""
    found: dict[str, Fixture] = {}
    for name, value in vars(module).items():
        marker = getattr(value, "_fixture_function_marker", None)
        unwrap = getattr(value, "_get_wrapped_function", None)
        if marker is None or unwrap is None:
            continue
        problem = "it has parameters (params), which only pytest resolves" if marker.params else ""
        found[marker.name or name] = Fixture(unwrap(), bool(marker.autouse), problem)
    return found


class Fixtures:
    """The arguments of one check. Made in the order in which they are asked for, ended in the opposite one."""

    def __init__(
        self, context: CheckContext, fixtures: Mapping[str, Fixture], given: Mapping[str, Any]
    ) -> None:
        """given: arguments that are there already: those of `parametrize`."""
        self._context = context
        self._fixtures = fixtures
        self._given = given
        self._made: dict[str, Any] = {}
        self._open: list[Iterator[Any]] = []

    def make(self, func: Callable[..., Any], also: Iterable[str] = ()) -> dict[str, Any]:
        """All arguments of a check. also: fixtures that it uses without an argument. Raises what a fixture raises."""
        for name in (*(n for n, fixture in self._fixtures.items() if fixture.autouse), *also):
            self._value(name, ())
        return {name: self._value(name, ()) for name in _asked(func)}

    def end(self) -> Iterator[Callable[[], None]]:
        """What is left of each generator, the last one first. Each raises what it raises."""
        while self._open:
            yield partial(_finish, self._open.pop())

    def _value(self, name: str, above: tuple[str, ...]) -> Any:
        """above: the fixtures that ask for it, the nearest last: one may build on the one that it replaces."""
        if name in self._given:
            return self._given[name]
        fixture = self._fixtures.get(name) if name not in above else None
        if fixture is None:
            if name not in FIXTURES:
                raise CheckError(no_fixture(name))
            return getattr(self._context, name)
        if name not in self._made:
            if fixture.problem:
                raise CheckError(f"the fixture {name!r} cannot be made without pytest: {fixture.problem}.")
            arguments = {part: self._value(part, (*above, name)) for part in _asked(fixture.func)}
            made = fixture.func(**arguments)
            if inspect.isgeneratorfunction(fixture.func):
                generator, made = made, next(made, _NOTHING)
                if made is _NOTHING:
                    raise ValueError(f"{name} did not yield a value")  # as pytest says
                self._open.append(generator)
            self._made[name] = made
        return self._made[name]


def _asked(func: Callable[..., Any]) -> Iterator[str]:
    """Arguments without a default, as pytest takes them."""
    for name, parameter in inspect.signature(func).parameters.items():
        if parameter.default is parameter.empty and parameter.kind in (
            parameter.POSITIONAL_OR_KEYWORD,
            parameter.KEYWORD_ONLY,
        ):
            yield name


def _finish(generator: Iterator[Any]) -> None:
    for _ in generator:
        raise CheckError("the fixture yields more than once.")
