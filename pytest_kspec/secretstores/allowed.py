"""Who may refer to which secret.

kspec reads with its own rights, so an object that names a secret borrows them. Without a rule it gets the Secrets of
its own namespace, and in other stores what lies under `kspec/NAMESPACE/`.
"""

from __future__ import annotations

import os
import re
from collections.abc import Mapping
from fnmatch import fnmatchcase
from typing import NamedTuple

from pytest_kspec.errors import AccessDenied, UsageError
from pytest_kspec.extend.places import SECRET_STORES
from pytest_kspec.secretstores.reference import Reference

VARIABLE = "KSPEC_SECRET_REFERENCES"
_RULE = re.compile(
    r"(?P<namespace>[a-z0-9-]{1,63})=(?P<store>[a-z][a-z0-9-]*):(?P<pattern>[^\s,?\[\]]{1,1024})"
)


class Rule(NamedTuple):
    """Objects of this namespace may refer to names of this store that match; `*` stands for any text."""

    namespace: str
    store: str
    pattern: str


class Allowed(NamedTuple):
    """What is allowed beyond the own namespace."""

    rules: tuple[Rule, ...] = ()

    def check(self, reference: Reference, asker: str) -> None:
        """asker: namespace of the object that has the reference; "" is the user at the command line, who may all.

        Raises AccessDenied.
        """
        if not asker or self._own(reference, asker):
            return
        name = f"{reference.namespace}/{reference.name}" if reference.namespace else reference.name
        for rule in self.rules:
            if (rule.namespace, rule.store) == (asker, reference.store) and fnmatchcase(name, rule.pattern):
                return
        raise AccessDenied(
            f"an object of the namespace {asker} may not refer to {reference}.",
            fix=f"Move the secret, or allow it in {VARIABLE}.",
        )

    def _own(self, reference: Reference, asker: str) -> bool:
        match reference.store:
            case "kubernetes":
                return reference.namespace == asker
            case "vault":  # after the mount, and what KV version 2 has behind it
                return bool(re.match(rf"[^/]+/(data/)?kspec/{re.escape(asker)}/[^/]", reference.name))
            case "aws":
                return reference.name.startswith(f"kspec/{asker}/")
        return False


def allowed_by_environment(environment: Mapping[str, str] = os.environ) -> Allowed:
    """`NAMESPACE=STORE:PATTERN`, separated by commas: `team-a=vault:secret/data/team-a/*,team-a=kubernetes:shared/*`.

    Raises UsageError.
    """
    rules = []
    for part in filter(None, map(str.strip, environment.get(VARIABLE, "").split(","))):
        match = _RULE.fullmatch(part)
        if match is None or match["store"] == "file" or SECRET_STORES.find(match["store"]) is None:
            raise UsageError(f"'{part}' is not a rule.", where=VARIABLE, fix="Write NAMESPACE=vault:PATTERN.")
        rules.append(Rule(match["namespace"], match["store"], match["pattern"]))
    return Allowed(tuple(rules))
