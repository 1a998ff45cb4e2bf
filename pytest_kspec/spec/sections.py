"""The specification: what a cluster must look like. One model for files (kspec.dev/v1) and custom resources.

Every key keeps the name that users know. Absent sections are None, absent lists are empty: only what is
written is asked for. Sections that are for the operator and the webhook are in `spec_operator`.
"""

import re
from typing import Annotated, Any, Literal, Self

from pytest_kspec.kube.podkinds import Added, PodHolder
from pytest_kspec.kube.versions import Bound, empty_range
from pytest_kspec.spec.activation import TimeBasedActivation
from pytest_kspec.spec.base import (
    ApiGroup,
    Count,
    Flag,
    KubernetesVersion,
    Level,
    NamespacePattern,
    PodPath,
    PodSecurityVersion,
    Port,
    Regex,
    Registry,
    ServiceType,
    Text,
    no_entries,
)
from pytest_kspec.spec.declared import (
    AfterValidator,
    Discriminator,
    Field,
    SpecModel,
    Tag,
    field_validator,
    model_validator,
)
from pytest_kspec.spec.everything import matches_all
from pytest_kspec.spec.exemption import AnnotationExemptions, Exemption
from pytest_kspec.spec.fields import Containers
from pytest_kspec.spec.operations import (
    Enforcement,
    LabelSelector,
    NamespaceScope,
    PolicyInheritance,
    PolicyTemplate,
    Webhooks,
)
from pytest_kspec.spec.signers import ImageSigners
from pytest_kspec.spec.times import Expiring


class Kubernetes(SpecModel):
    """Version of the API server."""

    min_version: KubernetesVersion | None = Field(None, description="Oldest allowed version: 1.29 or 1.29.4.")
    max_version: KubernetesVersion | None = Field(
        None, description="Newest allowed version; 1.31 allows every 1.31.x."
    )
    excluded_versions: list[KubernetesVersion] = Field(
        default_factory=no_entries, description="Versions that are not allowed; 1.29 excludes every 1.29.x."
    )

    @field_validator("max_version")  # of the field: said beside what is wrong with excludedVersions
    @classmethod
    def _ordered(cls, high: str | None, info: Any) -> str | None:
        low = info.data.get("min_version")
        if low and high and empty_range(Bound.parse(low), Bound.parse(high)):
            raise ValueError(f"minVersion {low} is above maxVersion {high}.")
        return high


class PodSecurityExemption(Expiring):
    """A namespace that is held to another Pod Security level."""

    namespace: NamespacePattern = Field(description="Namespace; `*` and `?` are wildcards.")
    level: Level = Field(description="Level that applies to the namespace instead.")
    reason: str = Field("", description="Reason for the exemption.")


class PodSecurity(SpecModel):
    """Pod Security Standards: labels of namespaces, and every control over pods and templates."""

    enforce: Level | None = Field(None, description="Level that namespaces must enforce and pods must meet.")
    audit: Level | None = Field(None, description="Level that namespaces must audit.")
    warn: Level | None = Field(None, description="Level that namespaces must warn about.")
    version: PodSecurityVersion | None = Field(
        None, description="Version of the standards, v1.N or latest. Default: the version of the cluster."
    )
    exemptions: list[PodSecurityExemption] = Field(
        default_factory=no_entries, description="Namespaces to which another level applies."
    )

    @model_validator(mode="after")
    def _some_level(self) -> Self:
        if not (self.enforce or self.audit or self.warn):
            raise ValueError("has no effect: set enforce, audit or warn.")
        if all(entry.level == "privileged" for entry in self.exemptions) and matches_all(
            [entry.namespace for entry in self.exemptions], "namespaces"
        ):
            raise ValueError(
                "exemptions: their patterns match every name, so the level would not apply to any namespace."
            )
        return self


class RequiredNetworkPolicy(SpecModel):
    """A NetworkPolicy that must exist."""

    name: Text = Field(description="Name of the NetworkPolicy.")
    description: str = Field("", description="Description.")
    namespaces: list[NamespacePattern] = Field(
        default_factory=no_entries,
        description="Namespaces that must contain the policy; `*` and `?` are wildcards. Empty: every namespace.",
    )


class Network(SpecModel):
    """Network policies, Services and ports."""

    default_deny: Flag = Field(False, description="Every namespace must deny ingress and egress by default.")
    required_policies: list[RequiredNetworkPolicy] = Field(
        default_factory=no_entries, description="NetworkPolicies that must exist."
    )
    allowed_service_types: list[ServiceType] = Field(
        default_factory=no_entries, description="Allowed types of Services. Empty: not restricted."
    )
    disallowed_ports: list[Port] = Field(
        default_factory=no_entries, description="Ports that no container, host port or Service may use."
    )


