"""kspec evidence and kspec verify, as a user and an auditor run them."""

from __future__ import annotations

import base64
import gzip
import json
import shutil
import tarfile
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from pytest_kspec import clock
from pytest_kspec.reports import json as report
from pytest_kspec.results.baseline import Baseline
from tests.evidence.conftest import Keys, make_keys, openssl

from .conftest import RECORDING, Kspec

Write = Callable[..., Path]
ASKED = "podSecurity: {enforce: baseline}"


@pytest.fixture(scope="module")
def keys(tmp_path_factory: pytest.TempPathFactory) -> Keys:
    return make_keys(tmp_path_factory.mktemp("keys"))


@pytest.fixture
def recording(tmp_path: Path) -> Path:
    return Path(shutil.copy(RECORDING, tmp_path / "prod-eu.tar.gz"))


def scan(run_kspec: Kspec, tmp_path: Path, *words: str | Path, **env: str) -> Path:
    said = run_kspec("scan", *words, "--report", "json:result.json", **env)
    assert said.code in (0, 1), said.err
    return tmp_path / "result.json"


def bundle(run_kspec: Kspec, keys: Keys, *words: str | Path, name: str = "evidence.tar.gz") -> None:
    said = run_kspec("evidence", "--from", "result.json", "--key", keys.private, "-o", name, *words)
    assert said.code == 0, said.err


def test_a_bundle_is_verified_by_us_and_by_openssl(
    run_kspec: Kspec, write_spec: Write, recording: Path, keys: Keys, tmp_path: Path
) -> None:
    scan(run_kspec, tmp_path, write_spec(ASKED), "--cluster", recording, "--run-by", "audit team")
    bundle(run_kspec, keys)
    bundle(run_kspec, keys, name="again.tar.gz")
    made = tmp_path / "evidence.tar.gz"
    assert made.read_bytes() == (tmp_path / "again.tar.gz").read_bytes()
    signature = tmp_path / "sig"
    signature.write_bytes(base64.b64decode((tmp_path / "evidence.tar.gz.sig").read_bytes()))
    assert openssl("dgst", "-sha256", "-verify", keys.public, "-signature", signature, made).returncode == 0
    with tarfile.open(made) as archive:
        assert [name for name in archive.getnames() if "snapshots" not in name] == [
            "evidence/manifest.json",
            "evidence/files/spec.yaml",
            "evidence/result.json",
        ]
    # The auditor has the bundle, its signature and the key; nothing else.
    desk = tmp_path / "desk"
    desk.mkdir()
    for name in ("evidence.tar.gz", "evidence.tar.gz.sig"):
        shutil.copy(tmp_path / name, desk)
    said = run_kspec("verify", "evidence.tar.gz", "--key", keys.public, cwd=desk)
    assert (said.code, said.err) == (0, "")
    first, second, third, fourth = said.out.splitlines()
    assert first.startswith("signature: good, by SHA256:")
    assert second == "digests: 3 files match the signed digests"
    assert "by audit team, with pytest-kspec" in third
    assert "13 verdicts, 35 findings" in fourth
    assert fourth.endswith(" and everything else are the same")
    assert sorted(path.name for path in desk.iterdir()) == ["evidence.tar.gz", "evidence.tar.gz.sig"]


def test_a_folder_of_a_snapshot_is_bundled_as_an_archive(
    run_kspec: Kspec, write_spec: Write, recording: Path, keys: Keys, tmp_path: Path
) -> None:
    with tarfile.open(recording) as archive:
        archive.extractall(tmp_path, filter="data")
    recording.unlink()
    scan(run_kspec, tmp_path, write_spec(ASKED), "--cluster", "./prod-eu")
    bundle(run_kspec, keys)
    assert run_kspec("verify", "evidence.tar.gz", "--key", keys.public).code == 0


