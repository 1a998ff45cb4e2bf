"""Label selectors as they are typed: `env=prod,tier!=dev`, as for `kubectl -l`."""

from __future__ import annotations

import re

from pytest_kspec.errors import UsageError
from pytest_kspec.kube.selectors import FoundExpression, FoundSelector, Selector

_KEY = r"([A-Za-z0-9.-]{1,253}/)?[A-Za-z0-9]([A-Za-z0-9_.-]{0,61}[A-Za-z0-9])?"
_VALUE = r"([A-Za-z0-9]([A-Za-z0-9_.-]{0,61}[A-Za-z0-9])?)?"
_REQUIREMENT = re.compile(
    rf"\s*(?:(?P<absent>!)\s*(?P<without>{_KEY})"
    rf"|(?P<key>{_KEY})(?:\s*(?P<sign>==|!=|=)\s*(?P<value>{_VALUE})"
    rf"|\s+(?P<set>in|notin)\s*\((?P<values>[^()]*)\))?)\s*"
)
LONGEST_SELECTOR = 4096


def parse_selector(text: str) -> Selector:
    """A selector as `kubectl -l` takes it: `env=prod,tier!=dev,region in (a, b),!legacy`. "" selects everything.

    Raises UsageError.
    """
    found: list[FoundExpression] = []
    position = 0
    ended = not text.strip() or len(text) > LONGEST_SELECTOR
    while not ended:
        match = _REQUIREMENT.match(text, position)
        position = match.end() if match else position
        ended = position == len(text)
        if match is None or not (ended or text[position] == ","):
            break
        found.append(_requirement(match))
        position += 1
    else:
        if len(text) <= LONGEST_SELECTOR:
            return FoundSelector(match_expressions=tuple(found))
    raise UsageError(
        "this is not a label selector.", where="-l", fix="Write it as for kubectl: env=prod,tier!=dev."
    )


def _requirement(match: re.Match[str]) -> FoundExpression:
    if match["absent"]:
        return FoundExpression(match["without"], "DoesNotExist")
    if match["set"]:
        values = tuple(value.strip() for value in match["values"].split(","))
        if not all(re.fullmatch(_VALUE, value) for value in values):
            raise UsageError(f"the values of {match['key']} are not label values.", where="-l")
        return FoundExpression(match["key"], "In" if match["set"] == "in" else "NotIn", values)
    if match["sign"] is None:
        return FoundExpression(match["key"], "Exists")
    return FoundExpression(match["key"], "NotIn" if match["sign"] == "!=" else "In", (match["value"],))


def is_label(key: str, value: str) -> bool:
    """Whether Kubernetes takes this as a label."""
    return bool(re.fullmatch(_KEY, key) and re.fullmatch(_VALUE, value))
