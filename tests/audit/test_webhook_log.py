"""The log of a running webhook: a chain in each format, as its receivers read it."""

from __future__ import annotations

import http.client
from pathlib import Path

import pytest

from pytest_kspec.cli.main import main
from tests.audit.reading import READERS
from tests.webhook.reviewing import body, forbid, pod
from tests.webhook.running import Running, running, unverified, write_spec

BAD = pod(hostNetwork=True)
ODD = {**BAD, "metadata": {**BAD["metadata"], "name": 'x\ny=|\\{"seq":1}\x1b[2J'}}


def review(server: Running, content: bytes) -> None:
    connection = http.client.HTTPSConnection("127.0.0.1", server.port, timeout=20, context=unverified())
    connection.request("POST", "/validate", content, {"Content-Type": "application/json"})
    assert connection.getresponse().status == 200
    connection.close()


@pytest.mark.parametrize("form", sorted(READERS))
def test_it_is_whole_and_shows_what_was_changed(tmp_path: Path, form: str) -> None:
    spec, log = tmp_path / "strict.yaml", tmp_path / "audit.log"
    write_spec(spec, forbid("hostNetwork"))
    words = (str(spec), "--cluster=none", f"--self-signed={tmp_path / 'tls'}", f"--audit-format={form}")
    processes = 2 if form == "cef" else 1  # another process goes on with the chain
    for _ in range(processes):
        with running(tmp_path, *words) as server:
            review(server, body(BAD))
            review(server, body(ODD))
    lines = log.read_bytes().splitlines()
    assert len(lines) == 2 * processes
    for line in lines:
        READERS[form](line)
        assert b"\x1b" not in line
    assert main(["audit", "verify", str(log)]) == 0
    lines[-2] = lines[-2].replace(b"hostNetwork", b"hostnetwork", 1)
    log.write_bytes(b"\n".join(lines) + b"\n")
    assert main(["audit", "verify", str(log)]) == 1


def test_its_size_is_that_of_every_audit_log(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """What is no size is an error before it serves."""
    spec = tmp_path / "strict.yaml"
    write_spec(spec, forbid("hostNetwork"))
    monkeypatch.setenv("KSPEC_AUDIT_MAX_SIZE", "large")
    words = (str(spec), "--cluster=none", f"--self-signed={tmp_path / 'tls'}", "--port=0", "--read-port=0")
    assert main(["webhook", *words, f"--audit-log={tmp_path / 'audit.log'}"]) == 4
    assert "$KSPEC_AUDIT_MAX_SIZE: 'large' is not a number of MiB from 1 to 10240." in capsys.readouterr().err
