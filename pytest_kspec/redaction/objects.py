"""Credentials in Kubernetes objects and in parts of them, by what each field is.

Names, labels, selectors, images, paths, ports, capabilities, sysctls and whatever else a rule reads stay as they are,
unless a password stands in them. A value that was redacted stays as it is when it is redacted again: what a scan says
of a snapshot is what it says of the cluster.
"""

from __future__ import annotations

import re
from collections.abc import Collection, MutableMapping
from enum import Enum
from functools import lru_cache
from typing import Any

from pytest_kspec.redaction.marker import REDACTED
from pytest_kspec.redaction.names import Says, is_about, says
from pytest_kspec.redaction.text import harmless, option_value, redact, redact_formats, redact_named

Counts = MutableMapping[str, int]
"""How many values were redacted: annotations, arguments, configMapData, environment, headers, other."""

MAX_DEPTH = 200


class _In(Enum):
    FIELDS = "other"  # of a kind that has a schema: names that many harmless things have do not count
    FREE = "free"  # a map of what somebody named: they do
    SECRETS = "secrets"  # of a kind that makes Secrets: the same, and `data` is that of a Secret
    RULES = "rules"  # roles, policies, schemas: text about credentials, which holds none but of known formats


# Nothing is to be found here, or rules read it as it is.
_KEPT_WORDS = """
apiGroup apiGroups apiVersion caBundle clusterIP clusterIPs containerID creationTimestamp expression
fieldPath fieldRef finalizers generateName hostIP hostname kind labels labelSelector
matchConditions matchExpressions matchLabels messageExpression metadataName name namespace
namespaceSelector nodeName nodeSelector objectSelector openAPIV3Schema ownerReferences podIP podIPs
podSelector resourceFieldRef resourceNames resourceVersion resources schedulerName secretKeyRef
secretName selector serviceAccount serviceAccountName storageClassName sysctls tolerations
topologyKey uid verbs volumeName
"""
_KEPT = frozenset(_KEPT_WORDS.split())
_FREE_WORDS = """
attributes config context driverOptions extra options parameters params properties settings values
variables volumeAttributes volumeContext
"""
_FREE = frozenset(_FREE_WORDS.split())
_PATHS = frozenset(
    {"path", "subPath", "mountPath", "workingDir", "devicePath", "terminationMessagePath", "exportPath"}
)
_RULE_GROUPS = frozenset(
    {"rbac.authorization.k8s.io", "admissionregistration.k8s.io", "apiextensions.k8s.io"}
)
_OWN_DOMAINS = re.compile(
    r"(?:[\w.-]+\.)?(?:kubernetes\.io|k8s\.io|kspec\.io|kspec\.dev|checksum)/", re.ASCII
)
_DATA = ("data", "binaryData", "stringData")
_OF_SECRETS = frozenset({"apiVersion", "kind", "metadata", "type", "immutable"})
_IMAGE_USER = re.compile(r"([^\s/@:]*):([^\s@]*)@(?![a-z0-9+._-]+:[0-9a-f]{32})")
_GLUED = re.compile(r"-p[^\s-].*", re.DOTALL)
_CLIENTS = re.compile(r"(?:^|/)(?:mysql|mariadb)\w*$")
_ASSIGNED = re.compile(r"(-{0,2}([\w.-]+)=)(.*)", re.DOTALL)
_PASSWORD_WORD = re.compile(r"(?:[\w-]*pass(?:word|wd|phrase)?|masterauth|auth)", re.IGNORECASE)
_SEGMENTS = re.compile(r"\[([^\]]*)\]|([^.\[\]]+)")
_APPLIED = re.compile(
    r".*/last-applied(-configuration)?|objectset\.rio\.cattle\.io/applied|kapp\.k14s\.io/original(-diff.*)?"
)


def strip_applied(annotations: Any, counts: Counts | None = None) -> None:
    """Take away annotations that hold a copy of an object: whoever applied it with kubectl left one."""
    if isinstance(annotations, dict):
        for name in [name for name in annotations if isinstance(name, str) and _APPLIED.fullmatch(name)]:
            del annotations[name]
            _count(counts, "annotations")


