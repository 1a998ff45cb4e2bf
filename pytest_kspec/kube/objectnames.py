"""Names of clusters and specifications as names and label values of Kubernetes objects.

A context is often no such name (`arn:aws:eks:…:cluster/prod`). What has to be changed carries a digest of the original,
so that two of them never become one.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Container

MAX_LABEL = 63
_DIGEST = 8
_NOT_IN_LABEL = re.compile(r"[^A-Za-z0-9._-]+")
_NOT_IN_NAME = re.compile(r"[^a-z0-9-]+")


def label_value(text: str) -> str:
    """The text, if it is a label value; else one that stands for it alone."""
    return _fit(text, _NOT_IN_LABEL.sub("-", text), MAX_LABEL)


def object_name(*parts: str, longest: int = 253) -> str:
    """`prod-eu-baseline` of these texts; a DNS label but for its length."""
    text = "-".join(parts)
    return _fit(text, _NOT_IN_NAME.sub("-", text.lower()), longest)


def not_taken(name: str, taken: Container[str]) -> str:
    """The name, or `NAME-2` and so on where it is taken. At most 10 longer than the name."""
    made, number = name, 1
    while made in taken:
        number += 1
        made = f"{name}-{number}"
    return made


def age_key(when: str, name: str) -> tuple[str, int, str]:
    """Sorts objects that are named by when they were made, the oldest first, with those of one second in order."""
    return when, len(name), name


def context_name(context: str) -> str:
    """A context as the name of an object, a DNS label: itself where it is one, `user-at-host-1f2e3d4c` otherwise."""
    return _fit(context, _NOT_IN_NAME.sub("-", context.lower().replace("@", "-at-")), MAX_LABEL)


def _fit(text: str, made: str, longest: int) -> str:
    """The digest is of the original: of two texts that become one, at most one keeps its name."""
    made = made.strip("._-")
    if made == text and len(made) <= longest:
        return made
    digest = hashlib.sha256(text.encode()).hexdigest()[:_DIGEST]
    return f"{made[: longest - _DIGEST - 1].strip('._-')}-{digest}".strip("-")
