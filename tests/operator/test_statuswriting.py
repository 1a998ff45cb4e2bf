"""A status where the definitions in the cluster are those of an older version."""

from __future__ import annotations

import copy
import logging
from collections.abc import Iterator
from datetime import timedelta
from typing import Any

import pytest

from pytest_kspec.operator import status
from pytest_kspec.operator.statuswriting import dropped
from tests.crds.conftest import CRD

from .conftest import until
from .hubs import SPEC_KIND, Hub, conditions

DEFINITION = "clusterspecifications.kspec.io"


@pytest.fixture
def older(hub: Hub) -> Iterator[Hub]:
    """The definition does not have the digest."""
    writer = hub.writer

    def serve(schema: Any) -> None:
        found = writer.get(*CRD, DEFINITION)
        found["spec"]["versions"][0]["schema"] = schema
        writer.replace(found, field_manager="test")

    def keeps() -> bool:
        found = hub.specs.get("sturdy")
        found["status"] = {**found["status"], "enforcement": {status.DIGEST: "tried"}}
        made = writer.replace(found, subresource="status", dry_run=True)
        return status.DIGEST in made["status"]["enforcement"]

    schema = writer.get(*CRD, DEFINITION)["spec"]["versions"][0]["schema"]
    old = copy.deepcopy(schema)
    fields = old["openAPIV3Schema"]["properties"]["status"]["properties"]["enforcement"]["properties"]
    del fields[status.DIGEST]
    serve(old)
    until(lambda: not keeps())
    yield hub
    serve(schema)
    until(keeps)


def test_what_the_definition_does_not_have_is_left_out_and_named(
    older: Hub, caplog: pytest.LogCaptureFixture
) -> None:
    with caplog.at_level(logging.WARNING, "kspec.operator"):
        older.specs.put("sturdy", {**older.specs.get("sturdy")["spec"], "kubernetes": {"minVersion": "1.20"}})
        older.now += timedelta(minutes=10)
        older.enforce("sturdy")
    found = older.writer.get(*SPEC_KIND, "sturdy")
    assert found["status"]["observedGeneration"] == found["metadata"]["generation"]
    assert conditions(found["status"])["PolicyEnforced"] == ("True", "PoliciesDeployed")
    assert status.DIGEST not in found["status"]["enforcement"]
    (line,) = [one.getMessage() for one in caplog.records if "definition" in one.getMessage()]
    assert line == (
        "the definition of ClusterSpecification does not have status.enforcement.specificationDigest, "
        "which is not in the status of any: kspec crds | kubectl apply --server-side -f -"
    )


def test_what_was_dropped() -> None:
    sent = {"a": 1, "b": {"c": 1, "d": {"e": 1}}, "f": {"g": 1}}
    assert dropped(sent, {**sent, "more": 1}) == []
    assert dropped(sent, {"a": 2, "b": {"d": {}}}) == ["status.b.c", "status.b.d.e", "status.f"]
