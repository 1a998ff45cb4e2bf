"""The exemption as it is written: in a specification's `policyExemptions` or in a file of its own.

An exemption says who accepted what, where, why and until when. One that could never match, or that would
match everything, is refused here: neither does what its author thinks.
"""

from typing import Annotated, Literal, Self

from pytest_kspec.kube.globs import Globs, is_literal
from pytest_kspec.regexes import regex
from pytest_kspec.spec.base import (
    ContainerPattern,
    Flag,
    Labels,
    NamespacePattern,
    ObjectPattern,
    Text,
    no_entries,
)
from pytest_kspec.spec.declared import AfterValidator, Field, SpecModel, model_validator
from pytest_kspec.spec.everything import matches_all
from pytest_kspec.spec.times import Expiring

CLUSTER_SCOPED = frozenset((
    "APIService", "CSIDriver", "CSINode", "CertificateSigningRequest", "ClusterPolicy", "ClusterRole",
    "ClusterRoleBinding", "ComponentStatus", "CustomResourceDefinition", "DeviceClass", "FlowSchema",
    "IngressClass", "MutatingAdmissionPolicy", "MutatingAdmissionPolicyBinding",
    "MutatingWebhookConfiguration", "Namespace", "Node", "PersistentVolume", "PriorityClass",
    "PriorityLevelConfiguration", "ResourceSlice", "RuntimeClass", "StorageClass",
    "ValidatingAdmissionPolicy", "ValidatingAdmissionPolicyBinding", "ValidatingWebhookConfiguration",
    "VolumeAttachment",
))  # fmt: skip
WITHOUT_CONTAINERS = CLUSTER_SCOPED | {
    "ConfigMap", "Endpoints", "Ingress", "LimitRange", "NetworkPolicy", "PersistentVolumeClaim",
    "ResourceQuota", "Role", "RoleBinding", "Secret", "Service", "ServiceAccount",
}  # fmt: skip
_KIND = regex(r"[A-Z][A-Za-z0-9]{0,62}")


def _kind(value: str) -> str:
    if not _KIND.fullmatch(value):
        guess = value[:1].upper() + value[1:]
        hint = f" Did you mean {guess!r}?" if value and _KIND.fullmatch(guess) else ""
        raise ValueError(
            f"{value!r} is not a kind; kinds are written as in manifests, without wildcards.{hint}"
        )
    return value


def _says_something(value: str) -> str:
    if value and not any(map(str.isalnum, value)):
        raise ValueError("it contains no letter and no digit.")
    return value


class ResourceSelector(SpecModel):
    """Objects by kind, name, namespace and labels; all that is given must match, on object or owner."""

    kind: (
        Annotated[str, Field(json_schema_extra={"pattern": f"^{_KIND.pattern}$"}), AfterValidator(_kind)]
        | None
    ) = Field(None, description="Kind of the object or of its owning controller, such as Deployment.")
    name: ObjectPattern | None = Field(None, description="Name; `*` and `?` are wildcards.")
    namespace: NamespacePattern | None = Field(None, description="Namespace; `*` and `?` are wildcards.")
    label_selector: Labels = Field(
        default_factory=dict, description="Labels that the object must have, with these values."
    )

    @model_validator(mode="after")
    def _possible(self) -> Self:
        if not (self.kind or self.name or self.namespace or self.label_selector):
            raise ValueError(
                "an empty selector would match every object; name a kind, name, namespace or labelSelector."
            )
        if self.kind in CLUSTER_SCOPED and self.namespace:
            hint = " Select it by name." if self.kind == "Namespace" else ""
            raise ValueError(f"a {self.kind} has no namespace, so this can never match.{hint}")
        return self


def _select_all(selectors: list[ResourceSelector]) -> bool:
    """Whether these together select every object: by name or by namespace alone, with patterns that match all."""
    names, namespaces = [], []
    for selector in selectors:
        if selector.kind or selector.label_selector:
            continue
        any_name = selector.name is None or matches_all([selector.name], "objects")
        any_namespace = selector.namespace is None or matches_all([selector.namespace], "namespaces")
        if any_name and any_namespace:
            return True
        if any_namespace:
            names.append(selector.name or "")
        if any_name:
            namespaces.append(selector.namespace or "")
    return matches_all(names, "objects") or matches_all(namespaces, "namespaces")