def redact_object(raw: dict[str, Any], counts: Counts | None = None) -> None:
    """A whole object, or a list of objects, in place. Raises RecursionError for one that is nested too deeply."""
    group, _, _ = str(raw.get("apiVersion", "")).rpartition("/")
    kind, items = raw.get("kind"), raw.get("items")
    if isinstance(kind, str) and kind.endswith("List") and isinstance(items, list):
        for item in items:  # in a list of one kind they do not say which
            if isinstance(item, dict) and "kind" not in item:
                _held_data(kind.removesuffix("List"), item, counts)
    if not group:
        _held_data(kind, raw, counts, set(raw) - _OF_SECRETS)
    inside = _In.FIELDS
    if group in _RULE_GROUPS:
        inside = _In.RULES
    elif group and isinstance(kind, str) and says(kind) is Says.CREDENTIAL:
        inside = _In.SECRETS
    _walk_map(raw, inside, counts, 0)


def _held_data(
    kind: Any, raw: dict[Any, Any], counts: Counts | None, fields: Collection[Any] = _DATA
) -> None:
    """What a Secret or ConfigMap holds, also one inside another object: of the latter names of keys are kept."""
    if kind == "Secret":
        for key in fields:
            if raw.get(key):
                raw[key] = REDACTED
    elif kind == "ConfigMap":
        for key in fields:
            held = raw.get(key)
            if isinstance(held, dict):
                for name, value in held.items():
                    if value not in ("", REDACTED):
                        held[name] = REDACTED
                        _count(counts, "configMapData")
            elif held is not None:
                raw[key] = REDACTED


def redact_at(path: str, value: Any, kind: str = "") -> Any:
    """What stands at a field path of an object of this kind; `value` is plain data, and may be changed in place.

    path: as in findings, items by name: `spec.containers[app].env[DB_PASSWORD].value`; "" for unknown
    """
    if value is None or isinstance(value, bool):
        return value
    fields: list[str] = []
    name = ""
    for bracket, field in _SEGMENTS.findall(path):
        if field:
            if field != "value":
                fields.append(field)
        elif bracket:
            name = bracket
    field = fields[-1] if fields else ""
    if kind == "ConfigMap" and field in _DATA:
        return REDACTED if value else value
    if field == "annotations" and isinstance(value, str):
        return _annotation(name, value)
    if field in ("labels", "matchLabels") or (field in _KEPT and isinstance(value, str)):
        return redact(value, entropy=False) if isinstance(value, str) else value
    if not isinstance(value, dict | list):
        if field in ("env", "httpHeaders") or (path.endswith("]") and path[-2:-1].isalpha()):
            option = name if name.startswith("-") else ""
            if option and isinstance(value, str):
                return option_value(option, value)
            return _named(name, value, None, "other")
        return _scalar(field, value, _In.FIELDS, None)
    if isinstance(value, dict) and not path:  # perhaps a whole object
        redact_object(value)
        return value
    holder = {field or "value": value}
    _walk_map(holder, _In.FIELDS, None, 0)
    return next(iter(holder.values()))


def _count(counts: Counts | None, what: str) -> None:
    if counts is not None:
        counts[what] = counts.get(what, 0) + 1


def _walk_map(value: dict[Any, Any], inside: _In, counts: Counts | None, depth: int) -> None:
    if depth > MAX_DEPTH:
        raise RecursionError
    if depth and value.get("kind") in ("Secret", "ConfigMap"):
        _held_data(value["kind"], value, counts)
    for key, child in value.items():
        if key in _KEPT and inside is not _In.FREE:
            continue
        kind = type(child)
        if kind is str:
            if len(child) > 3:
                made = _kept(key, child, inside)
                if made is not None:
                    value[key] = made
                    _count(counts, "other")
        elif kind is dict:
            if key == "annotations":
                strip_applied(child, counts)
                _annotations(child, counts)
            elif _holds_credentials(key, inside):
                _values(child, counts)
                _walk_map(child, inside, counts, depth + 1)
            else:
                _walk_map(child, _within(key, inside), counts, depth + 1)
        elif kind is list:
            _walk_list(key, child, inside, counts, depth + 1)
        elif kind is int:
            value[key] = _scalar(key, child, inside, counts)
    if "value" in value and inside is not _In.RULES:
        name = value.get("name", value.get("key"))
        if type(name) is str and isinstance(value["value"], str | int):
            value["value"] = _named(name, value["value"], counts, "other")


def _holds_credentials(key: Any, inside: _In) -> bool:
    """Whether a map with this name has credentials as values, whatever their names: `passwords: {bob: …}`."""
    if inside is _In.RULES or type(key) is not str:
        return False
    if key == "stringData" or (inside is _In.SECRETS and key == "data"):
        return True
    return key.endswith("s") and says(key) is Says.CREDENTIAL


def _values(held: dict[Any, Any], counts: Counts | None) -> None:
    for name, value in held.items():
        if type(value) is str and not is_about(str(name)) and not harmless(value, Says.CREDENTIAL):
            held[name] = REDACTED
            _count(counts, "other")


