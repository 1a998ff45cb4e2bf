"""Commands where a shell or a service manager left out what is usually there."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from tests.cli.conftest import ROOT

STRICT = ROOT / "examples/01-quickstart/strict.yaml"
RECORDED = ROOT / "examples/01-quickstart/prod-eu.tar.gz"
KSPEC = f"{sys.executable} -m pytest_kspec.cli.main"


def shell(text: str, cwd: Path, stdin: int | None = None) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        ["sh", "-c", text], cwd=cwd, stdin=stdin, capture_output=True, text=True, check=False, timeout=120
    )


@pytest.mark.parametrize("closed", [">&-", "2>&-", "<&-", ">&- 2>&- <&-"])
def test_a_closed_stream_changes_no_exit_code_and_no_file(tmp_path: Path, closed: str) -> None:
    report = tmp_path / "report.json"
    command = f"{KSPEC} scan {STRICT} --cluster {RECORDED} --report json:{report}"
    assert shell(f"{command} {closed}", tmp_path).returncode == 1
    assert report.read_text().startswith("{")
    done = shell(f"{KSPEC} validate {STRICT} {closed}", tmp_path)
    assert (done.returncode, "Traceback" in done.stderr) == (0, False)


def test_a_working_directory_that_is_gone(tmp_path: Path) -> None:
    done = shell(f"mkdir gone && cd gone && rmdir ../gone && {KSPEC} validate {STRICT}", tmp_path)
    assert (done.returncode, done.stderr) == (
        4,
        "error: the working directory no longer exists. Change to another one.\n",
    )


def test_what_cannot_be_read_in_a_folder_is_an_error_and_a_pipe_that_is_named_is_read(tmp_path: Path) -> None:
    """It may be a specification: to leave it out would be to pass over it in silence."""
    folder = tmp_path / "specs"
    (folder / "folder.yaml").mkdir(parents=True)
    (folder / "strict.yaml").write_bytes(STRICT.read_bytes())
    made = "specs/strict.yaml: ok, strict 2.3.0, 39 requirements\n"
    assert shell(f"{KSPEC} validate specs", tmp_path).stdout == made
    odd = folder / "odd.yaml"
    for make, reason in (
        (lambda: os.mkfifo(odd), "it is not a regular file"),
        (lambda: odd.symlink_to("nowhere"), "No such file or directory"),
        (lambda: odd.symlink_to(odd.name), "Too many levels of symbolic links"),
    ):
        make()
        for words in ("validate specs", f"scan specs --cluster {RECORDED} -q"):
            done = shell(f"{KSPEC} {words}", tmp_path)
            fix = "Make it readable, or move it out of the folder."
            said = f"error: specs/odd.yaml: could not be read: {reason}. {fix}\n"
            assert (done.returncode, done.stderr) == (4, said)
        odd.unlink()
    done = shell(f"cat {STRICT} | {KSPEC} validate /dev/stdin", tmp_path)
    assert (done.returncode, done.stdout) == (0, "/dev/stdin: ok, strict 2.3.0, 39 requirements\n")


@pytest.mark.parametrize("name", ["./pipe.yaml", "/dev/zero.yaml", "/dev/stdin"])
@pytest.mark.parametrize(
    "spec",
    [
        "policyInheritance: {{basePolicies: [{path}]}}",
        "policyTemplate: {{name: {path}}}",
        "workloads: {{images: {{signatures: [{{publicKeys: [{path}], images: [a.example/b]}}]}}}}",
    ],
)
def test_what_a_specification_names_is_a_file(tmp_path: Path, spec: str, name: str) -> None:
    os.mkfifo(tmp_path / "pipe.yaml")
    (tmp_path / "zero.yaml").symlink_to("/dev/zero")
    text = spec.format(path=name.replace("/dev/zero", "./zero"))
    (tmp_path / "s.yaml").write_text(
        "apiVersion: kspec.dev/v1\nkind: ClusterSpecification\nmetadata: {name: s, version: 1.0.0}\n"
        f"spec:\n  {text}\n"
    )
    ours, theirs = os.pipe()  # nobody writes, and nobody closes it
    try:
        done = shell(f"{KSPEC} validate s.yaml", tmp_path, stdin=ours)
    finally:
        os.close(ours)
        os.close(theirs)
    assert (done.returncode, "it is not a regular file" in done.stderr) == (4, True), done.stderr


@pytest.mark.parametrize("field", ["certificate-authority", "client-certificate", "client-key", "tokenFile"])
def test_what_a_kubeconfig_names_is_a_file(tmp_path: Path, field: str) -> None:
    os.mkfifo(tmp_path / "pipe")
    cluster = {"server": "https://127.0.0.1:1"}
    user = (
        {"client-certificate-data": "eA==", "client-key-data": "eA=="} if field.startswith("client") else {}
    )
    user.pop(f"{field}-data", None)
    if field == "certificate-authority":
        user["token"] = "t"
    (cluster if field == "certificate-authority" else user)[field] = "pipe"
    config = {
        "apiVersion": "v1",
        "kind": "Config",
        "clusters": [{"name": "c", "cluster": cluster}],
        "users": [{"name": "u", "user": user}],
        "contexts": [{"name": "x", "context": {"cluster": "c", "user": "u"}}],
    }
    (tmp_path / "config").write_text(json.dumps(config))
    done = shell(f"{KSPEC} scan {STRICT} --kubeconfig config --cluster x", tmp_path)
    said = " ".join((done.stdout + done.stderr).split())
    assert (done.returncode, "it is not a regular file" in said) == (2, True), said


LONG = "a" * 5000


@pytest.mark.parametrize(
    ("words", "code"),
    [
        (f"validate {LONG}", 4),
        (f"render {LONG}", 4),
        (f"scan {LONG} --cluster {RECORDED}", 4),
        (f"scan {STRICT} --cluster {LONG}", 4),
        (f"scan {STRICT} --cluster {RECORDED} --checks {LONG}", 4),
        (f"scan {STRICT} --cluster {RECORDED} --exemptions {LONG}", 4),
        (f"enforce {LONG} --preview --cluster {RECORDED}", 4),
        (f"webhook {LONG} --cluster none --self-signed tls", 4),
        (f"fleet scan -s {LONG}", 4),
        (f"drift detect -s {LONG} --cluster none", 4),
        (f"init --cluster {RECORDED} -o {LONG}", 2),
        (f"report --from {LONG} --to csv:-", 4),
    ],
)
def test_a_name_that_no_file_can_have(tmp_path: Path, words: str, code: int) -> None:
    done = shell(f"{KSPEC} {words}", tmp_path)
    assert (done.returncode, done.stderr.count("error:"), "Traceback" in done.stderr) == (code, 1, False)


@pytest.mark.parametrize("more", ["", "-n 2"])
def test_names_that_are_no_text_are_refused(tmp_path: Path, more: str) -> None:
    odd = os.fsencode(tmp_path) + b"/\xff.yaml"
    Path(os.fsdecode(odd)).write_bytes(STRICT.read_bytes())
    for words in (f"{tmp_path} --cluster {RECORDED}", f"{STRICT} --cluster {os.fsdecode(odd)}"):
        done = shell(f"{KSPEC} scan {words} {more}", tmp_path)
        assert (done.returncode, "UTF-8 text" in done.stderr, "INTERNAL" in done.stderr) == (4, True, False)


def test_a_line_end_in_a_name_is_shown_as_that(tmp_path: Path) -> None:
    (tmp_path / "a\nb.yaml").write_bytes(STRICT.read_bytes())
    assert shell(f"{KSPEC} validate .", tmp_path).stdout == "a\\nb.yaml: ok, strict 2.3.0, 39 requirements\n"


@pytest.mark.parametrize(
    "words", ["validate specs", "scan strict.yaml --cluster none --checks specs", "fleet scan -s specs"]
)
def test_a_folder_that_cannot_be_read_is_an_error(tmp_path: Path, words: str) -> None:
    (tmp_path / "strict.yaml").write_bytes(STRICT.read_bytes())
    (tmp_path / "specs" / "sub").mkdir(parents=True)
    (tmp_path / "specs" / "a.yaml").write_bytes(STRICT.read_bytes())
    (tmp_path / "specs" / "test_a.py").write_text("")
    (tmp_path / "specs" / "sub").chmod(0)
    # Root reads everything, unless it cannot.
    less = "setpriv --bounding-set=-dac_override,-dac_read_search --inh-caps=-all "
    done = shell(f"{less if os.geteuid() == 0 else ''}{KSPEC} {words}", tmp_path)
    (tmp_path / "specs" / "sub").chmod(0o755)
    assert done.returncode == 4, done.stderr
    assert "specs/sub: the folder could not be read: Permission denied." in done.stderr
