"""What names a secret, checked: in which store it is, under which name and key."""

from __future__ import annotations

import re
from typing import NamedTuple, Protocol

from pytest_kspec.errors import UsageError
from pytest_kspec.extend.places import SECRET_STORES

_NAMES = {
    "kubernetes": re.compile(r"[a-z0-9]([a-z0-9.-]{0,251}[a-z0-9])?"),
    "vault": re.compile(r"[A-Za-z0-9_.@=-]+(/[A-Za-z0-9_.@=-]+)*"),
    "aws": re.compile(r"(arn:[a-z-]+:secretsmanager:[a-z0-9-]*:\d*:secret:)?[A-Za-z0-9/_+=.@-]+"),
    "file": re.compile(r"[^\0]+", re.DOTALL),
}
_OTHERS = re.compile(r"[!-~]([ -~]*[!-~])?")
_NAMESPACE = re.compile(r"[a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?")
_KEY = re.compile(r"[A-Za-z0-9._-]{1,253}")
_LONGEST = 1024


class KeyRef(Protocol):
    """A reference as objects have it (`secretRef`)."""

    @property
    def store(self) -> str:
        """The name of a store; "" is kubernetes."""
        ...

    @property
    def name(self) -> str:
        """Of the Secret; in other stores its path."""
        ...

    @property
    def namespace(self) -> str:
        """Of the Secret; "": that of the object."""
        ...

    @property
    def key(self) -> str:
        """Within the secret; "": the default of the field."""
        ...


class Reference(NamedTuple):
    """store: its name. namespace: of a Kubernetes Secret, else "". key: "" for all of it."""

    store: str
    name: str
    namespace: str = ""
    key: str = ""

    def __str__(self) -> str:
        place = f"{self.namespace}/{self.name}" if self.namespace else self.name
        return f"{self.store}:{place}#{self.key}" if self.key else f"{self.store}:{place}"


SecretReference = Reference
"""The public name."""


def reference_of(ref: KeyRef, *, namespace: str, key: str) -> Reference:
    """What an object refers to. namespace: that of the object; key: the field's default. Raises UsageError."""
    store = ref.store or "kubernetes"
    if store == "file":
        raise UsageError("an object cannot refer to a file.", where=ref.name)
    in_namespace = (ref.namespace or namespace) if store == "kubernetes" else ""
    return checked(Reference(store, ref.name, in_namespace, ref.key or key))


def parse_reference(text: str, *, namespace: str = "") -> Reference:
    """`STORE:NAME#KEY`; of Kubernetes `kubernetes:NAMESPACE/NAME#KEY`. namespace: where none is written.

    Raises UsageError.
    """
    store, colon, rest = text.partition(":")
    if not colon or SECRET_STORES.find(store) is None:
        # Without the text: who writes no reference may have written the secret itself.
        raise UsageError(
            "a reference to a secret begins with one of "
            f"{', '.join(f'{name}:' for name in SECRET_STORES.names())}."
        )
    name, _, key = rest.rpartition("#") if "#" in rest else (rest, "", "")
    if store == "kubernetes":
        own, slash, after = name.partition("/")
        name, namespace = (after, own) if slash else (name, namespace)
    return checked(Reference(store, name, namespace if store == "kubernetes" else "", key))


def checked(reference: Reference) -> Reference:
    """The same, if it can name something. Raises UsageError."""
    where = str(reference)[:_LONGEST]
    if SECRET_STORES.find(reference.store) is None:
        raise UsageError(f"'{reference.store}' is not a store of secrets.", where=where)
    pattern = _NAMES.get(reference.store, _OTHERS)
    segments = reference.name.split("/")
    odd = reference.store != "file" and any(part in (".", "..") for part in segments)
    if odd or len(reference.name) > _LONGEST or not pattern.fullmatch(reference.name):
        raise UsageError(f"this is not the name of a secret in {reference.store}.", where=where)
    if reference.store == "kubernetes" and not _NAMESPACE.fullmatch(reference.namespace):
        raise UsageError("the reference names no namespace.", where=where)
    if reference.key in (".", "..") or (reference.key and not _KEY.fullmatch(reference.key)):
        raise UsageError("this is not a key of a secret.", where=where)
    return reference
