"""A snapshot, a specification and checks whose every text is one that a terminal or a CI system obeys."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import yaml

from pytest_kspec.cluster.recording.record import record
from pytest_kspec.cluster.sources.memory import MemorySource
from tests.hostile.text import PAYLOADS

CHECKS = '''\
import os, warnings
import pytest
from pytest_kspec import check

def asks(id):
    return check(id=id, title={line!r}, severity='high', remediation={title!r})

@asks('acme.prints')
def test_prints(findings, pods):
    """::error::in a docstring."""
    for pod in pods:
        print(pod.name, pod.raw)
        warnings.warn(pod.name)
        findings.add(pod, message=pod.name, path=pod.name, actual=pod.name, expected=pod.name)

@asks('acme.raises')
def test_raises(pods):
    """::error::raised."""
    raise ValueError([pod.name for pod in pods] + [{title!r}])

@asks('acme.asserts')
def test_asserts(pods):
    """::error::asserted."""
    assert not [pod.name for pod in pods], {title!r}

@asks('acme.skips')
def test_skips():
    """::error::skipped."""
    pytest.skip({title!r})

@asks('acme.parameters')
@pytest.mark.parametrize('text', [{title!r}])
def test_parameters(text):
    """::error::parameters."""
    print(len(text))

@asks('acme.teardown')
def test_teardown(broken):
    """::error::teardown."""
    print(broken)

@pytest.fixture
def broken():
    yield
    raise ValueError({title!r})
'''
TITLE = "::error::x ##[error] ##vso[y]\x1b[31m\n::add-mask::z\r::error::\u202e"


def snapshot(path: Path, *, more: bool = False, names: bool = False, title: str = TITLE) -> Path:
    """A recorded cluster; more: than in the one to compare with; names: of objects too, which no API server allows."""
    objects: list[dict[str, Any]] = []
    for number, text in enumerate(PAYLOADS if more else PAYLOADS[:3]):
        name = text if names else f"x{number}"
        meta = {"name": name, "namespace": name, "labels": {text: text}, "uid": f"u{number}"}
        containers = [
            {
                "name": text,
                "image": text,
                "securityContext": {"privileged": True, "capabilities": {"add": [text]}},
            }
        ]
        objects += [
            {"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": name, "uid": f"n{number}"}},
            {"apiVersion": "v1", "kind": "Pod", "metadata": meta, "spec": {"containers": containers}},
            {
                "apiVersion": "v1",
                "kind": "Service",
                "metadata": meta | {"uid": f"s{number}"},
                "spec": {"type": text},
            },
        ]
    record(MemorySource(objects, name=title, version="v1.36.0"), path)
    return path


def specification(path: Path) -> Path:
    """Everything that a person may write freely."""
    spec = {
        "apiVersion": "kspec.dev/v1",
        "kind": "ClusterSpecification",
        "metadata": {"name": "strict", "version": "1.0.0", "description": TITLE},
        "spec": {
            "kubernetes": {"minVersion": "1.30", "maxVersion": "1.37"},
            "podSecurity": {"enforce": "baseline", "audit": "baseline", "warn": "baseline"},
            "network": {"allowedServiceTypes": ["ClusterIP"], "defaultDeny": True},
            "workloads": {"images": {"allowedRegistries": ["registry.example.com"]}},
        },
    }
    path.write_text(yaml.safe_dump(spec, sort_keys=False))
    return path


def exemptions(path: Path) -> Path:
    """One that is expired, and one that matches nothing."""
    entry = {"reason": TITLE, "approver": TITLE, "checks": ["network.*"]}
    entries = [
        entry | {"name": TITLE, "expiresAt": "2020-01-01", "resources": [{"kind": "Service", "name": "x"}]},
        entry
        | {"name": f"{TITLE}2", "expiresAt": "2099-01-01", "resources": [{"kind": "Service", "name": "no"}]},
    ]
    document = {
        "apiVersion": "kspec.dev/v1",
        "kind": "Exemptions",
        "metadata": {"name": "hostile"},
        "exemptions": entries,
    }
    path.write_text(yaml.safe_dump(document, sort_keys=False))
    return path


def checks(folder: Path) -> Path:
    """Checks of the user that print, warn, raise and skip with it."""
    folder.mkdir(exist_ok=True)
    (folder / "test_hostile.py").write_text(CHECKS.format(title=TITLE, line=" ".join(TITLE.splitlines())))
    return folder
