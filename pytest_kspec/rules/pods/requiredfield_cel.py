"""`RequiredField` and `ForbiddenField` as CEL: inheritance and defaults as `rules.pods.requiredfield` has them.

Admission sees objects after the API server has filled in defaults, but not in templates what it fills into pods only:
the tables of `poddefaults` are applied here as well.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from pytest_kspec.kube.podfields import EVERY, PodField
from pytest_kspec.kube.resources import CONTAINER_LISTS
from pytest_kspec.rules import poddefaults
from pytest_kspec.rules.cel.builder import CelBuilder, Judged, extend, item_label, item_path
from pytest_kspec.rules.cel.places import TEMPLATE_LISTS
from pytest_kspec.rules.cel.text import NotExpressible, all_of, any_of, literal, optional
from pytest_kspec.rules.pods.fieldtest_cel import FieldType, type_of
from pytest_kspec.rules.pods.values import HIDDEN

if TYPE_CHECKING:
    from pytest_kspec.rules.pods.requiredfield import FieldDemand

_SIDECAR = 'c.?restartPolicy.orValue("") == "Always"'


def field_demand(rule: FieldDemand, builder: CelBuilder) -> str:
    """Either rule, on the pod or on its containers."""
    target = rule.target
    if target.level == "pod":
        problems = builder.pod(lambda base, where: _judge(rule, base, where, in_pod=True))
    else:
        problems = _containers(rule, builder)
    return _where_os_allows(target, problems)


def _containers(rule: FieldDemand, builder: CelBuilder) -> str:
    def judge(base: str, where: str) -> Judged:
        return _judge(rule, base, where, in_pod=False)

    first = rule.target.path[0]
    lists = TEMPLATE_LISTS if first in poddefaults.NOT_EPHEMERAL else CONTAINER_LISTS
    if first not in poddefaults.NOT_INIT:
        return builder.containers(judge, lists)
    some = builder.containers(judge, [name for name in lists if name != "initContainers"])
    return f"{builder.containers(judge, ['initContainers'], only=_SIDECAR)} + {some}"


def _where_os_allows(target: PodField, problems: str) -> str:
    """As `poddefaults.os_allows`: fields that pods of an operating system must leave unset are not asked of them."""
    refused = [
        name for name in ("windows", "linux") if not poddefaults.os_has(name, target.level, target.path)
    ]
    for name in refused:
        problems = f"variables.os == {literal(name)} ? [] : ({problems})"
    return problems


def _judge(rule: FieldDemand, base: str, where: str, *, in_pod: bool) -> Judged:
    """(bad, text) for one container or pod; a path through lists goes through each of their items."""
    before, star, after = _cut(rule.target.path)
    if not star:
        return _leaf(rule, base, rule.target.path, where, in_pod=in_pod)
    if not in_pod and _inherits(rule.target.path):
        raise NotExpressible(f"{rule.key} is inherited item by item, which cannot be expressed in CEL")
    return _items(rule, base, before, after, where, depth=0)


def _items(
    rule: FieldDemand, base: str, before: Sequence[str], after: Sequence[str], where: str, depth: int
) -> Judged:
    variable = f"i{depth}"
    items = f"{optional(base, before)}.orValue([])"
    label = item_label(variable, ".".join([base, *before]))
    path = item_path(where, ".".join(before), label)
    head, star, rest = _cut(after)
    if star:
        bad, text = _items(rule, variable, head, rest, path, depth + 1)
    else:
        bad, text = _leaf(rule, variable, after, path, in_pod=True, steps=rule.target.path)
    return f"{items}.exists({variable}, {bad})", f'{items}.map({variable}, {bad}, {text}).join("; ")'


def _cut(path: Sequence[str]) -> tuple[Sequence[str], bool, Sequence[str]]:
    if EVERY not in path:
        return path, False, ()
    at = list(path).index(EVERY)
    return path[:at], True, path[at + 1 :]


def _leaf(
    rule: FieldDemand,
    base: str,
    path: Sequence[str],
    where: str,
    *,
    in_pod: bool,
    steps: tuple[str, ...] | None = None,
) -> Judged:
    """One value. steps: its whole path in the container or pod, where `base` is an item of a list in it."""
    whole = steps or rule.target.path
    kind = type_of(rule.target)
    own = optional(base, path)
    written = own
    inherited = "" if in_pod else _inherited(base, whole, own, kind)
    if inherited:
        written = f"({kind.empty(own)} ? {inherited} : {own})"
    stated = written
    filled = _filled(base, whole, in_pod=in_pod, in_item=steps is not None)
    if filled is not None:
        stated = f"{written}.or(optional.of({filled}))"
    effective = stated
    implied = poddefaults.IMPLIED.get(whole)
    if implied is not None:
        effective = f"{stated}.or(optional.of({literal(implied)}))"
    bad = f"!({_holds(rule, stated, effective, kind)})"
    hidden = f'({written}.hasValue() ? {literal(HIDDEN)} : "unset")'
    actual = hidden if rule.is_secret else kind.shown(written)
    end = literal(f", must be {rule.expected}")
    if inherited:
        taken = literal(f", must be {rule.expected} (taken from elsewhere)")
        end = f"({kind.empty(own)} && !({kind.empty(written)}) ? {taken} : {end})"
    name = ".".join(path)
    return bad, f"{extend(where, f'.{name} is ' if name else ' is ')} + {actual} + {end}"


def _holds(rule: FieldDemand, stated: str, effective: str, kind: FieldType) -> str:
    """As `_holds` of the rules."""
    if rule.about_truth:
        return f"{effective}.orValue(false) == {literal(rule.required)}"
    empty = kind.empty(stated)
    if not rule.tests:
        return empty if rule.unset_is else f"!({empty})"
    met = any_of(
        [
            kind.meets(stated if rule.exists else effective, test)
            if test.exists is None
            else (f"!({empty})" if test.exists else empty)
            for test in rule.tests
        ]
    )
    held = met if rule.required else f"!({met})"
    if rule.unset_is is None:
        return held
    return any_of([empty, held]) if rule.unset_is else all_of([f"!({empty})", held])


def _inherits(path: Sequence[str]) -> bool:
    return path[0] == "resources" or (
        path[0] == "securityContext" and len(path) > 1 and path[1] in poddefaults.INHERITED
    )


def _inherited(base: str, path: tuple[str, ...], own: str, kind: FieldType) -> str:
    """As `podvalues.inherited`: CEL of an optional; "" where nothing is taken over."""
    if not _inherits(path):
        return ""
    sources = [optional("variables.spec", path)]
    if path[:2] == ("resources", "requests"):
        swapped = ("resources", "limits", *path[2:])
        sources = [optional(base, swapped), *sources, optional("variables.spec", swapped)]
    found = own
    for source in reversed(sources):
        found = f"(!({kind.empty(source)}) ? {source} : {found})"
    if path[0] == "securityContext" and path[1] != "windowsOptions" and len(path) > 2:
        found = f"({optional(base, path[:2])}.hasValue() ? {own} : {found})"
    return found


def _filled(base: str, path: tuple[str, ...], *, in_pod: bool, in_item: bool) -> str | None:
    """As `_filled` of the rules, but for `imagePullPolicy`: the API server writes it into pods and templates."""
    if in_item:
        value = poddefaults.FILLED_CONTAINER.get(path)
        return None if value is None else literal(value)
    if in_pod:
        value = poddefaults.FILLED_POD.get(path)
        return None if value is None else literal(value)
    if len(path) == 2 and path[0] in poddefaults.PROBES:
        # Filled in where there is a probe; the API server has done so in templates too.
        return None
    value = poddefaults.FILLED_CONTAINER.get(path)
    return None if value is None else literal(value)
