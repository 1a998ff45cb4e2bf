"""What a baseline knows, what it says is fixed, and what its file looks like."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import pytest
from msgspec.structs import replace

from pytest_kspec.errors import UsageError
from pytest_kspec.results.baseline import Baseline, load_baseline
from pytest_kspec.results.baselined import Covered
from pytest_kspec.results.finding import Finding
from pytest_kspec.results.fingerprint import fingerprint
from pytest_kspec.results.result import CheckResult, ClusterResult
from pytest_kspec.results.verdict import NOTHING_TO_EXAMINE
from tests.reports.results import AGENT, check, cluster, finding, ref, scan

APP = finding(ref("Deployment", "web"), "spec.template.spec.containers[app].image", "nginx:1", "a digest")
SIDE = finding(ref("Deployment", "web"), "spec.template.spec.containers[side].image", "envoy:1", "a digest")
COVERED = finding(ref("DaemonSet", "agent"), "spec.hostPID", True, "unset", exemption=AGENT)


def images(*findings: object, verdict: str = "fail", **more: object) -> CheckResult:
    return check("images", "Images have digests", "high", verdict, findings=findings, **more)


def on(name: str, *checks: CheckResult) -> ClusterResult:
    return cluster(name, checks=checks)


def knows_of(
    baseline: Baseline, cluster: ClusterResult, check_id: str = "images"
) -> Callable[[Finding], bool]:
    return baseline.knows(lambda: cluster.id, cluster.name, check_id)


def made(*clusters: ClusterResult) -> Baseline:
    return Baseline("known.json", (), ()).updated(scan(*clusters))


def test_a_finding_is_known_whatever_its_value_and_the_name_of_its_pod() -> None:
    knows = knows_of(made(on("a", images(APP))), on("a"))
    assert knows(replace(APP, actual="nginx:2", message="other", count=7))
    assert knows(replace(APP, resource=ref("Pod", "web-x2"), path="spec.containers[app].image"))
    assert not knows(SIDE)


def test_what_another_cluster_or_requirement_has_is_not_known() -> None:
    baseline = made(on("a", images(APP)))
    assert knows_of(baseline, on("a"))(APP)
    assert not knows_of(baseline, on("b"))(APP)
    assert not knows_of(baseline, on("a"), "other")(APP)


def test_another_cluster_of_the_same_name_is_not_known_and_fixes_nothing() -> None:
    baseline = made(on("admin@kubernetes", images(APP)))
    other = replace(on("admin@kubernetes", images(verdict="pass")), uid="another")
    assert not knows_of(baseline, other)(APP)
    assert (baseline.use(other).covered, baseline.use(other).fixed) == (False, ())
    both = baseline.updated(scan(other))
    assert (both.findings, len(both.covered)) == (baseline.findings, 2)


def test_a_cluster_with_a_new_name_is_the_same() -> None:
    baseline = made(on("old", images(APP)))
    renamed = replace(on("old", images(APP)), name="new")
    assert knows_of(baseline, renamed)(APP)
    assert baseline.use(renamed).covered
    again = baseline.updated(scan(renamed))
    assert [(f.cluster, f.spec) for f in again.findings] == [("new", "strict")]
    assert {c.cluster for c in again.covered} == {"new"}


def test_a_file_of_before_is_known_by_name_until_it_is_written_again(tmp_path: Path) -> None:
    now = on("a", images(APP, SIDE))
    path = tmp_path / "known.json"
    line = {
        "cluster": "a",
        "spec": "strict",
        "check": "images",
        "what": "w",
        "id": fingerprint("a", "images", APP),
    }
    other = {**line, "check": "other", "id": "0" * 32}
    old = {
        "apiVersion": "kspec.io/v1alpha1",
        "kind": "Baseline",
        "covers": [{"cluster": "a", "spec": "strict"}],
    }
    path.write_text(json.dumps({**old, "findings": [line, other]}))
    before = load_baseline(path)
    assert (knows_of(before, now)(APP), knows_of(before, now)(SIDE)) == (True, False)
    assert (before.use(now).covered, before.use(now).fixed) == (True, ())
    assert [f.id for f in before.use(on("a", images(SIDE))).fixed] == [line["id"]]
    after = before.updated(scan(now))
    assert {f.cluster_id for f in after.findings if f.check == "images"} == {now.id}
    assert [f.cluster_id for f in after.findings if f.check == "other"] == [""]
    assert after.covered == {Covered("a", "strict", now.id)}


def test_the_name_of_the_specification_counts() -> None:
    baseline = made(on("a", images(APP)))
    other = replace(on("a", images(verdict="pass")), spec_name="other")
    assert baseline.use(other).fixed == ()
    assert baseline.updated(scan(other)).findings == baseline.findings


def test_an_exempted_finding_is_not_in_it() -> None:
    assert made(on("a", images(COVERED))).findings == ()


def test_fixed_is_what_was_looked_for_and_is_not_there() -> None:
    baseline = made(on("a", images(APP, SIDE)))
    (gone,) = baseline.use(on("a", images(APP))).fixed
    assert gone.what == "Deployment shop/web: spec.template.spec.containers[side].image"
    assert len(baseline.use(on("a", images(verdict="pass"))).fixed) == 2
    nothing = images(verdict="skip", reason=NOTHING_TO_EXAMINE)
    assert len(baseline.use(on("a", nothing, check("other", "Another", "low", "pass"))).fixed) == 2


@pytest.mark.parametrize(
    "after",
    [
        images(verdict="error", reason="may not list pods"),
        images(verdict="skip", reason="manifests have no API server"),
        images(
            verdict="skip", reason=NOTHING_TO_EXAMINE
        ),  # and so of the whole run: a wrong path looks like this
        check("other", "Something else", "low", "pass"),
    ],
)
def test_what_was_not_looked_for_is_not_fixed(after: CheckResult) -> None:
    baseline = made(on("a", images(APP, SIDE)))
    assert baseline.use(on("a", after)).fixed == ()
    assert baseline.updated(scan(on("a", after))).findings == baseline.findings


def test_another_cluster_or_specification_is_noticed() -> None:
    baseline = made(on("a", images(verdict="pass")))
    assert baseline.use(on("a", images())).covered
    assert not baseline.use(on("b", images())).covered
    assert not baseline.use(replace(on("a", images()), spec_name="other")).covered


def test_an_update_keeps_other_clusters_and_drops_what_is_fixed() -> None:
    baseline = made(on("a", images(APP, SIDE)), on("b", images(APP)))
    again = baseline.updated(scan(on("a", images(SIDE)), on("c")))
    assert [(f.cluster, f.what.rpartition(".containers")[2]) for f in again.findings] == [
        ("a", "[side].image"),
        ("b", "[app].image"),
    ]
    assert again.covered == {Covered(name, "strict", on(name).id) for name in "abc"}


def test_the_file_has_a_line_for_each_finding_in_one_order(tmp_path: Path) -> None:
    first = made(on("b", images(APP)), on("a", images(SIDE, APP)))
    second = made(on("a", images(APP, SIDE)), on("b", images(replace(APP, actual="other"))))
    assert first.render() == second.render()
    lines = first.render().decode().splitlines()
    assert [line for line in lines if '"id"' in line] == lines[8:11]
    assert len(lines) == 13
    path = tmp_path / "known.json"
    path.write_bytes(first.render())
    loaded = load_baseline(path)
    assert (loaded.findings, loaded.covered) == (first.findings, first.covered)
    empty = Baseline("x", (), ())
    path.write_bytes(empty.render())
    assert load_baseline(path).findings == ()


HEAD = '{"apiVersion":"kspec.io/v1alpha1","kind":"Baseline"'
FIX = "Write it with 'kspec report --from result.json --update-baseline FILE'."


@pytest.mark.parametrize(
    ("text", "error"),
    [
        ("[", "is not JSON: Input data was truncated."),
        ("[" * 100_000, "is not JSON: maximum recursion depth exceeded while deserializing an object."),
        ("[]", "is not a Baseline of kspec.io/v1alpha1."),
        ('{"apiVersion":"kspec.io/v1alpha1","kind":"ScanResult"}', "is not a Baseline of kspec.io/v1alpha1."),
        ('{"apiVersion":"kspec.io/v1","kind":"Baseline"}', "is not a Baseline of kspec.io/v1alpha1."),
        (HEAD + "}", "is not a complete Baseline (KeyError: 'covers')."),
        (HEAD + ',"covers":[]}', "is not a complete Baseline (KeyError: 'findings')."),
        (
            HEAD + ',"covers":[],"findings":[7]}',
            "is not a complete Baseline (TypeError: 'int' object is not subscriptable).",
        ),
        (
            HEAD + ',"covers":[],"findings":[{"cluster":"a","spec":"s","check":"c","what":"w","id":7}]}',
            "is not a complete Baseline (TypeError: every value of an entry must be a string).",
        ),
    ],
)
def test_other_files_are_refused(tmp_path: Path, text: str, error: str) -> None:
    path = tmp_path / "known.json"
    path.write_text(text)
    for options, named in (({}, "--kspec-baseline"), ({"option": "--baseline"}, "--baseline")):
        with pytest.raises(UsageError) as caught:
            load_baseline(path, **options)
        said = caught.value
        assert (said.where, said.what, said.fix) == (f"{named} {path}", error, FIX)


def test_a_file_that_cannot_be_read_is_named(tmp_path: Path) -> None:
    path = tmp_path / "none.json"
    with pytest.raises(UsageError) as caught:
        load_baseline(path)
    said = caught.value
    assert (said.where, said.what, said.fix) == (
        f"--kspec-baseline {path}",
        "could not be read: No such file or directory.",
        FIX,
    )


def test_a_baseline_knows_where_it_is_from(tmp_path: Path) -> None:
    path = tmp_path / "known.json"
    path.write_bytes(made(on("a", images(APP))).render())
    loaded = load_baseline(path)
    assert (loaded.path, loaded.use(on("a", images(APP))).path) == (str(path), str(path))
    assert loaded.updated(scan(on("a", images(SIDE)))).path == str(path)


def test_the_file_is_written_in_this_form() -> None:
    empty = (
        b'{\n "apiVersion": "kspec.io/v1alpha1",\n "kind": "Baseline",\n "covers": [],\n "findings": []\n}\n'
    )
    assert Baseline("x", (), ()).render() == empty
    one, other = Covered("a", "s", "1"), Covered("b", "s", "2")
    line = b'  {"cluster":"%s","spec":"s","clusterId":"%s"}'
    covers = b"[\n" + line % (b"a", b"1") + b",\n" + line % (b"b", b"2") + b"\n ]"
    assert Baseline("x", (other, one), ()).render() == empty.replace(b'"covers": []', b'"covers": ' + covers)
