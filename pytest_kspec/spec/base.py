"""Scalar types of specification models, with their validation."""

import re
from collections.abc import Callable
from typing import Annotated, Any, Literal

from pytest_kspec.kube.fieldvalues import is_field_value
from pytest_kspec.kube.images import RegistryPattern
from pytest_kspec.kube.patterns import MAX_LENGTH, Pattern
from pytest_kspec.kube.podkinds import PATH
from pytest_kspec.kube.versions import BOUND_PATTERN, Bound
from pytest_kspec.regexes import regex
from pytest_kspec.spec.declared import AfterValidator, Field, PlainValidator, WithJsonSchema


def no_entries() -> list[Any]:
    """What an absent list is. pydantic asks for the signature of a factory, and that of `list` has to be parsed."""
    return []


def _not_blank(value: str) -> str:
    if not value.strip():
        raise ValueError("must not be empty.")
    return value


def _regex(value: str) -> str:
    Pattern(value)
    return value


_PSA_VERSION = regex(r"v1\.(0|[1-9]\d{0,3})|latest")
_SEMVER = regex(r"v?\d+(\.\d+){0,2}(-[0-9A-Za-z.-]+)?(\+[0-9A-Za-z.-]+)?")


def _kubernetes_version(value: str) -> str:
    try:
        Bound.parse(value)
    except ValueError as error:
        raise ValueError(f"{error}.") from error
    return value


def _psa_version(value: str) -> str:
    if not _PSA_VERSION.fullmatch(value):
        hint = f" Did you mean 'v{value}'?" if _PSA_VERSION.fullmatch("v" + value) else ""
        raise ValueError(f"{value!r} is not a Pod Security version; allowed: latest, v1.0, v1.1, ….{hint}")
    return value


def _spec_version(value: str) -> str:
    if not _SEMVER.fullmatch(value):
        raise ValueError(f"{value!r} is not a version; write it as 1.2.3.")
    return value


def _registry(value: str) -> str:
    try:
        RegistryPattern.parse(_not_blank(value))
    except ValueError as error:
        raise ValueError(f"{str(error).removesuffix('.')}.") from error
    return value


def _api_group(value: str) -> str:
    if value in ("core", "v1"):
        raise ValueError(f'{value!r} is not an API group; the core group is written "".')
    if "/" in value:
        raise ValueError(f"{value!r} is not an API group: remove the version ({value.partition('/')[0]}).")
    return value


def _pod_path(value: str) -> str:
    if not re.fullmatch(PATH, value):
        raise ValueError(f"{value!r} is not a path; write it as spec.template or spec.tasks[*].template.")
    return value


_LABEL_NAME = r"[a-z0-9*?]([a-z0-9*?-]{0,61}[a-z0-9*?])?"
_OBJECT_NAME = r"\s*[^/%\s][^/%]*"
_QUALIFIED = r"[A-Za-z0-9]([A-Za-z0-9_.-]{0,61}[A-Za-z0-9])?"
_LABEL_KEY = rf"([a-z0-9]([a-z0-9.-]{{0,251}}[a-z0-9])?/)?{_QUALIFIED}"
_LABEL_VALUE = rf"({_QUALIFIED})?"


def _named(pattern: str, what: str) -> AfterValidator:
    """Text that can be the name of something, wildcards included: another could never match."""

    def check(value: str) -> str:
        if not re.fullmatch(pattern, _not_blank(value)):
            lower = value.lower()
            hint = f" Did you mean {lower!r}?" if lower != value and re.fullmatch(pattern, lower) else ""
            raise ValueError(f"{value!r} is not a valid {what} name, so it can never match.{hint}")
        return value

    return AfterValidator(check)


def _label(pattern: str, what: str) -> Callable[[str], str]:
    def check(text: str) -> str:
        if not re.fullmatch(pattern, text):
            raise ValueError(f"{text!r} is not a valid label {what}, so it can never match.")
        return text

    return check


def _labels(value: dict[str, str]) -> dict[str, str]:
    for key, label in value.items():
        _label(_LABEL_KEY, "key")(key)
        _label(_LABEL_VALUE, "value")(label)
    return value


