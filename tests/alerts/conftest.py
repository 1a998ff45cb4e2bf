from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml

from pytest_kspec.alerts.routing import Plan, make_plan
from pytest_kspec.crds.models.alertconfig import AlertConfigSpec
from tests.alerts.receiving import HttpReceiver, http_receiver


@pytest.fixture
def receiver() -> Iterator[HttpReceiver]:
    with http_receiver() as made:
        yield made


def plan(name: str = "ci", **spec: Any) -> Plan:
    return make_plan(name, AlertConfigSpec.model_validate(spec))


def config_file(folder: Path, name: str = "alerts.yaml", **spec: Any) -> Path:
    path = folder / name
    head = {"apiVersion": "kspec.io/v1alpha1", "kind": "AlertConfig", "metadata": {"name": Path(name).stem}}
    path.write_text(yaml.safe_dump({**head, "spec": spec}))
    return path
