"""The clouds' own helpers, from their Go modules: two minutes of CPU each, once."""

from __future__ import annotations

from pathlib import Path

from tests.controlplane import build

HERE = Path(__file__).parent
PACKAGES = {
    "kubelogin": "github.com/Azure/kubelogin",
    "aws-iam-authenticator": "sigs.k8s.io/aws-iam-authenticator/cmd/aws-iam-authenticator",
}
FLAGS = ("-trimpath", "-mod=readonly", "-ldflags", "-s -w")


def helper(name: str) -> Path:
    """One of `PACKAGES`. Raises NoControlPlane."""
    return build.built(
        HERE, name, PACKAGES[name], FLAGS, f"{name} comes from its Go module: install Go 1.26+."
    )
