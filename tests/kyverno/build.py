"""Kyverno's own parts, from its Go module: the command that evaluates policies, and the definitions of its kinds.

The command takes some ten minutes to build on two cores, once; only `make test-kyverno` needs it.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import yaml

from tests.controlplane.gomodule import GoModule, required_version

HERE = Path(__file__).parent
MODULE = "github.com/kyverno/kyverno"
COMMAND = "kubectl-kyverno"
WHAT_TO_DO = "Kyverno is built from its Go module: install Go 1.26+."
CRDS = (
    "policies.kyverno.io/policies.kyverno.io_validatingpolicies.yaml",
    "kyverno/kyverno.io_clusterpolicies.yaml",
)


def version() -> str:
    """The version in `go.mod`, such as `v1.19.1`: the only place where it is written."""
    return required_version(HERE / "go.mod", MODULE)


def _module() -> GoModule:
    linker = f"-s -w -X {MODULE}/pkg/version.BuildVersion={version()}"
    flags = ("-trimpath", "-mod=readonly", "-ldflags", linker)
    return GoModule(HERE, "kyverno", {COMMAND: f"{MODULE}/cmd/cli/{COMMAND}"}, flags, WHAT_TO_DO)


def command() -> Path:
    """Kyverno's command. Raises NotBuilt."""
    return _module().binary(COMMAND)


def definitions() -> list[dict[str, Any]]:
    """The CustomResourceDefinitions of ValidatingPolicy and ClusterPolicy. Raises NotBuilt."""
    module = _module()
    told = json.loads(module.run([module.go(), "mod", "download", "-json", MODULE], MODULE))
    folder = Path(told["Dir"]) / "config/crds"
    return [yaml.safe_load((folder / name).read_text(encoding="utf-8")) for name in CRDS]
