"""What the custom resources of group kspec.io share: references, conditions, scalar types of their statuses."""

from __future__ import annotations

import base64
import re
from datetime import datetime
from typing import TYPE_CHECKING, Annotated, Any, Literal

from pydantic import AfterValidator, Field, WithJsonSchema

from pytest_kspec.spec import base as declared
from pytest_kspec.spec.twins import StrictModel, pydantic_type

if TYPE_CHECKING:
    from pytest_kspec.spec.base import Count as Count
    from pytest_kspec.spec.base import Flag as Flag
    from pytest_kspec.spec.base import Text as Text
else:
    Count, Flag, Text = map(pydantic_type, (declared.Count, declared.Flag, declared.Text))


def _timestamp(value: str) -> str:
    if not _TIMESTAMP.fullmatch(value):
        raise ValueError(f"{value!r} is not a time; write 2027-03-31T18:00:00Z.")
    try:
        datetime.fromisoformat(value.upper())
    except ValueError as error:
        raise ValueError(f"{value!r} is not a time: {error}.") from error
    return value


def _base64(value: str) -> str:
    try:
        if not base64.b64decode(value, validate=True):
            raise ValueError
    except ValueError:
        raise ValueError("must be base64 and must not be empty.") from None
    return value


def seconds(text: str) -> float:
    """Of an interval or an age as the models have it."""
    return sum(float(number) * _UNITS[unit] for number, unit in _PART.findall(text))


def _at_most_a_year(value: str) -> str:
    if seconds(value) > LONGEST_S:
        raise ValueError(f"{value!r} is longer than a year.")
    return value


_UNITS = {"ms": 0.001, "s": 1, "m": 60, "h": 3600, "d": 86400}
_PART = re.compile(r"(\d+(?:\.\d+)?)(ms|s|m|h|d)")
LONGEST_S = 366 * 86400.0
_TIMESTAMP = re.compile(r"\d{4}-\d\d-\d\d[Tt]\d\d:\d\d:\d\d(\.\d+)?([Zz]|[+-]\d\d:\d\d)")

TimeStamp = Annotated[str, Field(json_schema_extra={"format": "date-time"}), AfterValidator(_timestamp)]
Base64 = Annotated[str, Field(json_schema_extra={"format": "byte"}), AfterValidator(_base64)]
Url = Annotated[str, Field(pattern=r"^https?://\S+$", max_length=2048)]
Percent = Annotated[int, Field(strict=True, ge=0, le=100)]
Age = Annotated[str, Field(pattern=r"^(\d+(\.\d+)?(ms|s|m|h|d))+$", max_length=32)]
"""How long ago: 30d, 1h30m."""
Interval = Annotated[Age, AfterValidator(_at_most_a_year)]
"""Time between two events: 30s, 1h30m."""
AnyValue = Annotated[Any, WithJsonSchema({"x-kubernetes-preserve-unknown-fields": True})]
"""Data of any shape, kept as it is."""


class SpecRef(StrictModel):
    """The ClusterSpecification that is meant."""

    name: Text = Field(description="Name of the specification.")
    version: str = Field("", description="Version of the specification that was evaluated.")
    generation: Count | None = Field(
        None, description="Generation of the custom resource, if the specification is a custom resource."
    )


EntryName = Annotated[str, Field(pattern=r"^[a-z][a-z0-9-]*$", max_length=63)]
"""A name under which an installed package adds something."""


def _no_file(name: str) -> str:
    if name == "file":
        raise ValueError("store must not be file.")
    return name


StoreName = Annotated[EntryName, AfterValidator(_no_file)]
"""What objects may refer to: not to files of the process that reads them."""

STORE: Any = Field(
    "kubernetes",
    description="Store of the secret: kubernetes for a Secret of this cluster, vault for HashiCorp Vault or "
    "OpenBao, aws for AWS Secrets Manager, or the name of a store that an installed package adds.",
)


class SecretKeyRef(StrictModel):
    """A key of a Secret."""

    store: StoreName = STORE
    name: Text = Field(
        description="Name of the Secret. In vault: path in the API, such as secret/data/kspec/NAMESPACE/prod."
    )
    namespace: str = Field(
        "",
        description="Namespace of the Secret. Default: that of this object. Other namespaces must be allowed "
        "(KSPEC_SECRET_REFERENCES).",
    )
    key: str = Field(
        "", description="Key in the Secret. The default is documented at the field that refers to the Secret."
    )


class Condition(StrictModel):
    """A condition, as in other Kubernetes objects."""

    type: Annotated[str, Field(pattern="^[A-Za-z][A-Za-z0-9]*$", max_length=316)] = Field(
        description="Type of the condition, such as Ready."
    )
    status: Literal["True", "False", "Unknown"] = Field(
        description="Status of the condition: True, False or Unknown."
    )
    observed_generation: Count | None = Field(None, description="Generation that the condition was set for.")
    last_transition_time: TimeStamp | None = Field(None, description="Time when the status last changed.")
    reason: str = Field("", description="Reason as a CamelCase word.")
    message: str = Field("", description="Human-readable message.")


class Observed(StrictModel):
    """What every status has."""

    observed_generation: Count | None = Field(
        None, description="Generation of the spec that was last processed."
    )
    conditions: list[Condition] = Field(default_factory=list, description="Conditions, one for each type.")