class Images(SpecModel):
    """Where images come from, and who signs them."""

    allowed_registries: list[Registry] = Field(
        default_factory=no_entries,
        description="Registries or repositories that images may come from; `*`: one path segment.",
    )
    blocked_registries: list[Registry] = Field(
        default_factory=no_entries, description="Registries or repositories that images must not come from."
    )
    require_digests: Flag = Field(False, description="Images must be referenced by digest.")
    require_signatures: Flag = Field(
        False, description="Every image of every registry must be signed by a signer in signatures."
    )
    signatures: list[ImageSigners] = Field(
        default_factory=no_entries,
        description="Signers of images. An image must satisfy every entry that applies to it, and at least one entry.",
    )


class PodTemplates(SpecModel):
    """Location of pods in objects of one kind. Entries for a kind replace the built-in locations of this kind."""

    api_group: Text = Field(description="API group of the kind.")
    kind: Text = Field(description="The kind.")
    path: PodPath = Field(
        description="Path from the root of the object; `[*]` stands for every item "
        "of a list, `*` for every value of a map."
    )
    holds: PodHolder = Field(
        "podTemplate",
        description="What the path refers to: a template (metadata and spec), a pod "
        "spec, a list of containers, or a container.",
    )


class Workloads(SpecModel):
    """Pods, and the templates of controllers."""

    containers: Containers | None = Field(None, description="Rules about container and pod fields.")
    images: Images | None = Field(None, description="Rules about image references.")
    pod_templates: list[PodTemplates] = Field(
        default_factory=no_entries,
        description="Places where objects of other kinds contain pods. They are examined like pods.",
    )


class RbacRule(SpecModel):
    """Access to one resource."""

    api_group: ApiGroup = Field(
        "", description='API group; "" is the core group, `*` stands for every group.'
    )
    resource: Text = Field(description="Resource in the plural, with its subresource: pods, pods/exec, `*`.")
    verbs: Annotated[list[Text], Field(min_length=1)] = Field(description="Verbs; `*` is every verb.")


class Rbac(SpecModel):
    """Access control."""

    minimum_rules: list[RbacRule] = Field(
        default_factory=no_entries, description="Access that at least one role must grant."
    )
    forbidden_rules: list[RbacRule] = Field(
        default_factory=no_entries, description="Access that must not be granted to anyone except the system."
    )


AdmissionType = Literal[
    "ValidatingWebhookConfiguration",
    "MutatingWebhookConfiguration",
    "ValidatingAdmissionPolicy",
    "MutatingAdmissionPolicy",
]


class RequiredAdmission(SpecModel):
    """Admission objects that must exist."""

    type: AdmissionType = Field(description="Kind of the object.")
    name_pattern: Regex | None = Field(
        None,
        description="Regular expression (RE2) that must match the whole name, such as kyverno-.*. Unset: any name.",
    )
    min_count: Count = Field(1, description="Minimum number of objects.")


class RequiredPolicy(SpecModel):
    """A policy that must exist."""

    name: Text = Field(description="Name of the policy.")


class AdmissionPolicies(SpecModel):
    """Kyverno policies of the cluster."""

    min_count: Count | None = Field(None, description="Minimum number of policies.")
    required_policies: list[RequiredPolicy] = Field(
        default_factory=no_entries, description="Policies that must exist and be ready."
    )


class Admission(SpecModel):
    """Admission control."""

    required: list[RequiredAdmission] = Field(
        default_factory=no_entries,
        description="Webhook configurations and admission policies that must exist.",
    )
    policies: AdmissionPolicies | None = Field(None, description="Kyverno policies that must exist.")


class Metrics(SpecModel):
    """Metrics."""

    required: Flag = Field(False, description="Whether a metrics provider must be running.")
    providers: list[Text] = Field(
        default_factory=no_entries,
        description="Providers that must all be running, such as prometheus or metrics-server. Empty: any provider.",
    )


class AuditLog(SpecModel):
    """Audit log of the API server."""

    required: Flag = Field(False, description="Whether audit logging must be enabled.")
    min_retention_days: Count | None = Field(
        None, description="Minimum number of days that audit logs are kept."
    )


class Logging(SpecModel):
    """Logs."""

    audit_log: AuditLog | None = Field(None, description="Audit log of the API server.")


class Observability(SpecModel):
    """Metrics and logs."""

    metrics: Metrics | None = Field(None, description="Metrics providers.")
    logging: Logging | None = Field(None, description="Logs.")


class ControlMapping(SpecModel):
    """A check that covers the control."""

    check: Text = Field(
        description="Id of a check or requirement, or a prefix of ids, such as podSecurity.standard."
    )