def test_bases_and_templates_of_a_specification_are_in_it(
    run_kspec: Kspec, write_spec: Write, recording: Path, keys: Keys, tmp_path: Path
) -> None:
    for folder in ("bases", "specs"):
        (tmp_path / folder).mkdir()
    write_spec(ASKED, "bases/base.yaml")
    spec = write_spec(
        "network: {defaultDeny: true}\n  policyTemplate: {name: security-baseline}\n"
        "  policyInheritance: {basePolicies: [../bases/base.yaml]}",
        "specs/prod.yaml",
    )
    scan(run_kspec, tmp_path, spec, "--cluster", recording)
    bundle(run_kspec, keys)
    with tarfile.open(tmp_path / "evidence.tar.gz") as archive:
        assert {"evidence/files/bases/base.yaml", "evidence/files/specs/prod.yaml"} <= {*archive.getnames()}
    for folder in ("bases", "specs"):
        shutil.rmtree(tmp_path / folder)
    said = run_kspec("verify", "evidence.tar.gz", "--key", keys.public)
    assert said.code == 0, said.out + said.err


def test_tampering_and_other_keys(
    run_kspec: Kspec, write_spec: Write, recording: Path, keys: Keys, tmp_path: Path
) -> None:
    scan(run_kspec, tmp_path, write_spec(ASKED), "--cluster", recording)
    bundle(run_kspec, keys)
    other = make_keys(tmp_path / "other")
    said = run_kspec("verify", "evidence.tar.gz", "--key", other.public)
    assert (said.code, "does not match this file and this key" in said.err) == (1, True)
    made = tmp_path / "evidence.tar.gz"
    made.write_bytes(gzip.compress(gzip.decompress(made.read_bytes()).replace(b"hostPID", b"hostPIX")))
    said = run_kspec("verify", "evidence.tar.gz", "--key", keys.public)
    assert (said.code, said.out) == (1, "")
    (tmp_path / "evidence.tar.gz.sig").unlink()
    assert run_kspec("verify", "evidence.tar.gz", "--key", keys.public).code == 4


def test_a_result_that_was_embellished_is_found_by_the_replay(
    run_kspec: Kspec, write_spec: Write, recording: Path, keys: Keys, tmp_path: Path
) -> None:
    """Whoever has the key can sign anything; a replay does not believe it."""
    path = scan(run_kspec, tmp_path, write_spec(ASKED), "--cluster", recording)
    result = json.loads(path.read_text())
    checks = result["clusters"][0]["checks"]
    failed = [check for check in checks if check["verdict"] == "fail"]
    failed[0]["verdict"], failed[0]["findings"] = "pass", []
    del checks[checks.index(failed[1])]
    failed[2]["findings"][0]["actual"] = "other"
    path.write_text(json.dumps(result))
    bundle(run_kspec, keys)
    said = run_kspec("verify", "evidence.tar.gz", "--key", keys.public)
    assert said.code == 1
    assert f'checks[{failed[0]["id"]}].verdict: the result has "pass", the replay has "fail"' in said.out
    assert f"checks[{failed[0]['id']}].findings[" in said.out
    assert f"checks[{failed[1]['id']}]: not in the result" in said.out
    assert '.actual: the result has "other"' in said.out
    assert run_kspec("verify", "evidence.tar.gz", "--key", keys.public, "--no-replay").code == 0


