"""Kyverno's admission controller, and the record of what was compared.

A part is recorded when all of it was compared, and agreed.
"""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, datetime

import pytest

from pytest_kspec.enforce.engines import kyverno
from tests.controlplane import build as controlplane
from tests.controlplane.server import Etcd
from tests.kyverno import record
from tests.kyverno.cluster import AdmissionController, install
from tests.kyverno.server import KyvernoPlane, KyvernoServer

PASSED: set[str] = set()


def pytest_runtest_logreport(report: pytest.TestReport) -> None:
    """Which tests have passed."""
    if report.when == "call" and report.passed:
        PASSED.add(report.nodeid)


@pytest.fixture(scope="session")
def plane(etcd: Etcd) -> Iterator[KyvernoPlane]:
    """A control plane with Kyverno."""
    with KyvernoPlane(etcd, audited=False) as plane:
        install(plane)
        with AdmissionController(plane):
            yield plane


@pytest.fixture(scope="module", params=kyverno.APIS)
def server(request: pytest.FixtureRequest, plane: KyvernoPlane) -> Iterator[KyvernoServer]:
    """In the place of the one of `tests/parity`."""
    made = KyvernoServer(plane, request.param)
    yield made
    made.close()
    items = [item for item in request.session.items if item.nodeid.startswith(f"{request.node.nodeid}::")]
    ours = [item.nodeid for item in items if f"[{made.api}" in item.name]
    if PASSED.issuperset(ours) and not request.config.getoption("keyword"):
        what = record.PARTS[request.module.__name__.rpartition(".")[2]]
        part = record.Compared(made.api, what, len(made.specifications), made.verdicts, made.refused)
        day = datetime.now(UTC).date().isoformat()
        record.write([part], kubernetes=controlplane.kubernetes_version(), day=day)
