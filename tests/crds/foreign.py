"""Definitions of other projects as they ship them: in Go modules, as the control plane is."""

import json
import shutil
import subprocess
from functools import cache
from pathlib import Path
from typing import Any

import yaml

MODULES = {
    "openreports.io": ("github.com/openreports/reports-api@v0.2.1", "config/crd", "openreports.io_*.yaml"),
    "wgpolicyk8s.io": (
        "github.com/kyverno/kyverno@v1.15.2",
        "config/crds/policyreport",
        "wgpolicyk8s.io_*.yaml",
    ),
    "cert-manager.io": ("github.com/cert-manager/cert-manager@v1.18.2", "deploy/crds", "crd-cert*s.yaml"),
}
TIMEOUT_S = 300


@cache
def definitions(group: str) -> tuple[dict[str, Any], ...]:
    """The CustomResourceDefinitions of this group. Fails with what to do where Go is missing."""
    module, folder, pattern = MODULES[group]
    go = shutil.which("go")
    assert go, f"the definitions of {group} are in the Go module {module}: install Go 1.26 or later"
    done = subprocess.run(
        [go, "mod", "download", "-json", module], capture_output=True, text=True, timeout=TIMEOUT_S, cwd="/"
    )
    assert done.returncode == 0, f"go mod download {module}: {done.stdout}{done.stderr}"
    found = sorted((Path(json.loads(done.stdout)["Dir"]) / folder).glob(pattern))
    assert found, f"{module} has no {folder}/{pattern}"
    return tuple(yaml.safe_load(path.read_text()) for path in found)
