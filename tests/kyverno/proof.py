"""`make test-kyverno`: Kyverno's own engine and a scan say the same of every object; the result is written down.

Not named `test_*`, so that `make test` leaves it out: the first build of Kyverno's command takes some ten minutes, the
comparison some more. An API server decides which objects there are at all, and fills in its defaults.
"""

from __future__ import annotations

import argparse
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, Phase, given, settings

from pytest_kspec.enforce.cel import program
from pytest_kspec.enforce.engines import Wanted, kyverno
from pytest_kspec.enforce.modes import Mode
from pytest_kspec.enforce.plan import EnforcementPlan
from pytest_kspec.errors import SourceError, SpecError
from pytest_kspec.model.spec_exemption import Exemption
from tests.controlplane import build as controlplane
from tests.kyverno import build, record
from tests.kyverno.engine import verdicts
from tests.parity import test_exemptions as exempting
from tests.parity.admission import Server
from tests.parity.cases import written_cases
from tests.parity.objects import CANARIES, as_template, settled
from tests.parity.test_generated_pods import LEVELS
from tests.parity.test_written_cases import EVERYWHERE, place_of
from tests.parity.verdicts import scanned
from tests.rules.pods import pods

PODS = 16
NAMESPACES = ("kspec-a",)
"""Only one of those of the exemptions, for time: levels of other namespaces are not compared here."""
PROCESSES = 4
WHOLE_MESSAGES = 1_000_000
Object = dict[str, Any]
Asked = tuple[EnforcementPlan, list[tuple[Object, list[Object]]]]
"""A plan, and (object as the API server made it, its owners)."""

COMPARED: list[record.Compared] = []


@pytest.fixture(scope="session")
def command() -> Path:
    return build.command()


@pytest.fixture(scope="module")
def server(control_plane):
    made = Server(control_plane)
    yield made
    made.close()


@pytest.fixture(scope="module")
def admitted(server) -> Callable[[Object], Object | None]:
    """What the API server makes of an object; None where it is invalid."""
    known: set[str] = {"default", "kube-system"}

    def make(obj: Object) -> Object | None:
        namespace = obj["metadata"].setdefault("namespace", "shop")
        if namespace not in known:
            known.add(server.namespace(namespace))
        answer = server.create(namespace, obj)
        if answer.status != 201:
            assert answer.status in (400, 422), answer
            return None
        answer.body["metadata"].pop("managedFields", None)
        return {**answer.body, "apiVersion": obj["apiVersion"], "kind": obj["kind"]}

    return make


@pytest.fixture(scope="module")
def written(server, admitted, tmp_path_factory) -> list[Asked]:
    """Hand-written cases."""
    found: list[Asked] = []
    for spec, version, exemptions, objects in written_cases(tmp_path_factory.mktemp("recording")):
        try:
            plan = server.plan(spec, version=version, exemptions=[Exemption(**item) for item in exemptions])
        except (SourceError, SpecError):
            continue  # the case is about the error, which a scan has too
        if not plan.rules:
            continue
        if len(objects) >= EVERYWHERE:
            made = (as_template(o, kind) for o in objects for kind in CANARIES if o["kind"] == "Pod")
            objects = [*objects, *(item for item in made if item is not None)]
        valid: list[tuple[Object, list[Object]]] = []
        for obj in objects:
            sent = settled(obj)
            if not exemptions:  # names mean nothing then, and the command takes each once
                sent["metadata"]["name"] = f"p{len(valid)}"
            item = admitted(sent)
            if item is not None:
                valid.append((item, []))
        if valid:
            found.append((plan, valid))
    return found


@pytest.fixture(scope="module")
def generated(server, admitted) -> list[Asked]:
    """Generated pods, by each level and version of the Pod Security Standards."""
    valid: list[tuple[Object, list[Object]]] = []

    @settings(
        max_examples=PODS,
        deadline=None,
        database=None,
        derandomize=True,
        phases=[Phase.generate],
        suppress_health_check=list(HealthCheck),
    )
    @given(pods(ephemeral=False))
    def collect(pod: Object) -> None:
        pod["metadata"]["name"] = f"p{len(valid)}"
        item = admitted(pod)
        if item is not None:
            valid.append((item, []))

    collect()
    assert len(valid) > PODS / 2
    asked = [{"podSecurity": {"enforce": level, "version": version}} for level, version in LEVELS]
    return [(server.plan(part), valid) for part in asked]


@pytest.fixture(scope="module")
def exempted(server, admitted) -> list[Asked]:
    """Exemptions and owners, in `NAMESPACES`."""
    objects = []
    for namespace in NAMESPACES:
        for plain, others in exempting.OBJECTS:
            item = admitted(exempting.placed(plain, namespace))
            assert item is not None
            objects.append((item, [exempting.placed(other, namespace) for other in others]))
    found: list[Asked] = []
    for name, fields in exempting.EXEMPTIONS.items():
        exemptions = [Exemption(name=name, reason="r", **fields)]
        found.append((server.plan(exempting.SPEC, exemptions=exemptions, now=exempting.NOW), objects))
    return found


@pytest.mark.parametrize("what", ["exempted", "written", "generated"])
@pytest.mark.parametrize("api", kyverno.APIS)
def test_kyverno_and_a_scan_agree(api, what, command, request, tmp_path, monkeypatch):
    monkeypatch.setattr(program, "_LONGEST_MESSAGE", WHOLE_MESSAGES)  # all of it is compared
    asked = request.getfixturevalue(what)
    differences: list[Any] = []
    count = refused = 0
    jobs = []
    for plan, objects in asked:
        options = argparse.Namespace(kyverno_api=api)
        made = kyverno.generate(Wanted(plan, Mode.ENFORCE, "c", options))
        assert made.not_enforceable == (), made.not_enforceable
        policies = {manifest["metadata"]["name"].rpartition("-")[2]: manifest for manifest in made.manifests}
        for place in sorted({place_of(obj["kind"]) for obj, _ in objects}):
            chosen = [pair for pair in objects if place_of(pair[0]["kind"]) == place]
            # One policy at a time: the command compiles all that it has again for each object.
            jobs.append((plan, policies.get(place), chosen, tmp_path / str(len(jobs))))

    def judged(job: Any) -> list[set[tuple[str, str]]]:
        _, policy, chosen, folder = job
        if policy is None:
            return [set() for _ in chosen]
        folder.mkdir()
        return verdicts(command, [policy], [obj for obj, _ in chosen], folder)

    with ThreadPoolExecutor(PROCESSES) as pool:
        for (plan, _, chosen, _), theirs in zip(jobs, pool.map(judged, jobs), strict=True):
            for (obj, others), said in zip(chosen, theirs, strict=True):
                count += 1
                found = scanned(plan, obj, others)
                refused += bool(said)
                if said != found:
                    differences.append((obj, sorted(found - said), sorted(said - found)))
    COMPARED.append(record.Compared(api, NAMES[what], len(asked), count, refused, len(differences)))
    assert not differences, f"{len(differences)} of {count}: {differences[:3]}"


NAMES = {
    "written": "hand-written",
    "generated": "generated pods",
    "exempted": "exemptions and owners, in one namespace",
}


def test_the_result_is_written_down():
    """Runs after all of the above; a part of it is no result."""
    assert len(COMPARED) == len(NAMES) * len(kyverno.APIS), "run all of it"
    day = datetime.now(UTC).date().isoformat()
    record.write(COMPARED, kubernetes=controlplane.kubernetes_version(), day=day)
