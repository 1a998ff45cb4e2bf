"""Sections of a specification that say how it is put together, where and when it holds, and how it is enforced.

A value that could not mean what its author thinks is an error here. What a scan does not evaluate is listed in
`NOT_EVALUATED`, so that it says so. What scope and times mean is in `scope` and `activation`.
"""

from typing import Annotated, Any, Literal, Self

from pytest_kspec.kube.globs import Globs, is_literal
from pytest_kspec.kube.selectors import Operator, check_values
from pytest_kspec.spec.base import (
    Flag,
    LabelKey,
    Labels,
    LabelValue,
    NamespacePattern,
    Text,
    no_entries,
)
from pytest_kspec.spec.declared import Field, SpecModel, model_validator
from pytest_kspec.spec.everything import matches_all

NOT_EVALUATED = {
    "enforcement": "enforcement is not part of a scan",
    "webhooks": "the webhook is not part of a scan",
}


class Enforcement(SpecModel):
    """Whether and how the specification is enforced."""

    enabled: Flag = Field(False, description="Whether policies are applied.")
    mode: Literal["monitor", "audit", "enforce"] = Field("monitor", description="What to do with violations.")
    engine: Literal["vap", "kyverno", "webhook"] = Field(
        "vap",
        description="What enforces the specification if the operator applies policies: "
        "ValidatingAdmissionPolicy, Kyverno, "
        "or the registration of 'kspec webhook'.",
    )
    auto_remediate: Flag = Field(False, description="Whether drift is corrected.")


class Certificate(SpecModel):
    """Where the webhook's certificate comes from."""

    issuer: str = Field("", description="Name of the cert-manager issuer.")
    issuer_kind: Literal["ClusterIssuer", "Issuer"] = Field(
        "ClusterIssuer", description="Kind of the issuer."
    )


class Webhooks(SpecModel):
    """The admission webhook."""

    enabled: Flag = Field(False, description="Whether the webhook is registered.")
    failure_policy: Literal["Ignore", "Fail"] = Field(
        "Ignore", description="What the API server does if the webhook does not answer."
    )
    timeout_seconds: Annotated[int, Field(strict=True, ge=1, le=30)] = Field(
        10, description="Seconds, 1 to 30."
    )
    certificate: Certificate | None = Field(None, description="Source of the webhook's certificate.")


class PolicyTemplate(SpecModel):
    """Template that the specification is based on."""

    name: Text = Field(
        description="security-baseline, compliance-strict, the name of a PolicyTemplate "
        "in the folder of the specification "
        "or in templates/, or the path of a template file."
    )
    parameters: dict[str, Any] = Field(
        default_factory=dict, description="Values for the parameters of the template."
    )


class PolicyInheritance(SpecModel):
    """Specifications that this specification is based on."""

    base_policies: Annotated[list[Text], Field(min_length=1)] = Field(
        description="Names of specifications in the same folder or in the same run, or paths of files."
    )
    merge_strategy: Literal["merge", "override", "append"] = Field(
        "merge",
        description="merge: values of this specification take precedence, lists "
        "are joined. override: later values take "
        "precedence, lists are replaced. append: inherited values cannot be changed.",
    )


class LabelRequirement(SpecModel):
    """One expression of a label selector."""

    key: LabelKey = Field(description="Label.")
    operator: Operator = Field(description="Operator of the comparison.")
    values: list[LabelValue] = Field(default_factory=no_entries, description="Values for In and NotIn.")

    @model_validator(mode="after")
    def _values_fit(self) -> Self:
        check_values(self.operator, self.values)
        return self


class LabelSelector(SpecModel):
    """A Kubernetes label selector."""

    match_labels: Labels = Field(default_factory=dict, description="Labels that must have these values.")
    match_expressions: list[LabelRequirement] = Field(
        default_factory=no_entries, description="Expressions that must all match."
    )


class NamespaceScope(SpecModel):
    """Namespaces that the specification speaks about. Objects that are in no namespace are always in scope."""

    include_namespaces: list[NamespacePattern] = Field(
        default_factory=no_entries, description="Namespaces in scope; `*` and `?` are wildcards. Empty: all."
    )
    exclude_namespaces: list[NamespacePattern] = Field(
        default_factory=no_entries,
        description="Namespaces out of scope; takes precedence over the other keys. `*` and `?` are wildcards.",
    )
    namespace_selector: LabelSelector | None = Field(
        None, description="Limits the scope to namespaces with these labels."
    )

    @model_validator(mode="after")
    def _some_namespace(self) -> Self:
        if not self.exclude_namespaces:
            return self
        excluded = Globs(self.exclude_namespaces)
        names = self.include_namespaces or ["*"]
        none_of_them = all(is_literal(name) and excluded.match(name) for name in names)
        if none_of_them or matches_all(self.exclude_namespaces, "namespaces"):
            raise ValueError("excludeNamespaces leaves no namespace in scope.")
        return self