def test_exemptions_count_as_of_the_moment_of_the_scan(
    kspec: Callable[..., object], run_kspec: Kspec, write_spec: Write, recording: Path, keys: Keys, tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:  # fmt: skip
    monkeypatch.chdir(tmp_path)
    past = datetime.now(UTC) - timedelta(days=30)
    with tarfile.open(recording) as archive:
        archive.extractall("recorded", filter="data")
    (index,) = Path("recorded").rglob("snapshot.json")
    made = json.loads(index.read_bytes()) | {"recordedAt": past.strftime("%Y-%m-%dT%H:%M:%SZ")}
    index.write_text(json.dumps(made))
    until = (past + timedelta(hours=1)).strftime("%Y-%m-%dT%H:%M:%SZ")
    (tmp_path / "more").mkdir()
    (tmp_path / "more" / "exemptions.yaml").write_text(
        "apiVersion: kspec.dev/v1\nkind: Exemptions\nexemptions:\n"
        f'- {{name: for-a-while, reason: moving, namespaces: ["*"], checks: ["podSecurity.*"], expiresAt: "{until}",'
        " containers: ['*']}\n"
    )
    level = f'{{namespace: legacy, level: privileged, reason: r, expiresAt: "{until}"}}'
    spec = write_spec(f"podSecurity: {{enforce: baseline, exemptions: [{level}]}}")
    with clock.at(past):
        kspec(
            "scan",
            spec,
            "--cluster",
            index.parent,
            "--exemptions",
            "more/exemptions.yaml",
            "--report",
            "json:result.json",
        )
    cluster = json.loads((tmp_path / "result.json").read_text())["clusters"][0]
    assert {use["state"] for use in cluster["exemptions"]} == {"used"}
    bundle(run_kspec, keys)
    with tarfile.open("evidence.tar.gz") as archive:
        assert "evidence/files/more/exemptions.yaml" in archive.getnames()
    said = run_kspec("verify", "evidence.tar.gz", "--key", keys.public)
    assert said.code == 0, said.out + said.err


CHECK = """\
from pathlib import Path
from helper import NAME
from pytest_kspec import check
Path({marker!r}).write_text("ran")

@check(id="acme.mine", title="All is well", severity="low", remediation="None.")
def test_mine(namespaces, findings):
    '''Why not.'''
    for namespace in namespaces:
        findings.add(namespace, message=NAME)
"""


def test_checks_of_a_bundle_are_code(
    run_kspec: Kspec, write_spec: Write, recording: Path, keys: Keys, tmp_path: Path
) -> None:
    marker = tmp_path / "marker"
    (tmp_path / "checks").mkdir()
    (tmp_path / "checks" / "test_mine.py").write_text(
        CHECK.format(marker=str(marker)).replace("from helper import NAME\n", "NAME = 'n'\n")
    )
    scan(run_kspec, tmp_path, write_spec(f"{ASKED}\n  checks: [checks]"), "--cluster", recording)
    bundle(run_kspec, keys)
    marker.unlink()
    shutil.rmtree(tmp_path / "checks")
    said = run_kspec("verify", "evidence.tar.gz", "--key", keys.public)
    assert said.code == 2
    assert "add --run-checks" in said.err
    assert not marker.exists()
    said = run_kspec("verify", "evidence.tar.gz", "--key", keys.public, "--run-checks")
    assert (said.code, said.err) == (0, "")
    assert marker.exists()


def test_checks_that_were_given_to_the_scan_are_given_again(
    run_kspec: Kspec, write_spec: Write, recording: Path, keys: Keys, tmp_path: Path
) -> None:
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine" / "test_mine.py").write_text(
        CHECK.format(marker=str(tmp_path / "m")).replace("from helper import NAME\n", "NAME = 'n'\n")
    )
    scan(run_kspec, tmp_path, write_spec(ASKED), "--cluster", recording, "--checks", "mine")
    bundle(run_kspec, keys)
    said = run_kspec("verify", "evidence.tar.gz", "--key", keys.public)
    assert (said.code, "checks[acme.mine]: only in the result" in said.out) == (1, True)
    bundle(run_kspec, keys, "--checks", "mine")
    assert run_kspec("verify", "evidence.tar.gz", "--key", keys.public, "--run-checks").code == 0


