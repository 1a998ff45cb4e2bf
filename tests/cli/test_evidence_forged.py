"""Whoever has the key can sign anything: what was changed in a bundle is found by the replay, with its path."""

from __future__ import annotations

import copy
import json
import re
import shutil
import tarfile
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, NamedTuple

import msgspec
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from pytest_kspec import clock
from pytest_kspec.cli import scan_run
from pytest_kspec.cli.main import main
from pytest_kspec.evidence import manifest as manifests
from pytest_kspec.evidence.manifest import Manifest
from pytest_kspec.evidence.pack import Content, describe, pack
from pytest_kspec.evidence.signature import load_private, sign
from pytest_kspec.results.result import ScanResult
from tests.evidence.conftest import Keys, make_keys
from tests.evidence.test_compare import at, leaves, lists, shape

from .conftest import EXAMPLES, RECORDING, Said

QUICK = EXAMPLES / "01-quickstart"
Change = Callable[[dict[str, Any]], Any]


class Desk(NamedTuple):
    """A bundle that was made as users make it, its parts, and what is needed to make another."""

    folder: Path
    keys: Keys
    manifest: Manifest
    contents: dict[str, Content]
    result: dict[str, Any]

    def sign(
        self, result: dict[str, Any] | bytes, *, more: dict[str, Content] | None = None, **changes: Any
    ) -> Path:
        raw = result if isinstance(result, bytes) else json.dumps(result).encode()
        contents = {**self.contents, "result.json": Content("result", raw), **(more or {})}
        contents = {name: content for name, content in contents.items() if content.source}
        made = msgspec.structs.replace(self.manifest, files=describe(contents), **changes)
        path = self.folder / "forged.tar.gz"
        with path.open("wb") as out:
            pack(out, made, contents)
        with path.open("rb") as file:
            Path(f"{path}.sig").write_bytes(sign(file, load_private(str(self.keys.private), None)))
        return path

    def forged(self, change: Change) -> Path:
        result = copy.deepcopy(self.result)
        change(result)
        return self.sign(result)


def desk(folder: Path, *words: str) -> Desk:
    keys = make_keys(folder / "keys")
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(folder)
        assert main(["scan", *words, "--report", "json:result.json"]) in (0, 1, 2)
        assert main(["evidence", "--from", "result.json", "--key", str(keys.private), "-o", "e.tar.gz"]) == 0
    with tarfile.open(folder / "e.tar.gz") as archive:
        archive.extractall(folder, filter="data")
    top = folder / manifests.TOP
    made = manifests.decode((top / "manifest.json").read_bytes(), "here")
    contents = {name: Content(file.role, top / name) for name, file in made.files.items()}
    return Desk(folder, keys, made, contents, json.loads((top / "result.json").read_bytes()))


@pytest.fixture(scope="module")
def honest(tmp_path_factory: pytest.TempPathFactory) -> Desk:
    folder = tmp_path_factory.mktemp("honest")
    shutil.copy(RECORDING, folder / "prod-eu.tar.gz")
    shutil.copy(QUICK / "strict.yaml", folder / "strict.yaml")
    shutil.copy(EXAMPLES / "specs" / "exemptions.yaml", folder / "more.yaml")
    return desk(folder, "strict.yaml", "--cluster", "prod-eu.tar.gz", "--exemptions", "more.yaml")


@pytest.fixture(scope="module")
def replays() -> dict[tuple[object, ...], ScanResult]:
    return {}