class Exemption(Expiring):
    """Findings that are accepted. All selectors given must match; within a list, one entry is enough."""

    name: Text = Field(description="Unique name, used in reports.")
    reason: Annotated[Text, AfterValidator(_says_something)] = Field(
        description="Reason why the findings are accepted."
    )
    approver: Annotated[str, AfterValidator(_says_something)] = Field(
        "", description="Who accepted the findings."
    )
    checks: list[Text] = Field(
        default_factory=no_entries,
        description="Check ids; `*` and `?` are wildcards. An id without [part] covers all parts. Empty: all checks.",
    )
    clusters: list[Text] = Field(
        default_factory=no_entries, description="Cluster names; `*` and `?` are wildcards. Empty: all."
    )
    namespaces: list[NamespacePattern] = Field(
        default_factory=no_entries,
        description="Namespaces of objects, and the Namespaces themselves; `*` and `?` are wildcards.",
    )
    resources: list[ResourceSelector] = Field(
        default_factory=no_entries, description="Objects, or the owners of objects."
    )
    containers: list[ContainerPattern] = Field(
        default_factory=no_entries,
        description="Container names; `*` and `?` are wildcards. Empty: all containers and the pod itself.",
    )
    _location = ""

    @property
    def location(self) -> str:
        """`file:line:column`, or "" for one that was not read from a file."""
        return self._location

    def located(self, where: str) -> Self:
        """The same exemption, knowing where it is written."""
        vars(self)["_location"] = where
        return self

    @model_validator(mode="after")
    def _selects(self) -> Self:
        if not (self.checks or self.namespaces or self.containers or self.resources):
            raise ValueError(
                "this would exempt everything: name checks, namespaces, resources or containers."
            )
        if not self._is_limited():
            raise ValueError(
                "its patterns match every name, so this would exempt everything: name checks, namespaces, resources or "
                "containers."
            )
        self._check_namespaces()
        if self.containers and self.resources and all(r.kind in WITHOUT_CONTAINERS for r in self.resources):
            kinds = ", ".join(sorted({str(r.kind) for r in self.resources}))
            raise ValueError(f"{kinds} has no containers, so this can never match.")
        return self

    def _is_limited(self) -> bool:
        return self.is_of_some_objects or (bool(self.checks) and not matches_all(self.checks, "checks"))

    @property
    def is_of_some_objects(self) -> bool:
        """Whether it is limited by more than `checks`, which only a set of checks can judge."""
        lists = {"namespaces": self.namespaces, "containers": self.containers}
        if any(patterns and not matches_all(patterns, what) for what, patterns in lists.items()):
            return True
        return bool(self.resources) and not _select_all(self.resources)

    def _check_namespaces(self) -> None:
        if not self.namespaces:
            return
        listed = Globs(self.namespaces)
        literals = [n for n in self.namespaces if is_literal(n)]
        for index, selector in enumerate(self.resources):
            if selector.kind in CLUSTER_SCOPED and selector.kind != "Namespace":
                raise ValueError(
                    f"resources[{index}]: a {selector.kind} is in none of the namespaces, so it can never match."
                )
            inner = selector.name if selector.kind == "Namespace" else selector.namespace
            if inner is None:
                continue
            if is_literal(inner):
                possible = listed.match(inner)
            else:
                possible = len(literals) < len(self.namespaces) or any(map(Globs([inner]).match, literals))
            if not possible:
                raise ValueError(
                    f"resources[{index}]: {inner!r} is in none of the namespaces, so it can never match."
                )


def _some_checks(value: list[str]) -> list[str]:
    if matches_all(value, "checks"):
        raise ValueError("its patterns match every name: name the checks that annotations may exempt from.")
    return value


class AnnotationExemptions(SpecModel):
    """What objects may exempt themselves from, by an annotation kspec.io/exempt.<check>. Unset: nothing."""

    checks: Annotated[list[Text], Field(min_length=1), AfterValidator(_some_checks)] = Field(
        description="Check ids; `*` and `?` are wildcards. An id without [part] covers all parts."
    )
    namespaces: list[NamespacePattern] = Field(
        default_factory=no_entries,
        description="Namespaces of such objects; `*` and `?` are wildcards. Empty: all.",
    )
    max_days: Annotated[int, Field(strict=True, ge=1, le=366)] = Field(
        90, description="Maximum number of days from now until the end (until=…) of an exemption."
    )
    require_reason: Flag = Field(True, description="Whether each annotation must give a reason.")
    max_severity: Literal["low", "medium", "high", "critical"] = Field(
        "medium", description="Highest severity of the checks that annotations may exempt from."
    )