def test_a_specification_may_not_reach_out_of_the_bundle(
    run_kspec: Kspec, write_spec: Write, recording: Path, keys: Keys, tmp_path: Path
) -> None:
    """A bundle whose specification names a check on the machine of who verifies it."""
    outside = tmp_path / "outside.py"
    outside.write_text(CHECK.format(marker=str(tmp_path / "m")))
    scan(run_kspec, tmp_path, write_spec(ASKED), "--cluster", recording)
    result = json.loads((tmp_path / "result.json").read_text())
    bad = write_spec(f"{ASKED}\n  checks: [{outside}]", "bad.yaml")
    import hashlib

    from pytest_kspec.evidence.manifest import Manifest, Replay
    from pytest_kspec.evidence.pack import Content, describe, pack
    from pytest_kspec.evidence.signature import load_private, sign

    contents = {
        "result.json": Content("result", json.dumps(result).encode()),
        "files/spec.yaml": Content("spec", bad),
        "snapshots/0.tar.gz": Content("snapshot", recording),
    }
    cluster = result["clusters"][0]
    replay = Replay(cluster["name"], cluster["spec"]["path"], "files/spec.yaml", "snapshots/0.tar.gz")
    path = tmp_path / "evil.tar.gz"
    with path.open("wb") as out:
        pack(out, Manifest("t", result["finishedAt"], describe(contents), (replay,)), contents)
    with path.open("rb") as file:
        (tmp_path / "evil.tar.gz.sig").write_bytes(sign(file, load_private(str(keys.private), None)))
    for words in ([], ["--run-checks"]):
        said = run_kspec("verify", path, "--key", keys.public, *words)
        assert said.code == 2, said.out + said.err
        assert "outside of the bundle" in said.err
    assert not (tmp_path / "m").exists()
    assert hashlib.sha256(bad.read_bytes()).hexdigest() != cluster["evidence"]["specSha256"]


def test_what_has_no_record_cannot_be_replayed(
    run_kspec: Kspec, write_spec: Write, manifests: Path, keys: Keys, tmp_path: Path
) -> None:
    scan(run_kspec, tmp_path, write_spec(ASKED), "--cluster", manifests)
    said = run_kspec("evidence", "--from", "result.json", "--key", keys.private, "-o", "e.tar.gz")
    assert said.code == 0
    assert "cannot be replayed: pod.yaml: it was a scan of a source of kind manifests" in said.err
    said = run_kspec("verify", "e.tar.gz", "--key", keys.public)
    assert said.code == 2
    assert "cannot be replayed: pod.yaml, shop 1.0.0: it was a scan" in said.err
    assert run_kspec("verify", "e.tar.gz", "--key", keys.public, "--no-replay").code == 0


def test_what_is_not_what_was_scanned_is_refused(
    run_kspec: Kspec, write_spec: Write, recording: Path, keys: Keys, tmp_path: Path
) -> None:
    spec = write_spec(ASKED)
    scan(run_kspec, tmp_path, spec, "--cluster", recording)
    moved = Path(shutil.move(spec, tmp_path / "moved.yaml"))
    kept = Path(shutil.move(recording, tmp_path / "kept.tar.gz"))
    words = ("evidence", "--from", "result.json", "--key", keys.private, "-o", "e.tar.gz")
    assert run_kspec(*words).code == 4
    assert "is missing" in run_kspec(*words, "--spec", moved).err
    assert run_kspec(*words, "--spec", moved, "--snapshot", kept).code == 0
    assert run_kspec("verify", "e.tar.gz", "--key", keys.public).code == 0
    (tmp_path / "e.tar.gz").unlink()
    moved.write_text(moved.read_text() + "# another\n")
    said = run_kspec(*words, "--spec", moved, "--snapshot", kept)
    assert (said.code, "not the specification of the scan" in said.err) == (4, True)
    assert not (tmp_path / "e.tar.gz").exists()


def test_a_passphrase_comes_from_the_environment_and_is_not_told(
    run_kspec: Kspec, write_spec: Write, recording: Path, tmp_path: Path
) -> None:
    locked = make_keys(tmp_path / "locked", passphrase="correct horse")
    scan(run_kspec, tmp_path, write_spec(ASKED), "--cluster", recording)
    words = ("evidence", "--from", "result.json", "--key", locked.private, "-o", "e.tar.gz")
    assert "Set KSPEC_KEY_PASSPHRASE" in run_kspec(*words).err
    wrong = run_kspec(*words, KSPEC_KEY_PASSPHRASE="hunter2")
    assert (wrong.code, "hunter2" in wrong.err) == (4, False)
    right = run_kspec(*words, KSPEC_KEY_PASSPHRASE="correct horse")
    assert (right.code, "horse" in right.out + right.err) == (0, False)
    everything = gzip.decompress((tmp_path / "e.tar.gz").read_bytes())
    assert b"horse" not in everything
    assert b"PRIVATE KEY" not in everything
    assert run_kspec("verify", "e.tar.gz", "--key", locked.public).code == 0


