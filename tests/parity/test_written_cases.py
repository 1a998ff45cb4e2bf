"""Every hand-written case of `tests/checks`: scan verdict and policies agree, object by object and path by path.

The cases are recorded while `tests/checks` runs. Their pods are made into objects that the API server takes (an image
where there is none, say); what it still refuses as invalid says nothing about policies, and is the smaller part. What
is scanned is what the API server makes of the object, defaults included.
"""

from __future__ import annotations

import copy
from collections import Counter
from typing import Any

import pytest

from pytest_kspec.errors import SourceError, SpecError
from pytest_kspec.rules.cel.places import PLACES
from pytest_kspec.spec.exemption import Exemption
from tests.parity.admission import refused
from tests.parity.cases import written_cases
from tests.parity.objects import CANARIES, as_template, settled
from tests.parity.verdicts import agreed

EVERYWHERE = 10
"""Specifications with as many objects are tried in templates too."""

COUNTED: Counter[str] = Counter()


def place_of(kind: str) -> Any:
    return next(place.name for place in PLACES if any(k.kind == kind for k in place.kinds))


@pytest.fixture(scope="module")
def recorded(tmp_path_factory: pytest.TempPathFactory) -> Any:
    """The hand-written cases, by what they ask."""
    return written_cases(tmp_path_factory.mktemp("recording"))


@pytest.fixture(scope="module")
def groups(server: Any, recorded: Any) -> Any:
    """[(plan, label, objects)], with policies in force for objects that carry the label."""
    made, waiting = [], []
    names = {"shop"}
    for number, (spec, version, exemptions, objects) in enumerate(recorded):
        label = {"kspec-parity-group": str(number)}
        try:
            plan = server.plan(spec, version=version, exemptions=[Exemption(**item) for item in exemptions])
        except (SourceError, SpecError):
            continue  # the case is about the error, which a scan has too
        if not plan.rules:
            continue
        if len(objects) >= EVERYWHERE:
            objects = [
                *objects,
                *(as_template(o, k) for o in objects for k in CANARIES if o["kind"] == "Pod"),
            ]
            objects = [item for item in objects if item is not None]
        wanted = {place_of(item["kind"]) for item in objects}
        applied = server.apply_plan(plan, places=wanted, object_labels=label)
        names |= {item["metadata"].get("namespace", "shop") for item in objects}
        made.append((plan, label, objects))
        waiting += [(label, place) for place in applied]
    for name in sorted(names - {"default", "kube-system"}):
        server.namespace(name)
    for label, place in waiting:
        server.wait("shop", CANARIES[place], labels=label)
    return made


def test_scan_and_policies_agree(server: Any, groups: Any) -> None:
    differences = []
    for plan, label, objects in groups:
        for obj in objects:
            sent = settled(obj)
            namespace = sent["metadata"].setdefault("namespace", "shop")
            answer = server.create(namespace, sent)
            if answer.status != 201:
                assert answer.status in (400, 422), answer
                COUNTED["invalid"] += 1
                continue
            COUNTED["valid"] += 1
            found = agreed(plan, answer.body | {"apiVersion": sent["apiVersion"], "kind": sent["kind"]})
            labelled = copy.deepcopy(sent)
            labelled["metadata"]["labels"] = {**(labelled["metadata"].get("labels") or {}), **label}
            theirs = refused(server.create(namespace, labelled))
            COUNTED["refused" if theirs else "admitted"] += 1
            if theirs != found:
                differences.append((sent, sorted(found - theirs), sorted(theirs - found)))
    assert not differences, f"{len(differences)} of {COUNTED['valid']}: {differences[:3]}"


def test_most_cases_said_something() -> None:
    """Runs after the one above."""
    if not COUNTED:
        pytest.skip("the cases were not selected")
    assert COUNTED["valid"] > 3 * COUNTED["invalid"], COUNTED
    assert min(COUNTED["admitted"], COUNTED["refused"]) > 50, COUNTED
