"""ClusterTarget: a cluster that is scanned from another one, and with which credentials."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field, model_validator
from pydantic.alias_generators import to_camel

from pytest_kspec.crds.models.base import (
    Base64,
    Count,
    Flag,
    Interval,
    Observed,
    SecretKeyRef,
    Text,
    TimeStamp,
    Url,
)
from pytest_kspec.spec.twins import StrictModel

WAYS = {
    "kubeconfig": "kubeconfig_secret_ref",
    "serviceAccount": "service_account_secret_ref",
    "token": "token_secret_ref",
    "clientCertificate": "client_certificate_secret_ref",
    "provider": "credential_provider",
}
"""authMode → the field that it needs."""


class CredentialProvider(StrictModel):
    """Who gives credentials: only what the operator's own file lists, so that no object names a program."""

    name: Text = Field(description="Name of the provider in kspec's file of credential providers.")
    parameters: dict[str, str] = Field(
        default_factory=dict,
        description="Values for the placeholders in the arguments of the provider, such as clusterName.",
    )


class ClusterTargetSpec(StrictModel):
    """Address of the cluster, and the credentials for it."""

    api_server_url: Url = Field(
        alias="apiServerURL", description="Address of the API server, https://HOST:PORT."
    )
    auth_mode: Literal["kubeconfig", "serviceAccount", "token", "clientCertificate", "provider"] = Field(
        description="Which of the fields below contains the credentials."
    )
    kubeconfig_secret_ref: SecretKeyRef | None = Field(
        None, description="Secret with a kubeconfig, by default under the key kubeconfig."
    )
    service_account_secret_ref: SecretKeyRef | None = Field(
        None, description="Secret with a ServiceAccount's token, by default under the key token."
    )
    token_secret_ref: SecretKeyRef | None = Field(
        None, description="Secret with a bearer token, by default under the key token."
    )
    client_certificate_secret_ref: SecretKeyRef | None = Field(
        None,
        description="Secret with a client certificate and its key (PEM), under the keys tls.crt and tls.key.",
    )
    credential_provider: CredentialProvider | None = Field(
        None,
        description="Entry of kspec's own file of credential providers, which gives the credentials.",
    )
    ca_data: Base64 | None = Field(
        None,
        description="CA certificates (PEM, base64-encoded) that verify the certificate of the API server.",
    )
    insecure_skip_tls_verify: Flag = Field(
        False,
        alias="insecureSkipTLSVerify",
        description="Do not verify the certificate of the API server. "
        "Anyone on the network path can then read the credentials.",
    )
    proxy_url: Annotated[str, Field(pattern=r"^(https?|socks5)://\S+$", max_length=2048)] | None = Field(
        None, alias="proxyURL", description="Proxy for connections to the API server."
    )
    allow_enforcement: Flag = Field(False, description="Whether policies may be applied to the cluster.")
    scan_interval: Interval | None = Field(
        None,
        description="Interval between scans by the operator, such as 5m or 1h30m, at least 30s. Unset: that of the "
        "operator. A specification for several clusters uses the shortest one of them.",
    )
    suspend: Flag = Field(
        False, description="Whether the cluster is suspended: it is neither contacted nor scanned."
    )

    @model_validator(mode="after")
    def _one_way_in(self) -> ClusterTargetSpec:
        for mode, field in WAYS.items():
            if self.auth_mode == mode and getattr(self, field) is None:
                raise ValueError(f"authMode {mode} needs {to_camel(field)}.")
        if self.insecure_skip_tls_verify and self.ca_data:
            raise ValueError("caData has no effect with insecureSkipTLSVerify: remove one of them.")
        return self


class TargetPolicies(StrictModel):
    """Policies of one specification on the cluster."""

    specification: Text = Field(description="Name of the ClusterSpecification.")
    specification_uid: str = Field(
        "", alias="specificationUID", description="UID of the ClusterSpecification."
    )
    generation: Count = Field(0, description="Generation of the ClusterSpecification that was applied.")
    specification_digest: str = Field(
        "",
        description="Digest of the ClusterSpecification and its bases, and of the version of kspec, for which policies "
        "were applied.",
    )
    cluster_uid: str = Field("", alias="clusterUID", description="UID of the cluster that it was applied to.")
    state: Literal["waiting", "ok", "differs", "away", "failed"] = Field(
        "waiting",
        description="ok: in force; differs: changed by others; away: the cluster does not answer; failed: some "
        "could not be applied; waiting: not tried yet.",
    )
    mode: str = Field("", description="Mode that the cluster reports. Empty if nothing is in force.")
    engines: list[str] = Field(
        default_factory=list, description="Engines whose policies may exist on the cluster."
    )
    policies: Count = Field(0, description="Number of policies that were read back.")
    message: str = Field("", description="Problem with the policies, if there is one.")
    since: TimeStamp | None = Field(None, description="Time of the last change of the state or of a policy.")
    corrected: Annotated[list[TimeStamp], Field(max_length=8)] = Field(
        default_factory=list, description="Times of corrections within the last hour."
    )


class ClusterTargetStatus(Observed):
    """Observed state of the cluster."""

    reachable: Flag = Field(False, description="Whether the API server accepted the credentials.")
    last_checked: TimeStamp | None = Field(None, description="Time of the last connection attempt.")
    version: str = Field("", description="Version of the API server.")
    uid: str = Field("", description="UID of the namespace kube-system, which identifies the cluster.")
    platform: str = Field("", description="Platform of the cluster: eks, gke, aks, openshift or vanilla.")
    node_count: Count | None = Field(None, description="Number of nodes.")
    consecutive_failures: Count = Field(
        0, description="Number of connection attempts that failed since the last one that succeeded."
    )
    unreachable_since: TimeStamp | None = Field(
        None, description="Time of the first of these failed attempts. Unset while the cluster is reachable."
    )
    credentials_expire: TimeStamp | None = Field(
        None, description="Time when the credentials expire. Unset: unknown."
    )
    policies: list[TargetPolicies] = Field(
        default_factory=list,
        description="Policies that the operator applies to the cluster, by specification.",
    )