def test_a_baseline_is_part_of_the_evidence(
    run_kspec: Kspec, write_spec: Write, recording: Path, keys: Keys, tmp_path: Path
) -> None:
    spec = write_spec(ASKED)
    scan(run_kspec, tmp_path, spec, "--cluster", recording)
    known = Baseline("", (), ()).updated(report.read(tmp_path / "result.json"))
    (tmp_path / "baseline.json").write_bytes(known.render())
    said = run_kspec(
        "scan", spec, "--cluster", recording, "--baseline", "baseline.json", "--report", "json:result.json"
    )
    assert said.code == 0, said.err
    bundle(run_kspec, keys)
    (tmp_path / "baseline.json").rename(tmp_path / "moved.json")
    said = run_kspec("verify", "evidence.tar.gz", "--key", keys.public)
    assert said.code == 0, said.out
    words = ("evidence", "--from", "result.json", "--key", keys.private, "-o", "evidence.tar.gz")
    said = run_kspec(*words)
    assert (said.code, "the baseline does not exist" in said.err) == (4, True)
    bundle(run_kspec, keys, "--baseline", "moved.json")
    assert run_kspec("verify", "evidence.tar.gz", "--key", keys.public).code == 0
    (tmp_path / "moved.json").write_bytes(Baseline("", (), ()).render())
    bundle(run_kspec, keys, "--baseline", "moved.json")
    said = run_kspec("verify", "evidence.tar.gz", "--key", keys.public)
    assert (said.code, ".known: the result has true, the replay has false" in said.out) == (1, True)


def test_a_result_with_a_trend_is_no_evidence(
    run_kspec: Kspec, write_spec: Write, recording: Path, keys: Keys, tmp_path: Path
) -> None:
    path = scan(run_kspec, tmp_path, write_spec(ASKED), "--cluster", recording, "--store", "runs.db")
    said = run_kspec(
        "report", "--from", path, "--history", "runs.db", "--to", f"json:{tmp_path / 'result.json'}"
    )
    assert said.code == 0, said.err
    said = run_kspec("evidence", "--from", "result.json", "--key", keys.private, "-o", "e.tar.gz")
    assert (said.code, "the trend of earlier runs, which a bundle cannot prove" in said.err) == (4, True)


def test_files_that_were_moved_are_where_the_result_says(
    run_kspec: Kspec, write_spec: Write, recording: Path, keys: Keys, tmp_path: Path
) -> None:
    """Places in the result are compared with those of the bundle, wherever the files are now."""
    for folder in ("a", "a/bases", "b"):
        (tmp_path / folder).mkdir()
    write_spec("network: {defaultDeny: true}", "a/bases/base.yaml")
    spec = write_spec(f"{ASKED}\n  policyInheritance: {{basePolicies: [bases/base.yaml]}}", "a/spec.yaml")
    exempting = tmp_path / "a" / "more.yaml"
    exempting.write_text(
        "apiVersion: kspec.dev/v1\nkind: Exemptions\nexemptions:\n"
        "- {name: x, reason: r, namespaces: [legacy], checks: [nothing.at-all]}\n"
    )
    words = ("--cluster", recording, "--exemptions", exempting)
    scan(run_kspec, tmp_path, spec.relative_to(tmp_path), *words)
    bundle(run_kspec, keys)
    said = run_kspec("verify", "evidence.tar.gz", "--key", keys.public)
    assert said.code == 0, said.out
    for name in ("spec.yaml", "bases", "more.yaml"):
        shutil.move(tmp_path / "a" / name, tmp_path / "b" / name)
    bundle(run_kspec, keys, "--spec", "b/spec.yaml", "--exemptions", "b/more.yaml")
    said = run_kspec("verify", "evidence.tar.gz", "--key", keys.public)
    assert said.code == 0, said.out
