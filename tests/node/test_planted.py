"""The pod of a Job whose volumes hold code that nobody named: its worker runs none of it."""

from __future__ import annotations

import json
import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml

from pytest_kspec.fleet.job import job_name
from tests.cli.test_foreign_code import CONFIGS, MODULES
from tests.fleet.conftest import Fleet, MakeFleet, make_fleet, postgres
from tests.node import image
from tests.node.cluster import NodeCluster
from tests.node.conftest import until
from tests.node.test_fleet import HUB, within, within_pods
from tests.storage.servers import Postgres

__all__ = ["make_fleet", "postgres"]

NAMESPACE = "planted"
NOTE = "import os\nwith open('/marks/ran', 'a') as file:\n    file.write(__file__ + '\\n')\n"
RUN_S = 300.0
SITE = ".local/lib/python3.11/site-packages"
PLANT = f"""
import os, pathlib, runpy, json
given = json.loads(pathlib.Path("/planted/files.json").read_text())
for folder in ("/tmp", "/tmp/{SITE}"):
    for name, text in given.items():
        file = pathlib.Path(folder, name)
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(text)
program = pathlib.Path("/tmp/kspec")
program.write_text("#!/bin/sh\\necho kspec >> /marks/ran\\n")
program.chmod(0o755)
runpy.run_path("/tmp/conftest.py")  # what runs is noted
assert pathlib.Path("/marks/ran").read_text() == "/tmp/conftest.py\\n"
os.unlink("/marks/ran")
pathlib.Path("/marks/planted").touch()
"""


def cel(value: Any) -> str:
    """A literal of values of several types."""
    if isinstance(value, dict):
        return "{" + ", ".join(f"{json.dumps(key)}: dyn({cel(one)})" for key, one in value.items()) + "}"
    if isinstance(value, list):
        return f"[{', '.join(map(cel, value))}]"
    return json.dumps(value)


def mutation(marks_folder: Path) -> list[dict[str, Any]]:
    """Pods of the namespace get an init container that plants, and a volume that is full of it."""
    tmp, marks = {"name": "tmp", "mountPath": "/tmp"}, {"name": "marks", "mountPath": "/marks"}
    plant = {
        "name": "plant",
        "image": image.KSPEC,
        "imagePullPolicy": "IfNotPresent",
        "command": ["/app/bin/python", "-I", "/planted/plant"],
        "volumeMounts": [tmp, marks, {"name": "planted", "mountPath": "/planted"}],
    }
    mount = "/spec/containers/0/volumeMounts/-"
    added = [
        ("/spec/volumes/-", {"name": "marks", "hostPath": {"path": str(marks_folder)}}),
        ("/spec/volumes/-", {"name": "planted", "configMap": {"name": "planted"}}),
        (mount, marks),
        (mount, {"name": "planted", "mountPath": "/tmp/checks"}),
        ("/spec/initContainers", [plant]),
    ]
    patches = [f'JSONPatch{{op: "add", path: "{path}", value: {cel(value)}}}' for path, value in added]
    rule = {"apiGroups": [""], "apiVersions": ["v1"], "operations": ["CREATE"], "resources": ["pods"]}
    kind, name = "MutatingAdmissionPolicy", {"metadata": {"name": "kspec-planted"}}
    head = {"apiVersion": "admissionregistration.k8s.io/v1"}
    selector = {"matchLabels": {"kubernetes.io/metadata.name": NAMESPACE}}
    return [
        head
        | name
        | {
            "kind": kind,
            "spec": {
                "failurePolicy": "Fail",
                "reinvocationPolicy": "Never",
                "matchConstraints": {"resourceRules": [rule]},
                "mutations": [
                    {"patchType": "JSONPatch", "jsonPatch": {"expression": f"[{', '.join(patches)}]"}}
                ],
            },
        },
        head
        | name
        | {
            "kind": f"{kind}Binding",
            "spec": {"policyName": "kspec-planted", "matchResources": {"namespaceSelector": selector}},
        },
    ]