class Control(SpecModel):
    """A control of a framework."""

    id: Text = Field(description="Control id, e.g. AC-6.")
    title: str = Field("", description="Title of the control.")
    mappings: list[ControlMapping] = Field(
        default_factory=no_entries,
        description="Checks that must all pass. Empty: the checks of the built-in framework with this name.",
    )


class Framework(SpecModel):
    """A compliance framework."""

    name: Text = Field(
        description="Name of a built-in framework (see kspec frameworks) or of your own framework."
    )
    revision: str = Field("", description="Revision.")
    controls: list[Control] = Field(
        default_factory=no_entries,
        description="Controls to report. Empty: all controls of the built-in framework with this name.",
    )


class Compliance(SpecModel):
    """Frameworks that the specification answers to."""

    frameworks: list[Framework] = Field(
        default_factory=no_entries,
        description="Frameworks to report. Empty: every built-in framework that "
        "the specification covers at least in part.",
    )


def _name_of(pattern: str, kind: str) -> AfterValidator:
    def check(value: str) -> str:
        if value and not re.fullmatch(pattern, value):
            raise ValueError(f"{value!r} cannot be the name of a {kind}.")
        return value

    return AfterValidator(check)


class ClusterRef(SpecModel):
    """The cluster, identified by the name of its ClusterTarget."""

    name: Annotated[Text, _name_of(r"[a-z0-9]([a-z0-9.-]{0,251}[a-z0-9])?", "ClusterTarget")] = Field(
        description="Name of the ClusterTarget, in the cluster that $KSPEC_HUB or the current context names."
    )
    namespace: Annotated[str, _name_of(r"[a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?", "namespace")] = Field(
        "", description="Namespace of the ClusterTarget. Default: kspec-system."
    )


def _ref_form(value: object) -> str:
    return "(text)" if isinstance(value, str) else "(mapping)"


class ClusterSpecification(SpecModel):
    """The `spec:` part of a specification."""

    @property
    def pod_templates(self) -> tuple[Added, ...]:
        """`workloads.podTemplates`, as `podkinds.pod_kinds` takes it."""
        entries = self.workloads.pod_templates if self.workloads else ()
        return tuple((entry.api_group, entry.kind, entry.path, entry.holds) for entry in entries)

    kubernetes: Kubernetes | None = Field(None, description="Version of the API server.")
    pod_security: PodSecurity | None = Field(None, description="Pod Security Standards.")
    network: Network | None = Field(None, description="Network policies, Services and ports.")
    workloads: Workloads | None = Field(None, description="Containers, pods and images.")
    rbac: Rbac | None = Field(None, description="Access control.")
    admission: Admission | None = Field(None, description="Admission control.")
    observability: Observability | None = Field(None, description="Metrics and audit logs.")
    compliance: Compliance | None = Field(None, description="Frameworks and their controls.")
    checks: list[Text] = Field(
        default_factory=no_entries,
        description="Paths of check modules, relative to the specification's folder.",
    )
    annotation_exemptions: AnnotationExemptions | None = Field(
        None, description="Checks from which objects may exempt themselves by annotations. Unset: none."
    )
    policy_exemptions: list[Exemption] = Field(
        default_factory=no_entries, description="Findings that are accepted."
    )
    cluster_ref: (
        Annotated[
            Annotated[Text, Tag("(text)")] | Annotated[ClusterRef, Tag("(mapping)")], Discriminator(_ref_form)
        ]
        | None
    ) = Field(
        None,
        description="Cluster to scan if none is given: a --kspec-cluster reference, or a ClusterTarget.",
    )
    cluster_selector: LabelSelector | None = Field(
        None,
        description="Clusters to scan, by the labels of their ClusterTargets in the namespace kspec-system. Empty: all "
        "of them. Cannot be combined with clusterRef.",
    )
    enforcement: Enforcement | None = Field(
        None, description="Whether and how the specification is enforced."
    )
    webhooks: Webhooks | None = Field(None, description="The admission webhook.")
    policy_template: PolicyTemplate | None = Field(
        None, description="Template that the specification is based on."
    )
    policy_inheritance: PolicyInheritance | None = Field(
        None, description="Specifications that this specification is based on."
    )
    namespace_scope: NamespaceScope | None = Field(
        None, description="Namespaces that the specification applies to."
    )
    time_based_activation: TimeBasedActivation | None = Field(
        None, description="Times when the specification is active."
    )

    @model_validator(mode="after")
    def _one_choice_of_clusters(self) -> Self:
        if self.cluster_ref is not None and self.cluster_selector is not None:
            raise ValueError("clusterRef and clusterSelector cannot be combined.")
        return self
