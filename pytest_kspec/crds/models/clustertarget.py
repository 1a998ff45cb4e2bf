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
        description="Which of the references below holds the credentials."
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
        None, description="Certificates (PEM, in base64) that the API server's is checked against."
    )
    insecure_skip_tls_verify: Flag = Field(
        False,
        alias="insecureSkipTLSVerify",
        description="Do not check the API server's certificate. Whoever is in between can read the token.",
    )
    proxy_url: Annotated[str, Field(pattern=r"^(https?|socks5)://\S+$", max_length=2048)] | None = Field(
        None, alias="proxyURL", description="Proxy on the way to the API server."
    )
    allow_enforcement: Flag = Field(False, description="Whether policies may be applied there.")
    scan_interval: Interval | None = Field(None, description="How often it is scanned: 5m, 1h30m.")

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

    reachable: Flag = Field(False, description="Whether its API server answered these credentials.")
    last_checked: TimeStamp | None = Field(None, description="When that was tried.")
    version: str = Field("", description="Version of the API server.")
    uid: str = Field("", description="UID of the namespace kube-system, which stands for the cluster.")
    platform: str = Field("", description="Who runs it: eks, gke, aks, openshift, vanilla.")
    node_count: Count | None = Field(None, description="How many nodes it has.")
