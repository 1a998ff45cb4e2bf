"""Specifications that are read from a cluster: `--kspec-spec cr:NAME`, with and without xdist."""

import json
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.cli.conftest import Kspec
from tests.crds.conftest import Cluster

PLAIN = ("-p", "no:cacheprovider")


def put(cluster: Cluster, name: str, spec: dict[str, Any], **annotations: str) -> None:
    obj = {
        "apiVersion": "kspec.io/v1alpha1",
        "kind": "ClusterSpecification",
        "metadata": {"name": name, "labels": {"team": "a"}, "annotations": annotations},
        "spec": spec,
    }
    cluster.writer.apply(obj)


@pytest.fixture
def specs(cluster: Cluster) -> Iterator[Cluster]:
    versions = {"kspec.io/version": "1.2.0"}
    put(cluster, "base", {"kubernetes": {"minVersion": "1.29"}}, **versions)
    put(
        cluster, "strict", {"policyInheritance": {"basePolicies": ["base"]}, "network": {"defaultDeny": True}}
    )
    put(cluster, "shop", {"workloads": {"containers": {"forbidden": [{"key": "noSuchField"}]}}})
    yield cluster
    for name in ("base", "strict", "shop"):
        cluster.writer.delete("kspec.io/v1alpha1", "ClusterSpecification", name)


def scan(specs: Cluster, run_kspec: Kspec, *words: str) -> tuple[int, dict[str, Any], str]:
    with tempfile.TemporaryDirectory() as folder:  # of its own: others have such folders, too
        said = run_kspec(
            "scan", *words, "--kubeconfig", specs.plane.kubeconfig(), "-o", "json", TMPDIR=folder
        )
        assert list(Path(folder).glob("kspec-specs-*")) == []
    return said.code, json.loads(said.out) if said.out else {}, said.err


@pytest.mark.parametrize("workers", [(), ("-n", "2")])
def test_one_is_scanned_as_a_file_is(specs: Cluster, run_kspec: Kspec, workers: tuple[str, ...]) -> None:
    position = specs.plane.audit_position()
    code, result, err = scan(specs, run_kspec, "cr:base", *workers)
    assert (code, err) == (0, "")
    (found,) = result["clusters"]
    assert found["spec"] == {"name": "base", "version": "1.2.0", "path": "cr:base"}
    (check,) = (c for c in found["checks"] if c["id"] == "kubernetes.version")
    assert check["nodeid"] == f"cr:base::{specs.plane.name}::kubernetes.version"
    assert check["location"] == "cr:base:10:5"
    seen = specs.plane.requests_seen("list", "clusterspecifications", since=position)
    assert len(seen) == 1  # by the controller, whatever the number of workers


def test_names_that_are_as_long_as_names_may_be(specs: Cluster, run_kspec: Kspec) -> None:
    names = ["a" * 253, "a" * 252 + "b", "a" * 200, "a" * 201]
    try:
        for name in names:
            put(specs, name, {"kubernetes": {"minVersion": "1.29"}})
        code, result, err = scan(specs, run_kspec, "cr:aaa*")
        assert (code, err) == (0, "")
        assert sorted(one["spec"]["name"] for one in result["clusters"]) == sorted(names)
        code, result, _ = scan(specs, run_kspec, f"cr:{names[1]}", "-n", "2")
        (check,) = (c for c in result["clusters"][0]["checks"] if c["id"] == "kubernetes.version")
        assert (code, check["nodeid"].partition("::")[0]) == (0, f"cr:{names[1]}")
    finally:
        for name in names:
            specs.writer.delete("kspec.io/v1alpha1", "ClusterSpecification", name)


def test_bases_are_found_in_the_cluster(specs: Cluster, run_kspec: Kspec) -> None:
    code, result, _ = scan(specs, run_kspec, "cr:strict")
    assert code == 1
    assert {c["id"] for c in result["clusters"][0]["checks"]} >= {"kubernetes.version", "network.defaultDeny"}