@pytest.fixture
def verify(
    honest: Desk,
    replays: dict[tuple[object, ...], ScanResult],
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> Callable[..., Said]:
    """The command. The same files at the same moment are scanned once: here it is forgeries that differ."""
    monkeypatch.setenv("NO_COLOR", "1")
    scan = scan_run.scan_result

    def remembered(specs: list[str], **more: Any) -> ScanResult:
        files = [*specs, *(ref for ref in more["clusters"])]
        key = (*map(str, (specs, more, clock.now())), *(Path(file).read_bytes() for file in files))
        if key not in replays:
            replays[key] = scan(specs, **more)
        return replays[key]

    monkeypatch.setattr(scan_run, "scan_result", remembered)

    def run(path: Path, *words: str, keys: Keys = honest.keys) -> Said:
        capsys.readouterr()
        code = main(["verify", str(path), "--key", str(keys.public), *words])
        return Said(code, *capsys.readouterr())

    return run


def test_an_honest_bundle_is_the_same(honest: Desk, verify: Callable[..., Said]) -> None:
    said = verify(honest.folder / "e.tar.gz")
    assert (said.code, said.err) == (0, "")
    assert "prod-eu, strict 2.3.0: 39 verdicts, 105 findings and everything else are the same" in said.out
    said = verify(honest.forged(lambda result: None))
    assert (said.code, said.err) == (0, "")


def _check(result: dict[str, Any], verdict: str = "fail") -> dict[str, Any]:
    found: dict[str, Any] = next(c for c in result["clusters"][0]["checks"] if c["verdict"] == verdict)
    return found


FORGED: dict[str, tuple[Change, str]] = {
    "the summary": (lambda r: r["summary"].update(fail=0), "summary.fail: the result has 0"),
    "a score": (
        lambda r: r["clusters"][0]["summary"].update(score=100.0),
        "clusters[prod-eu, strict].summary.score: the result has 100.0",
    ),
    "a severity": (lambda r: _check(r).update(severity="low"), '.severity: the result has "low"'),
    "a severity that is none": (lambda r: _check(r).update(severity="x"), '.severity: the result has "x"'),
    "a verdict": (lambda r: _check(r).update(verdict="pass"), '.verdict: the result has "pass", the replay has "fail"'),
    "the status of a control": (
        lambda r: r["clusters"][0]["frameworks"][0]["controls"][0].update(status="pass"),
        "].status: the result has",
    ),
    "no frameworks": (lambda r: r["clusters"][0].update(frameworks=[]), ".frameworks["),
    "an exemption that is gone": (lambda r: r["clusters"][0]["exemptions"].pop(), ".exemptions["),
    "whose reason an exemption is": (
        lambda r: r["clusters"][0]["exemptions"][0].update(reason="other"),
        '.reason: the result has "other"',
    ),
    "what was not evaluated": (lambda r: r["clusters"][0].update(notEvaluated=[]), ".notEvaluated["),
    "a title": (lambda r: _check(r).update(title="All is well"), '.title: the result has "All is well"'),
    "a message": (
        lambda r: _check(r)["findings"][0].update(message="fine"),
        '.message: the result has "fine"',
    ),
    "a version of Kubernetes": (
        lambda r: r["clusters"][0].update(version="v1.99.0"),
        '.version: the result has "v1.99.0"',
    ),
    "the version of the specification": (
        lambda r: r["clusters"][0]["spec"].update(version="9.9.9"),
        '.spec.version: the result has "9.9.9"',
    ),
    "the version of the tool": (
        lambda r: r["tool"].update(version="9.9.9"),
        'tool.version: the result has "9.9.9", the bundle was made by "pytest-kspec',
    ),
    "the digest of the specification": (
        lambda r: r["clusters"][0]["evidence"].update(specSha256="0" * 64),
        ".evidence.specSha256: the result has",
    ),
    "the digest of the snapshot": (
        lambda r: r["clusters"][0]["evidence"].update(snapshotSha256="0" * 64),
        ".evidence.snapshotSha256: the result has",
    ),
    "no clusters": (lambda r: r.update(clusters=[]), "clusters[prod-eu, strict]: not in the result"),
    "a cluster of another name": (
        lambda r: r["clusters"][0].update(name="prod-us"),
        'clusters[prod-eu, strict].name: the result has "prod-us"',
    ),
    "a cluster twice": (
        lambda r: r["clusters"].append(r["clusters"][0]),
        "clusters[prod-eu, strict]: only in the result, or duplicated",
    ),
    "a check twice": (
        lambda r: r["clusters"][0]["checks"].append(_check(r)),
        "]: only in the result, or duplicated",
    ),
    "a check that is gone": (lambda r: r["clusters"][0]["checks"].remove(_check(r)), "]: not in the result"),
    "another order": (lambda r: r["clusters"][0]["checks"].reverse(), ".checks: the result has it in another order"),
    "where it is written": (
        lambda r: _check(r).update(location="other.yaml:1:1"),
        '.location: the result has "other.yaml:1:1"',
    ),
    "a key that no result has": (lambda r: r.update(approved=True), "approved: only in the result (true)"),
    "a key that is gone": (lambda r: r.pop("trend"), "trend: not in the result"),
    "a trend": (lambda r: r.update(trend=[{"score": 100}]), "trend["),
    "a time that is none": (lambda r: r.update(finishedAt="yesterday"), 'finishedAt: the result has "yesterday"'),
    "a duration that is none": (
        lambda r: _check(r).update(durationSeconds=-1),
        ".durationSeconds: -1 is not a number of seconds",
    ),
    "a number for a truth": (
        lambda r: _check(r)["findings"][0].update(known=0),
        ".known: the result has 0, the replay has false",
    ),
}  # fmt: skip


@pytest.mark.parametrize("what", FORGED)
def test_what_was_forged_and_signed_is_found(what: str, honest: Desk, verify: Callable[..., Said]) -> None:
    change, expected = FORGED[what]
    said = verify(honest.forged(change))
    assert said.code == 1, said.out + said.err
    assert expected in said.out
    assert "are the same" not in said.out


@settings(max_examples=15, suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None)
@given(data=st.data())
def test_any_leaf_and_any_list(data: st.DataObject, honest: Desk, verify: Callable[..., Said]) -> None:
    """As in tests/evidence/test_compare.py, but signed and replayed."""
    forged = copy.deepcopy(honest.result)
    if data.draw(st.booleans()):
        free = {
            "startedAt",
            "finishedAt",
            "runBy",
            "clusters[].checks[].durationSeconds",
            "clusters[].evidence.sourceRef",
        }
        path = data.draw(st.sampled_from([path for path in leaves(forged) if shape(path) not in free]))
        was = at(forged, path)
        at(forged, path[:-1])[path[-1]] = f"{was}x" if isinstance(was, str) else [was]
    else:
        path = data.draw(st.sampled_from(list(lists(forged))))
        entries = at(forged, path)
        entries.insert(0, entries[-1]) if data.draw(st.booleans()) else entries.pop()
    said = verify(honest.sign(forged))
    assert said.code == 1, said.out + said.err
    assert str(next(part for part in reversed(path) if isinstance(part, str))) in said.out


def test_times_and_who_ran_it_may_differ(honest: Desk, verify: Callable[..., Said]) -> None:
    def change(result: dict[str, Any]) -> None:
        result["runBy"] = "an auditor\n::error::x\x1b[2J"
        result["clusters"][0]["evidence"]["sourceRef"] = "/recordings/prod-eu.tar.gz"
        _check(result)["durationSeconds"] = 3

    said = verify(honest.forged(change))
    assert (said.code, said.err) == (0, "")
    assert "by an auditor\\n::error::x\\u001b[2J, with" in said.out


def test_a_result_with_a_name_twice(honest: Desk, verify: Callable[..., Said]) -> None:
    raw = json.dumps(honest.result).replace('"verdict": "fail"', '"verdict": "pass", "verdict": "fail"', 1)
    said = verify(honest.sign(raw.encode()))
    assert (said.code, 'an object has "verdict" twice' in said.err) == (1, True)


def test_a_result_of_nothing_says_nothing(honest: Desk, verify: Callable[..., Said]) -> None:
    """Not even where the bundle names nothing to replay."""
    empty = {
        **honest.result,
        "clusters": [],
        "summary": dict.fromkeys(honest.result["summary"], 0) | {"score": None},
    }
    dropped = {name: Content("spec", b"") for name in honest.contents}
    said = verify(honest.sign(empty, more=dropped | {"result.json": Content("result", json.dumps(empty).encode())},
                              replays=(), exemptions=(), places={}))  # fmt: skip
    assert said.code == 1
    assert "clusters: the bundle contains no result of any cluster, so there is nothing to verify" in said.out


def test_a_file_that_nothing_names(honest: Desk, verify: Callable[..., Said]) -> None:
    more = {
        "files/other.yaml": Content("spec", b"a: 1\n"),
        "files/more-exemptions.yaml": Content("exemptions", b"a: 1\n"),
        "snapshots/other.tar.gz": Content("snapshot", b"x"),
    }
    said = verify(honest.sign(honest.result, more=more))
    assert said.code == 1
    for name in more:
        assert f"{name}: is in the bundle, but nothing refers to it" in said.out


def test_a_manifest_that_says_it_twice(honest: Desk, verify: Callable[..., Said]) -> None:
    said = verify(honest.sign(honest.result, replays=honest.manifest.replays * 2))
    assert (said.code, "names a cluster and its specification twice" in said.err) == (1, True)
    raw = honest.manifest.encode().replace(b'"role": "spec"', b'"role": "key", "role": "spec"', 1)
    with pytest.raises(Exception, match='an object has "role" twice'):
        manifests.decode(raw, "here")


def test_another_version_made_it(honest: Desk, verify: Callable[..., Said]) -> None:
    """Nothing can be proven by a version that may judge otherwise; what differs is listed all the same."""
    older = copy.deepcopy(honest.result)
    older["tool"]["version"] = "0.0.9"
    said = verify(honest.sign(older, tool="pytest-kspec 0.0.9"))
    assert said.code == 2
    assert "pytest-kspec 0.0.9 made it, and this is" in said.err
    assert "The signature and the digests are valid. Verify it with pytest-kspec 0.0.9." in said.err
    assert 'tool.version: the result has "0.0.9", the replay' in said.out
    _check(older)["verdict"] = "pass"
    said = verify(honest.sign(older, tool="pytest-kspec 0.0.9"))
    assert (said.code, '.verdict: the result has "pass", the replay has "fail"' in said.out) == (2, True)


def test_a_time_at_which_nothing_can_be_replayed(honest: Desk, verify: Callable[..., Said]) -> None:
    said = verify(honest.forged(lambda result: result.update(startedAt="2026-01-01T00:00:00")))
    assert said.code == 2
    assert 'startedAt: "2026-01-01T00:00:00" is not an RFC 3339 time' in said.err


@pytest.mark.parametrize(
    ("started", "finished", "said"),
    [
        ("2099-01-01T00:00:00Z", "2099-01-01T00:00:02Z", "the scan is in the future"),
        (None, "2199-01-01T00:00:02Z", "the scan is in the future"),
        (None, "2026-01-01T00:00:00Z", 'finishedAt: "2026-01-01T00:00:00Z" is before startedAt'),
    ],
)
def test_times_of_no_scan(
    started: str | None, finished: str, said: str, honest: Desk, verify: Callable[..., Said]
) -> None:
    result = {**honest.result, "startedAt": started or honest.result["startedAt"], "finishedAt": finished}
    told = verify(honest.sign(result, finished_at=finished))
    assert told.code == 1
    assert said in told.out


def test_a_scan_before_its_recording_revives_no_exemption(
    tmp_path: Path, verify: Callable[..., Said]
) -> None:
    """Made as of a moment at which the exemption was valid, and the cluster was not yet recorded."""
    shutil.copy(RECORDING, tmp_path / "prod-eu.tar.gz")
    (tmp_path / "spec.yaml").write_text(
        "apiVersion: kspec.dev/v1\nkind: ClusterSpecification\nmetadata: {name: s, version: 1.0.0}\nspec:\n"
        "  podSecurity: {enforce: baseline}\n  policyExemptions:\n"
        "    - {name: once, reason: r, expiresAt: 2021-01-01, checks: ['podSecurity.*']}\n"
    )
    with clock.at(datetime(2020, 1, 1, tzinfo=UTC)):
        made = desk(tmp_path, "spec.yaml", "--cluster", "prod-eu.tar.gz")
    result = {**made.result, "startedAt": "2020-01-01T00:00:00Z", "finishedAt": "2020-01-01T00:00:02Z"}
    said = verify(made.sign(result, finished_at=result["finishedAt"]), keys=made.keys)
    assert said.code == 1
    assert re.search(
        r"^  summary\.exempt: the result has [1-9][0-9]*, the replay has 0$", said.out, re.MULTILINE
    )


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"clusters": []}, "the result contains no cluster, so there is nothing to prove"),
        ({"finishedAt": "9999-01-01T00:00:00Z"}, "finishedAt is not a time that an archive can hold"),
    ],
)
def test_a_result_that_no_bundle_is_made_of(
    change: dict[str, Any],
    said: str,
    honest: Desk,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.chdir(honest.folder)
    (tmp_path / "result.json").write_text(json.dumps(honest.result | change))
    words = ["--from", str(tmp_path / "result.json"), "--key", str(honest.keys.private)]
    code = main(["evidence", *words, "-o", str(tmp_path / "e.tar.gz")])
    told = capsys.readouterr().err
    assert code == 4
    assert said in told


@pytest.mark.parametrize("text", ["2026-W48-7T10:59:58Z", "20261129T105958Z", "2026-11-29 10:59:58+00:00"])
def test_times_that_are_not_rfc_3339(text: str, honest: Desk, verify: Callable[..., Said]) -> None:
    said = verify(honest.forged(lambda result: result.update(startedAt=text)))
    assert (said.code, "is not an RFC 3339 time" in said.err) == (2, True)


def test_a_manifest_of_another_cluster(honest: Desk, verify: Callable[..., Said]) -> None:
    """Also where its snapshot and specification are those of the result."""
    (one,) = honest.manifest.replays
    said = verify(honest.sign(honest.result, replays=(msgspec.structs.replace(one, cluster="dev"),)))
    assert said.code == 1
    assert f'manifest.json: names the cluster "dev" with "{one.spec_path}"' in said.out


def test_a_result_in_utf_16(honest: Desk, verify: Callable[..., Said]) -> None:
    said = verify(honest.sign(json.dumps(honest.result).encode("utf-16")))
    assert (said.code, "can't decode byte" in said.err) == (1, True), said.out + said.err


def test_clusters_that_can_and_that_cannot_be_replayed(tmp_path: Path, verify: Callable[..., Said]) -> None:
    """A recording and a folder of manifests with two specifications: what cannot be replayed is at least consistent."""
    shutil.copy(RECORDING, tmp_path / "prod-eu.tar.gz")
    for name, ask in (
        ("one", "podSecurity: {enforce: baseline}"),
        ("two", "workloads: {images: {requireDigests: true}}"),
    ):
        (tmp_path / f"{name}.yaml").write_text(
            "apiVersion: kspec.dev/v1\nkind: ClusterSpecification\n"
            f"metadata: {{name: {name}, version: 1.0.0}}\nspec:\n  {ask}\n"
        )
    (tmp_path / "apps").mkdir()
    (tmp_path / "apps" / "pod.yaml").write_text(
        "apiVersion: v1\nkind: Pod\nmetadata: {name: p, namespace: n}\n"
        "spec: {containers: [{name: c, image: nginx, securityContext: {privileged: true}}]}\n"
    )
    made = desk(tmp_path, "one.yaml", "two.yaml", "--cluster", "prod-eu.tar.gz", "--cluster", "./apps")
    assert len(made.result["clusters"]) == 4
    said = verify(tmp_path / "e.tar.gz", keys=made.keys)
    assert said.code == 2
    assert said.out.count("and everything else are the same") == 2
    assert said.err.count("it was a scan of a source of kind manifests") == 2

    def soften(result: dict[str, Any]) -> None:
        apps = next(c for c in result["clusters"] if c["name"] == "apps")
        apps["summary"]["skip"] += 1

    said = verify(made.forged(soften), keys=made.keys)
    assert said.code == 1
    assert "clusters[apps].summary.skip: the result has" in said.out

    def drop(result: dict[str, Any]) -> None:
        del result["clusters"][-1]

    said = verify(made.forged(drop), keys=made.keys)
    assert said.code == 1
    assert "not in the result" in said.out
