"""A simulated fleet, and the command on it as users start it."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, NamedTuple

import pytest

from tests.fleet.world import World
from tests.storage.servers import Postgres

SPEC = """\
apiVersion: kspec.dev/v1
kind: ClusterSpecification
metadata: {name: shop, version: 1.0.0}
spec:
  kubernetes: {minVersion: "1.30", maxVersion: "1.37"}
  network: {allowedServiceTypes: [ClusterIP]}
  workloads:
    containers:
      required:
        - {key: securityContext.allowPrivilegeEscalation, value: false}
"""


class Said(NamedTuple):
    code: int
    out: str
    err: str

    @property
    def json(self) -> Any:
        return json.loads(self.out)


class Fleet(NamedTuple):
    """folder: where commands run; store: what they are given."""

    world: World
    folder: Path
    store: str

    def words(self, *words: str | Path) -> list[str]:
        return [sys.executable, "-m", "pytest_kspec.cli.main", "fleet", *map(str, words)]

    def environment(self) -> dict[str, str]:
        return os.environ | {
            "NO_COLOR": "1",
            "COLUMNS": "100",
            "HOME": str(self.folder),
            "KUBECONFIG": str(self.world.kubeconfig),
            "KSPEC_STORE": self.store,
        }

    def run(self, *words: str | Path, timeout: float = 180.0) -> Said:
        done = subprocess.run(
            self.words(*words),
            capture_output=True,
            text=True,
            stdin=subprocess.DEVNULL,
            cwd=self.folder,
            timeout=timeout,
            env=self.environment(),
        )
        return Said(done.returncode, done.stdout, done.stderr)

    def start(self, *words: str | Path) -> subprocess.Popen[str]:
        """In a session of its own, which a test can kill as a whole."""
        return subprocess.Popen(
            self.words(*words),
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            stdin=subprocess.DEVNULL,
            text=True,
            cwd=self.folder,
            env=self.environment(),
            start_new_session=True,
        )

    def outcomes(self, run: str = "") -> dict[str, str]:
        """Cluster → outcome, of the newest run; each cluster has one line."""
        words = ("--run", run) if run else ()
        found = self.run("status", "-o", "json", *words).json["clusters"]
        assert len({one["name"] for one in found}) == len(found)
        return {one["name"]: one["outcome"] for one in found}


MakeFleet = Callable[..., Fleet]


@pytest.fixture(scope="session")
def postgres() -> Iterator[Postgres]:
    with Postgres() as server:
        yield server


@pytest.fixture
def make_fleet(tmp_path: Path) -> Iterator[MakeFleet]:
    """clusters, and what each does (`world`); store: SQLite unless said otherwise."""
    worlds: list[World] = []

    def make(
        clusters: int, behaviour: dict[str, dict[str, Any]] | None = None, *, store: str = "", pods: int = 20
    ) -> Fleet:
        world = World(clusters, pods, behaviour)
        worlds.append(world)
        world.__enter__()
        (tmp_path / "spec.yaml").write_text(SPEC)
        return Fleet(world, tmp_path, store or str(tmp_path / "fleet.db"))

    yield make
    for world in worlds:
        world.stop()
