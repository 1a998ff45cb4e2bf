"""How a rule is said in CEL: the `to_cel` of each kind of rule, and what helps to write one."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import NamedTuple, Protocol, runtime_checkable

from pytest_kspec.errors import CheckError
from pytest_kspec.kube.resources import CONTAINER_LISTS
from pytest_kspec.rules.base import Rule, ServiceRule
from pytest_kspec.rules.cel.places import SERVICES, Place
from pytest_kspec.rules.cel.text import EMPTY_LIST, NotExpressible, all_of, concat, literal, parenthesised

LIST_TEXT = '"[\'" + {}.join("\', \'") + "\']"'
"""A list of texts as a scan shows it."""

Judged = tuple[str, str]
"""CEL of whether something is violated, and of the text that says so (evaluated only where it is)."""


class CelBuilder(NamedTuple):
    """Makes the CEL of a rule for one place, from what the rule says of a single pod, container or volume.

    exempt: name of a container (CEL) → CEL of whether an exemption covers it; "" where none does. `containers` asks
            it; a rule that goes over containers by itself must.
    """

    place: Place
    exempt: Callable[[str], str] = lambda name: ""

    @property
    def is_service(self) -> bool:
        """Whether the object is a Service; else it is, or holds, a pod."""
        return self.place == SERVICES

    @property
    def base(self) -> str:
        """Path of the pod's spec in messages."""
        return f"{self.place.path}spec"

    def pod(self, judge: Callable[[str, str], Judged]) -> str:
        """Problems of the pod itself. judge: (CEL of the spec, CEL of its path) → judged."""
        bad, text = judge("variables.spec", literal(self.base))
        return EMPTY_LIST if bad == "false" else f"{parenthesised(bad)} ? [{text}] : {EMPTY_LIST}"

    def containers(
        self, judge: Callable[[str, str], Judged], lists: Sequence[str] = CONTAINER_LISTS, only: str = ""
    ) -> str:
        """Problems of containers. judge: (CEL of a container, CEL of its path) → judged; only: CEL over `c`."""
        found = []
        for name in self.place.lists:
            if name in lists:
                bad, text = judge("c", path_to(f"{self.base}.{name}", "c.name"))
                exempt = self.exempt("c.name")
                conditions = [only, f"!{parenthesised(exempt)}" if exempt else "", bad]
                bad = all_of([condition for condition in conditions if condition])
                found.append(f"variables.{name}.map(c, {bad}, {text})")
        return concat(found)

    def volumes(self, judge: Callable[[str, str], Judged]) -> str:
        """Problems of volumes. judge: (CEL of a volume, CEL of its path) → judged."""
        bad, text = judge("v", path_to(f"{self.base}.volumes", "v.name"))
        return f"variables.volumes.map(v, {bad}, {text})"


@runtime_checkable
class Expressible(Protocol):
    """A kind of rule that can be said in CEL, so that policies in the API server enforce it."""

    def to_cel(self, builder: CelBuilder) -> str:
        """CEL of a list of texts: one a violation of the object, empty where there is none.

        It must find what `evaluate` (`evaluate_service`) finds. Raises NotExpressible, with the reason, where that
        cannot be said exactly.
        """
        ...


def problems(rule: Rule | ServiceRule, builder: CelBuilder) -> str:
    """A rule as CEL: see `Expressible`. Raises NotExpressible, also for a kind of rule that has no `to_cel`."""
    if not isinstance(rule, Expressible):
        raise NotExpressible(f"{type(rule).__name__} has no CEL form (`to_cel`)")
    text = rule.to_cel(builder)
    if type(text) is not str:
        raise CheckError(
            f"{type(rule).__name__}.to_cel returned {type(text).__name__}, not CEL as text",
            fix="Return the expression, or raise NotExpressible with the reason.",
        )
    return text


def said(path: str, field: str, actual: str, expected: str) -> str:
    """CEL of the sentence of a violation, as a scan says it. path, actual: CEL; field, expected: text."""
    return f"{extend(path, f'.{field} is ')} + {actual} + {literal(f', must be {expected}')}"


def shown_list(optional: str) -> str:
    """CEL of a list of texts, an optional, as a scan shows it."""
    return f'({optional}.hasValue() ? {LIST_TEXT.format(f"{optional}.value()")} : "unset")'


def path_to(path: str, label: str) -> str:
    """CEL of `path[label]`: path is text, label CEL."""
    return f"{literal(f'{path}[')} + {label} + {literal(']')}"


def extend(path: str, text: str) -> str:
    """CEL of a path with more text: a literal at its end grows."""
    if path.endswith('"'):
        return path[:-1] + literal(text)[1:]
    return f"{path} + {literal(text)}"


def item_path(where: str, items: str, label: str) -> str:
    """CEL of the path of an item of a list field."""
    return f"{extend(where, f'.{items}[')} + {label} + {literal(']')}"


def item_label(item: str, items: str) -> str:
    """CEL of how a path names an item of a list: its `name`, or its index where it has none."""
    return f'({item}.?name.orValue("") != "" ? {item}.name : string({items}.indexOf({item})))'