def test_several_beside_a_file(specs: Cluster, run_kspec: Kspec, write_spec: Any) -> None:
    path = write_spec("kubernetes: {minVersion: 1.30}")
    code, result, _ = scan(specs, run_kspec, "cr:base", "cr:stri*", str(path))
    assert code == 1
    assert [c["spec"]["name"] for c in result["clusters"]] == ["base", "shop", "strict"]


def test_what_is_wrong_in_one_is_said_with_its_place(specs: Cluster, run_kspec: Kspec) -> None:
    code, _, err = scan(specs, run_kspec, "cr:*")
    assert code == 4
    assert "cr:shop:" in err
    assert "'noSuchField' is not a field of a Kubernetes Pod" in err


@pytest.mark.parametrize(
    ("name", "text"),
    [("cr:stric", "Did you mean 'strict'?"), ("cr:zzz", "There are: base, "), ("cr:", "--spec cr:")],
)
def test_unknown_names(specs: Cluster, run_kspec: Kspec, name: str, text: str) -> None:
    code, _, err = scan(specs, run_kspec, name)
    assert code == 4
    assert text in err


def test_workers_collect_the_same_and_ids_select(specs: Cluster, pytester: pytest.Pytester) -> None:
    given = (
        "--kspec-spec=cr:base",
        "--kspec-spec=cr:strict",
        f"--kspec-kubeconfig={specs.plane.kubeconfig()}",
    )
    done = pytester.runpytest_subprocess(*given, *PLAIN, "-n", "2", "--dist", "loadscope", "-v")
    done.stdout.fnmatch_lines([f"*PASSED cr:base::{specs.plane.name}::kubernetes.version*"])
    done = pytester.runpytest_subprocess(*given, *PLAIN, "-k", "defaultDeny", "--collect-only", "-q")
    done.stdout.fnmatch_lines([f"cr:strict::{specs.plane.name}::network.defaultDeny*"])
    assert "kubernetes.version" not in done.stdout.str()


def test_the_ini_file_names_it_too(specs: Cluster, pytester: pytest.Pytester) -> None:
    pytester.makeini(f"[pytest]\nkspec_spec = cr:base\nkspec_kubeconfig = {specs.plane.kubeconfig()}\n")
    pytester.runpytest_subprocess(*PLAIN).assert_outcomes(passed=1, skipped=1)


def test_last_failed(specs: Cluster, pytester: pytest.Pytester) -> None:
    given = ("--kspec-spec=cr:strict", f"--kspec-kubeconfig={specs.plane.kubeconfig()}")
    pytester.runpytest_subprocess(*given)
    again = pytester.runpytest_subprocess(*given, "--lf")
    assert again.parseoutcomes()["failed"] == 1
    assert "passed" not in again.parseoutcomes()


def test_from_manifests_and_without_code(run_kspec: Kspec, tmp_path: Path) -> None:
    """Any source that holds specifications; but none names code of this machine."""
    text = (
        "apiVersion: kspec.io/v1alpha1\nkind: ClusterSpecification\nmetadata: {name: one}\n"
        "spec: {checks: [evil.py], workloads: {containers: {forbidden: [{key: hostNetwork}]}}}\n"
    )
    folder = tmp_path / "manifests"
    folder.mkdir()
    (folder / "spec.yaml").write_text(text)
    said = run_kspec("scan", "cr:one", "--cluster", folder)
    assert said.code == 4
    assert "a specification in a cluster cannot name code" in said.err
    (folder / "spec.yaml").write_text(text.replace("checks: [evil.py], ", ""))
    said = run_kspec("scan", "cr:one", "--cluster", folder)
    assert "one · manifests" in said.out


def test_a_cluster_without_the_kind(control_plane: Any, run_kspec: Kspec) -> None:
    said = run_kspec("scan", "cr:base", "--kubeconfig", control_plane.kubeconfig())
    assert said.code == 4
    assert "kspec crds clusterspecification | kubectl apply --server-side -f -" in said.err
