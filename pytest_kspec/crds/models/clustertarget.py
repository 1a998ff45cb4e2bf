"""ClusterTarget: a cluster that is scanned from another one, and with which credentials."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field, model_validator

from pytest_kspec.crds.models.base import Base64, Interval, Observed, SecretKeyRef, TimeStamp, Url
from pytest_kspec.spec.base import Count, Flag, SpecModel


class ClusterTargetSpec(SpecModel):
    """Where the cluster is, and how to get in."""

    api_server_url: Url = Field(
        alias="apiServerURL", description="Address of the API server, https://HOST:PORT."
    )
    auth_mode: Literal["kubeconfig", "serviceAccount", "token"] = Field(
        description="Which of the references below contains the credentials."
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
    ca_data: Base64 | None = Field(
        None,
        description="CA certificates (PEM, base64-encoded) that verify the certificate of the API server.",
    )
    insecure_skip_tls_verify: Flag = Field(
        False,
        alias="insecureSkipTLSVerify",
        description="Do not verify the certificate of the API server. Anyone between can read the token.",
    )
    proxy_url: Annotated[str, Field(pattern=r"^(https?|socks5)://\S+$", max_length=2048)] | None = Field(
        None, alias="proxyURL", description="Proxy for connections to the API server."
    )
    allow_enforcement: Flag = Field(False, description="Whether policies may be applied to the cluster.")
    scan_interval: Interval | None = Field(None, description="Interval between scans, such as 5m or 1h30m.")

    @model_validator(mode="after")
    def _one_way_in(self) -> ClusterTargetSpec:
        if self.auth_mode == "kubeconfig" and self.kubeconfig_secret_ref is None:
            raise ValueError("authMode kubeconfig needs kubeconfigSecretRef.")
        if self.auth_mode == "serviceAccount" and self.service_account_secret_ref is None:
            raise ValueError("authMode serviceAccount needs serviceAccountSecretRef.")
        if self.auth_mode == "token" and self.token_secret_ref is None:
            raise ValueError("authMode token needs tokenSecretRef.")
        if self.insecure_skip_tls_verify and self.ca_data:
            raise ValueError("caData has no effect with insecureSkipTLSVerify: remove one of them.")
        return self


class ClusterTargetStatus(Observed):
    """What is known of the cluster."""

    reachable: Flag = Field(False, description="Whether the API server accepted the credentials.")
    last_checked: TimeStamp | None = Field(None, description="Time of the last connection attempt.")
    version: str = Field("", description="Version of the API server.")
    uid: str = Field("", description="UID of the namespace kube-system, which identifies the cluster.")
    platform: str = Field("", description="Platform of the cluster: eks, gke, aks, openshift or vanilla.")
    node_count: Count | None = Field(None, description="Number of nodes.")