@pytest.fixture
def marks(cluster: NodeCluster) -> Path:
    """What ran notes itself here, on each node, and it stays when the pod is gone."""
    folder = cluster.folder / "marks"
    folder.mkdir()
    folder.chmod(0o777)
    return folder


@pytest.fixture
def ground(cluster: NodeCluster, marks: Path) -> Iterator[None]:
    """The namespace, what is planted, and the policy that plants it, in force."""
    files = {name: NOTE for name in MODULES if "/" not in name} | {
        name: text for name, text in CONFIGS.items() if "/" not in name
    }
    metadata = {"name": "planted", "namespace": NAMESPACE}
    data = files | {"plant": PLANT, "files.json": json.dumps(files)}
    cluster.kubectl("create", "namespace", NAMESPACE)
    planted = [
        {"apiVersion": "v1", "kind": "ConfigMap", "metadata": metadata, "data": data},
        *mutation(marks),
    ]
    cluster.kubectl("apply", "-f", "-", input=yaml.safe_dump_all(planted))
    spec = {
        "containers": [{"name": "c", "image": "x", "volumeMounts": [{"name": "tmp", "mountPath": "/tmp"}]}],
        "volumes": [{"name": "tmp", "emptyDir": {}}],
    }
    trial = {"apiVersion": "v1", "kind": "Pod", "metadata": {"generateName": "trial-"}, "spec": spec}

    def mutates() -> bool:
        path = f"/api/v1/namespaces/{NAMESPACE}/pods?dryRun=All"
        status, made = cluster.plane.request("POST", path, trial)
        return status == 201 and "initContainers" in made["spec"]

    until(mutates)
    yield
    for kind in ("mutatingadmissionpolicybinding", "mutatingadmissionpolicy"):
        cluster.kubectl("delete", kind, "kspec-planted")
    cluster.kubectl("delete", "namespace", NAMESPACE, "--wait=false")


def test_code_in_the_volumes_of_a_job_does_not_run(
    cluster: NodeCluster,
    make_fleet: MakeFleet,
    postgres: Postgres,
    monkeypatch: pytest.MonkeyPatch,
    marks: Path,
    ground: None,
) -> None:
    plane, machine = cluster.plane, cluster.workers["node1"].machine
    fleet = make_fleet(2, {}, store=postgres.database("planted"))
    both = f"{fleet.world.kubeconfig}{os.pathsep}{plane.kubeconfig(path=fleet.folder / 'hub.kubeconfig', context=HUB)}"
    own = Fleet.environment
    monkeypatch.setattr(Fleet, "environment", lambda self: own(self) | {"KUBECONFIG": both})
    machine.lend(postgres.port)
    secrets = {
        "store": {"KSPEC_STORE": within_pods(fleet.store, machine.address)},
        "contexts": {"kubeconfig": within(cluster, fleet.world.kubeconfig)},
    }
    for name, values in secrets.items():
        metadata = {"name": name, "namespace": NAMESPACE}
        body = {"apiVersion": "v1", "kind": "Secret", "metadata": metadata, "stringData": values}
        cluster.kubectl("apply", "-f", "-", input=yaml.safe_dump(body))
    words: tuple[str, ...] = ("--engine=job", f"--hub={HUB}", f"--image={image.KSPEC}")
    words += (f"--namespace={NAMESPACE}", "--store-secret=store", "--kubeconfig-secret=contexts")
    said = fleet.run(
        "scan", "spec.yaml", "--context", "c-00*", "--shards=1", "--run=planted", *words, timeout=RUN_S
    )
    logs = ("logs", "-n", NAMESPACE, "-l", f"batch.kubernetes.io/job-name={job_name('planted')}")
    told = said.out + said.err + cluster.kubectl(*logs, "--all-containers", "--prefix", check=False)
    told += cluster.kubectl("get", "events", "-n", NAMESPACE, check=False)
    assert fleet.outcomes("planted") == {"c-000": "scanned", "c-001": "scanned"}, told
    noted = {one.name: one.read_text(encoding="utf-8") for one in marks.iterdir()}
    assert noted == {"planted": ""}
