"""The walk of docs/operator.md, word by word, by a user with an empty cluster and two operators."""

from __future__ import annotations

import contextlib
import os
import re
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from tests.cli.conftest import ROOT
from tests.controlplane.server import ControlPlane, Etcd

LIMIT_S = 900.0
BLOCK = re.compile(r"```(sh|yaml)\n(.*?)```", re.DOTALL)


@pytest.mark.long
def test_from_nothing_to_a_second_leader(etcd: Etcd, tmp_path: Path) -> None:
    page = (ROOT / "docs" / "operator.md").read_text(encoding="utf-8")
    part = page[page.index("### Try it") : page.index("## In a cluster")]
    steps = [text for kind, text in BLOCK.findall(part) if kind == "sh"]
    (prod,) = [
        text for kind, text in BLOCK.findall(page) if kind == "yaml" and "metadata: {name: prod}" in text
    ]
    (tmp_path / "prod.yaml").write_text(prod, encoding="utf-8")
    assert len(steps) == 4
    with ControlPlane(etcd) as plane:
        config = plane.kubeconfig(path=tmp_path / "kubeconfig", context="my-context")
        environment = os.environ | {
            "KUBECONFIG": str(config),
            "PATH": f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}",
            "HOME": str(tmp_path),
        }
        script = "\n".join(["set -eux", *steps])
        with (tmp_path / "said").open("wb") as file:
            shell = subprocess.Popen(
                ["bash", "-c", script],
                cwd=tmp_path,
                env=environment,
                stdout=file,
                stderr=file,
                start_new_session=True,
            )
            try:
                code = shell.wait(LIMIT_S)
            finally:  # operators too, if it ended early
                with contextlib.suppress(ProcessLookupError):
                    os.killpg(shell.pid, signal.SIGKILL)
        said = (tmp_path / "said").read_text(encoding="utf-8", errors="replace")
        logs = "".join(path.read_text(errors="replace") for path in tmp_path.glob("*.log"))
        assert code == 0, said + logs
        assert "kspec-prod-pods was changed by kubectl-patch" in said
        assert "leads" in (tmp_path / "second.log").read_text(encoding="utf-8")
