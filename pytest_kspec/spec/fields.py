"""What a specification may say of a field of containers and pods: one entry of `workloads.containers`."""

from itertools import combinations
from typing import Annotated, Self

from pytest_kspec.spec.base import (
    FieldBound,
    FieldScalar,
    FieldValue,
    Flag,
    Regex,
    Text,
    no_entries,
)
from pytest_kspec.spec.declared import Field, SpecModel, model_validator


class FieldCondition(SpecModel):
    """What a field must be: one alternative of `anyOf`."""

    value: FieldValue | None = Field(
        None,
        description="Value to compare with; for a list, any of its values. Unset: "
        "the rule is about whether the field is set.",
    )
    min: FieldBound | None = Field(
        None,
        description="Smallest allowed number or quantity (100m). For seconds, "
        "a duration (90s, 5m) is also allowed.",
    )
    max: FieldBound | None = Field(
        None,
        description="Largest allowed number or quantity (1Gi). For seconds, a duration (90s, 5m) is also allowed.",
    )
    pattern: Regex | None = Field(
        None, description="Regular expression (RE2) that must match the whole value; for a list, each value."
    )
    allowed: Annotated[list[FieldScalar], Field(min_length=1)] | None = Field(
        None, description="For a list field: the only values that it may contain. Empty lists pass."
    )
    exists: Flag | None = Field(None, description="True: the field must be set. False: it must be unset.")

    def said(self) -> list[str]:
        """Which kinds of condition it has, by their keys: at most one may stand in an entry."""
        bound = [name for name, given in (("min", self.min), ("max", self.max)) if given is not None][:1]
        rest = (("value", self.value), ("pattern", self.pattern), ("allowed", self.allowed))
        return bound + [name for name, given in rest if given is not None]

    @property
    def _may_be_empty(self) -> bool:
        return False

    @model_validator(mode="after")
    def _one_meaning(self) -> Self:
        said = self.said()
        for one, other in combinations(said, 2):
            raise ValueError(
                f"{one} and {other} contradict each other: write two entries, or alternatives below anyOf."
            )
        if said and self.exists is False:
            raise ValueError(
                f"{said[0]} and 'exists: false' contradict each other; 'orUnset: true' lets the field be unset."
            )
        if not said and self.exists is None and not self._may_be_empty:
            raise ValueError(
                "an empty alternative has no effect: set value, min, max, pattern, allowed or exists."
            )
        return self


class _OfField(SpecModel):
    """Apart, so that the key comes first."""

    key: Text = Field(
        description="Field path as in a manifest, such as securityContext.runAsNonRoot or hostNetwork. "
        "A path through a list (ports.name) applies to each item."
    )


class ContainerRule(FieldCondition, _OfField):
    """A field of a container or pod: what it must be, or whether it must be set."""

    any_of: Annotated[list[FieldCondition], Field(min_length=1)] | None = Field(
        None, description="Alternatives. At least one must match each value of the field."
    )
    or_unset: Flag = Field(False, description="Whether the field may also be unset. Only in required.")

    def said(self) -> list[str]:
        """Which kinds of condition it has, by their keys."""
        return [*FieldCondition.said(self), *([] if self.any_of is None else ["anyOf"])]

    @property
    def _may_be_empty(self) -> bool:
        return True  # it is about whether the field is set

    @model_validator(mode="after")
    def _unset(self) -> Self:
        if self.or_unset and self.exists is not None:
            raise ValueError("orUnset and exists contradict each other.")
        if self.or_unset and not self.said():
            raise ValueError("orUnset has no effect without value, min, max, pattern, allowed or anyOf.")
        return self


class Containers(SpecModel):
    """Fields that every container of every list (init, ordinary, ephemeral) and every pod is examined for."""

    required: list[ContainerRule] = Field(default_factory=no_entries, description="Rules that must match.")
    forbidden: list[ContainerRule] = Field(
        default_factory=no_entries, description="Rules that must not match."
    )
