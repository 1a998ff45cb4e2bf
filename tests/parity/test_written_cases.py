"""Every hand-written case of `tests/checks`: scan verdict and policies agree, object by object and path by path.

The cases are recorded while `tests/checks` runs. Their pods are made into objects that the API server takes (an image
where there is none, say); what it still refuses as invalid says nothing about policies, and is the smaller part. What
is scanned is what the API server makes of the object, defaults included.
"""

from __future__ import annotations

import copy
import json
import os
import subprocess
import sys
from collections import Counter

import pytest

from pytest_kspec.enforce.cel.places import PLACES
from pytest_kspec.errors import SourceError, SpecError
from pytest_kspec.model.spec_exemption import Exemption
from tests.docs.pages import ROOT
from tests.parity.admission import PATHS, refused
from tests.parity.objects import CANARIES, as_template, settled
from tests.parity.verdicts import scanned

EVERYWHERE = 10
"""Specifications with as many objects are tried in templates too."""

COUNTED: Counter[str] = Counter()


def place_of(kind):
    return next(place.name for place in PLACES if any(k.kind == kind for k in place.kinds))


@pytest.fixture(scope="module")
def recorded(tmp_path_factory):
    """[(specification, API server version, exemptions, objects)], the first three different each time."""
    path = tmp_path_factory.mktemp("recording") / "cases.jsonl"
    run = subprocess.run(
        f"{sys.executable} -m pytest -q -p tests.parity.recording -p no:cacheprovider tests/checks".split(
            " "
        ),
        cwd=ROOT,
        env=os.environ | {"KSPEC_RECORDING": str(path), "PYTEST_ADDOPTS": ""},
        capture_output=True,
        text=True,
    )
    assert run.returncode == 0, run.stdout[-2000:]
    groups = {}
    for line in path.read_text(encoding="utf-8").splitlines():
        case = json.loads(line)
        key = json.dumps([case["spec"], case["version"], case["exemptions"]], sort_keys=True)
        objects = groups.setdefault(key, {})
        for obj in case["objects"]:
            if obj.get("kind") in PATHS:
                objects[json.dumps(obj, sort_keys=True)] = obj
    return [(*json.loads(key), list(objects.values())) for key, objects in groups.items() if objects]


@pytest.fixture(scope="module")
def groups(server, recorded):
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


def test_scan_and_policies_agree(server, groups):
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
            found = scanned(plan, answer.body | {"apiVersion": sent["apiVersion"], "kind": sent["kind"]})
            labelled = copy.deepcopy(sent)
            labelled["metadata"]["labels"] = {**(labelled["metadata"].get("labels") or {}), **label}
            theirs = refused(server.create(namespace, labelled))
            COUNTED["refused" if theirs else "admitted"] += 1
            if theirs != found:
                differences.append((sent, sorted(found - theirs), sorted(theirs - found)))
    assert not differences, f"{len(differences)} of {COUNTED['valid']}: {differences[:3]}"


def test_most_cases_said_something():
    """Runs after the one above."""
    if not COUNTED:
        pytest.skip("the cases were not selected")
    assert COUNTED["valid"] > 3 * COUNTED["invalid"], COUNTED
    assert min(COUNTED["admitted"], COUNTED["refused"]) > 50, COUNTED
