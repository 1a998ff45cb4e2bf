"""Which clusters are meant: by source, by name, by label."""

from __future__ import annotations

import difflib
from collections.abc import Sequence
from fnmatch import fnmatchcase
from typing import NamedTuple

from pytest_kspec.errors import UsageError
from pytest_kspec.fleet.targets.contexts import context_targets
from pytest_kspec.fleet.targets.model import Target
from pytest_kspec.kube.selectors import selects
from pytest_kspec.kube.selectortext import parse_selector


class Wanted(NamedTuple):
    """Which targets.

    names:    exact names, or patterns with `*` and `?`; none: all
    selector: labels as for `kubectl -l`; "": any
    """

    names: tuple[str, ...] = ()
    selector: str = ""
    kubeconfig: str | None = None


def find_targets(wanted: Wanted) -> list[Target]:
    """The targets that are meant, in the order of their names. Nothing is connected to.

    Raises UsageError for a name or pattern that means none, and for a selector that cannot be read. A target whose
    description is wrong is among them, with its problem, and so is one whose labels cannot be read: it is an error of
    that cluster, and must not be missing.
    """
    selector = parse_selector(wanted.selector)
    found = _named(context_targets(wanted.kubeconfig), wanted.names)
    meant = (target for target in found if target.labels is None or selects(selector, target.labels))
    return sorted(meant, key=lambda target: target.name)


def _named(known: list[Target], names: Sequence[str]) -> list[Target]:
    if not names:
        return known
    chosen: dict[str, Target] = {}
    for name in names:
        meant = [target for target in known if name in (target.name, target.ref)]
        if not meant and any(letter in name for letter in "*?"):
            meant = [target for target in known if fnmatchcase(target.name, name)]
        if not meant:
            near = difflib.get_close_matches(name, [target.name for target in known], n=1)
            fix = f"Did you mean '{near[0]}'?" if near else "See 'kspec cluster list'."
            raise UsageError(f"'{name}' is not the name of a cluster.", fix=fix)
        chosen |= {target.ref: target for target in meant}
    return list(chosen.values())