def _within(key: Any, inside: _In) -> _In:
    return _In.FREE if key in _FREE and inside in (_In.FIELDS, _In.SECRETS) else inside


def _walk_list(key: Any, items: list[Any], inside: _In, counts: Counts | None, depth: int) -> None:
    if depth > MAX_DEPTH:
        raise RecursionError
    if key in ("args", "command"):
        _arguments(items, counts)
    what = {"env": "environment", "httpHeaders": "headers"}.get(key) if type(key) is str else None
    for index, item in enumerate(items):
        kind = type(item)
        if kind is dict:
            if what and isinstance(item.get("value"), str | int):
                item["value"] = _named(str(item.get("name", "")), item["value"], counts, what)
            _walk_map(item, _within(key, inside), counts, depth + 1)
        elif kind is list:
            _walk_list(key, item, inside, counts, depth + 1)
        elif kind is str and key not in ("args", "command"):
            made = _scalar(key, item, inside, counts)
            if made is not item:
                items[index] = made


def _scalar(key: Any, value: Any, inside: _In, counts: Counts | None) -> Any:
    if type(value) is str:
        made: Any = _text(key, value, inside)
    elif inside is not _In.RULES and type(key) is str and says(key) is Says.CREDENTIAL:
        made = value if "token" in key.lower() else REDACTED  # numbers of tokens are none
    else:
        return value
    if made is not value:
        _count(counts, "other")
    return made


def _text(key: Any, value: str, inside: _In) -> str:
    """What is kept of the text of a field; the same object where that is all of it."""
    made = _kept(key, value, inside)
    return value if made is None else made


@lru_cache(maxsize=1 << 15)
def _kept(key: Any, value: str, inside: _In) -> str | None:
    """The same; None for all of it."""
    if key in ("image", "imageID"):
        made = redact_image(value)
    elif inside is _In.RULES and key != "url":
        made = redact_formats(value)
    elif key in _PATHS:
        made = redact(value, entropy=False)
    else:
        made = redact_named(str(key), value, weak=inside is _In.FREE)
    return None if made == value else made


def _named(name: str, value: Any, counts: Counts | None, what: str) -> Any:
    if isinstance(value, bool):
        return value
    text = value if isinstance(value, str) else str(value)
    made = redact_named(name, text)
    if made == text:
        return value
    _count(counts, what)
    return made


def redact_image(image: str) -> str:
    """A reference to an image without user and password before the registry; tags and digests stay."""
    if "?" in image:  # none; it is not the reference that it is called
        return redact(image, entropy=False)
    if "@" in image:
        image = _IMAGE_USER.sub(lambda m: m[0] if m[2] == REDACTED else f"{m[1]}:{REDACTED}@", image)
    return redact_formats(image)


def _annotations(annotations: dict[Any, Any], counts: Counts | None) -> None:
    for name, value in annotations.items():
        if type(value) is str and len(value) > 3:
            made = _annotation(str(name), value)
            if made != value:
                annotations[name] = made
                _count(counts, "annotations")


def _annotation(name: str, value: str) -> str:
    if _APPLIED.fullmatch(name):
        return REDACTED
    if _OWN_DOMAINS.match(
        name
    ):  # what these mean is known, and rules read some; the rest of the key may be any name
        return redact(value, entropy=False)
    return redact_named(name.rpartition("/")[2], value)


def _arguments(items: list[Any], counts: Counts | None) -> None:
    """Words of a command line: a value may be the word after its option."""
    option = ""
    client = False
    for index, word in enumerate(items):
        if type(word) is not str:
            option = ""
            continue
        if option and not (
            word.startswith("-") and len(word) > 1 and says(option.lstrip("-")) is not Says.CREDENTIAL
        ):
            made = option_value(option, word)
        elif client and _GLUED.fullmatch(word):
            made = f"-p{REDACTED}"
        elif assigned := _ASSIGNED.fullmatch(word):
            made = assigned[1] + redact_named(assigned[2], assigned[3])
            made = redact(word) if made == word else made  # padding of base64 looks like an assignment
        else:
            made = redact(word)
        if made != word:
            items[index] = made
            _count(counts, "arguments")
        client = client or bool(_CLIENTS.search(word))
        plain = word.startswith("-") and "=" not in word and " " not in word
        option = (
            word
            if plain
            else f"--{word}"
            if _PASSWORD_WORD.fullmatch(word) and word.lower() != "auth"
            else ""
        )
        if option and harmless(word, Says.NOTHING):
            option = ""
