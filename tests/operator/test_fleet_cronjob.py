"""The CronJob of docs/fleet.md: a fleet without a database, with only the rights that stand there."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import yaml

from pytest_kspec.crds.names import NAMESPACE
from tests.cli.conftest import ROOT
from tests.operator.conftest import Specs
from tests.operator.test_fleets import MET, REPORT, Registered, register

__all__ = ["register"]

ACCOUNT = f"system:serviceaccount:{NAMESPACE}:kspec-fleet"


def documents() -> list[dict[str, Any]]:
    text = (ROOT / "docs" / "fleet.md").read_text(encoding="utf-8").partition("### Without a database")[2]
    (block,) = re.findall(r"```yaml\n(.*?)```", text, re.DOTALL)
    return [one for one in yaml.safe_load_all(block) if one]


def test_a_fleet_without_a_database(
    specs: Specs, register: Callable[..., Registered], tmp_path: Path
) -> None:
    fleet = register(2, {"c-001": {"fault": "refused"}})
    fleet.put("c-000", {"env": "prod"})
    fleet.put("c-001", {"env": "prod"})
    specs.put("prod", {**MET, "clusterSelector": {"matchLabels": {"env": "prod"}}})
    job, *rights = documents()
    made = [one for one in rights if one["kind"] != "ServiceAccount"]
    for one in rights:
        specs.writer.apply(one, field_manager="test")
    try:
        pod = job["spec"]["jobTemplate"]["spec"]["template"]["spec"]
        specs.writer.apply(
            {**job, "spec": {**job["spec"], "suspend": True}}, field_manager="test", dry_run=True
        )
        (container,) = pod["containers"]
        (line,) = container["args"]
        config = yaml.safe_load(specs.plane.kubeconfig().read_text(encoding="utf-8"))
        groups = ["system:authenticated", "system:serviceaccounts", f"system:serviceaccounts:{NAMESPACE}"]
        config["users"][0]["user"] |= {"as": ACCOUNT, "as-groups": groups}
        (tmp_path / "kubeconfig").write_text(yaml.safe_dump(config), encoding="utf-8")
        # What a pod has and this machine has not: the cluster around it, /tmp of its own, and the command in its path.
        kspec = f"{sys.executable} -m pytest_kspec.cli.main"
        line = (
            line.replace("in-cluster", specs.plane.name)
            .replace("/tmp/", f"{tmp_path}/")
            .replace("kspec fleet", f"{kspec} fleet")
        )
        begin = specs.plane.audit_position()
        done = subprocess.run(
            [*container["command"], line],
            capture_output=True,
            text=True,
            timeout=180,
            cwd=tmp_path,
            env=os.environ | {"KUBECONFIG": str(tmp_path / "kubeconfig"), "NO_COLOR": "1"},
        )
        assert done.returncode == 0, (done.stdout, done.stderr)
        written = specs.writer.list(*REPORT, namespace=NAMESPACE, label_selector="kspec.io/fleet=true")
        found = {one["spec"]["clusterName"]: one for one in written}
        assert set(found) == {"c-000", "c-001"}
        assert found["c-000"]["spec"]["summary"]["passed"] == 1
        assert found["c-001"]["spec"]["summary"]["passed"] == 0
        refused = [one for one in specs.plane.requests_seen(since=begin) if one.status == 403]
        assert refused == []
        # Wrong input is a failure of the Job.
        wrong = subprocess.run(
            [*container["command"], line.replace("cr:prod", "cr:none")],
            capture_output=True,
            text=True,
            timeout=180,
            cwd=tmp_path,
            env=os.environ | {"KUBECONFIG": str(tmp_path / "kubeconfig"), "NO_COLOR": "1"},
        )
        assert wrong.returncode == 1, (wrong.stdout, wrong.stderr)
        assert "the hub has no ClusterSpecification 'none'" in wrong.stderr
    finally:
        for one in made:
            place = one["metadata"].get("namespace", "")
            specs.writer.delete(one["apiVersion"], one["kind"], one["metadata"]["name"], namespace=place)
