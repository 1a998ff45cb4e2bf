"""What a run over a fleet says of itself: its clusters, and nothing else."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from tests.fleet.conftest import MakeFleet
from tests.observe.collector import collecting


def test_audit_log_traces_and_plugins_are_told_of_the_clusters_alone(
    make_fleet: MakeFleet, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    told = tmp_path / "packages" / "acme_told.py"
    told.parent.mkdir()
    told.write_text(
        "import os\n\n\ndef pytest_kspec_scan_finished(result):\n"
        "    with open(os.environ['TOLD'], 'a') as file:\n"
        "        file.writelines(f'{one.name}\\n' for one in result.clusters)\n"
    )
    points = told.parent / "acme_told-1.dist-info" / "entry_points.txt"
    points.parent.mkdir()
    points.write_text("[pytest11]\nacme_told = acme_told\n")
    (points.parent / "METADATA").write_text("Metadata-Version: 2.1\nName: acme-told\nVersion: 1\n")
    monkeypatch.setenv("PYTHONPATH", str(told.parent))
    monkeypatch.setenv("TOLD", str(tmp_path / "told"))
    monkeypatch.setenv("KSPEC_AUDIT_LOG", str(tmp_path / "audit.log"))
    monkeypatch.delenv("PYTEST_DISABLE_PLUGIN_AUTOLOAD", raising=False)
    fleet = make_fleet(3)
    with collecting() as collector:
        for name, value in collector.environment.items():
            monkeypatch.setenv(name, value)
        said = fleet.run("scan", "spec.yaml", "--all-contexts")
        assert said.code == 1, said.err
        clusters = {one.name for one in collector.named("cluster")}
    names = ["c-000", "c-001", "c-002"]
    records = [json.loads(line) for line in (tmp_path / "audit.log").read_text().splitlines()]
    scans = [one["resource"]["cluster_name"] for one in records if one["type"] == "compliance_scan"]
    assert sorted(scans) == names
    assert {one["resource"]["cluster_name"] for one in records} == {*names}
    assert clusters == {f"cluster {name}" for name in names}
    assert sorted((tmp_path / "told").read_text().split()) == names