def _field_value(value: Any) -> Any:
    if isinstance(value, float):  # plain data; our own reader keeps the text
        return repr(value)
    if not is_field_value(value):
        raise ValueError("must be a string, an integer, true, false, or a list of those.")
    return value


def _field_scalar(value: Any) -> Any:
    if not isinstance(value, str | int | float):
        raise ValueError("must be a string, an integer, true or false.")
    return repr(value) if isinstance(value, float) else value


def _field_bound(value: Any) -> Any:
    if isinstance(value, float):
        return repr(value)
    if isinstance(value, bool) or not isinstance(value, str | int):
        raise ValueError("must be a number, a quantity such as 500m or 1Gi, or a duration such as 90s.")
    return _not_blank(value) if isinstance(value, str) else value


_SCALAR = {"type": ["string", "integer", "boolean"]}

Text = Annotated[str, Field(min_length=1, json_schema_extra={"pattern": r"\S"}), AfterValidator(_not_blank)]
_NAME = Field(min_length=1, json_schema_extra={"pattern": f"^{_LABEL_NAME}$"})
NamespacePattern = Annotated[str, _NAME, _named(_LABEL_NAME, "namespace")]
ContainerPattern = Annotated[str, _NAME, _named(_LABEL_NAME, "container")]
ObjectPattern = Annotated[
    str,
    Field(min_length=1, json_schema_extra={"pattern": f"^{_OBJECT_NAME}$"}),
    _named(_OBJECT_NAME, "object"),
]
Labels = Annotated[dict[str, str], AfterValidator(_labels)]
LabelKey = Annotated[
    str, Field(json_schema_extra={"pattern": f"^{_LABEL_KEY}$"}), AfterValidator(_label(_LABEL_KEY, "key"))
]
LabelValue = Annotated[
    str,
    Field(json_schema_extra={"pattern": f"^{_LABEL_VALUE}$"}),
    AfterValidator(_label(_LABEL_VALUE, "value")),
]
Flag = Annotated[bool, Field(strict=True)]
Count = Annotated[int, Field(strict=True, ge=0)]
Port = Annotated[int, Field(strict=True, ge=1, le=65535)]
Regex = Annotated[
    str, Field(json_schema_extra={"format": "regex", "maxLength": MAX_LENGTH}), AfterValidator(_regex)
]
KubernetesVersion = Annotated[
    str,
    Field(json_schema_extra={"type": ["string", "number"], "pattern": BOUND_PATTERN}),
    AfterValidator(_kubernetes_version),
]
PodSecurityVersion = Annotated[
    str, Field(json_schema_extra={"pattern": f"^({_PSA_VERSION.pattern})$"}), AfterValidator(_psa_version)
]
SpecVersion = Annotated[
    str,
    Field(json_schema_extra={"type": ["string", "number"], "pattern": f"^{_SEMVER.pattern}$"}),
    AfterValidator(_spec_version),
]
Registry = Annotated[
    str,
    Field(min_length=1, json_schema_extra={"pattern": r"\S", "not": {"pattern": "://|@"}}),
    AfterValidator(_registry),
]
ApiGroup = Annotated[
    str,
    Field(json_schema_extra={"pattern": "^[^/]*$", "not": {"enum": ["core", "v1"]}}),
    AfterValidator(_api_group),
]
PodPath = Annotated[
    str, Field(min_length=1, json_schema_extra={"pattern": f"^{PATH}$"}), AfterValidator(_pod_path)
]
FieldValue = Annotated[
    Any,
    PlainValidator(_field_value),
    WithJsonSchema({"anyOf": [_SCALAR, {"type": "array", "items": _SCALAR}]}),
]
FieldScalar = Annotated[Any, PlainValidator(_field_scalar), WithJsonSchema(_SCALAR)]
FieldBound = Annotated[
    Any,
    PlainValidator(_field_bound),
    WithJsonSchema({"type": ["string", "integer"], "minLength": 1, "pattern": r"\S"}),
]
Level = Literal["privileged", "baseline", "restricted"]
ServiceType = Literal["ClusterIP", "NodePort", "LoadBalancer", "ExternalName"]
