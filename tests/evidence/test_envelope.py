"""DSSE envelopes, verified by sigstore's library, and forged."""

from __future__ import annotations

import base64
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from sigstore import dsse

from pytest_kspec.cli.main import main
from pytest_kspec.errors import EvidenceError
from pytest_kspec.evidence import envelope
from pytest_kspec.evidence.signature import load_private, load_public, sign
from tests.cli.conftest import RECORDING, ROOT
from tests.evidence.conftest import Keys, make_keys

STATEMENT = b'{"_type":"https://in-toto.io/Statement/v1"}'


@pytest.fixture
def sealed(keys: Keys) -> dict[str, Any]:
    found: dict[str, Any] = json.loads(envelope.seal(STATEMENT, load_private(str(keys.private), None)))
    return found


def test_sigstore_verifies_it(keys: Keys) -> None:
    raw = envelope.seal(STATEMENT, load_private(str(keys.private), None))
    assert raw.count(b"\n") == 1, "one line, as files of in-toto have"
    read = dsse.Envelope._from_json(raw)
    assert dsse._verify(load_public(str(keys.public)), read) == STATEMENT
    assert read._inner.payload_type == "application/vnd.in-toto+json"


Change = Callable[[dict[str, Any]], Any]


@pytest.mark.parametrize(
    "change",
    [
        lambda found: found.update(payload=base64.b64encode(STATEMENT + b" ").decode()),
        lambda found: found.update(payload=found["payload"] + "\n"),
        lambda found: found.update(payload=""),
        lambda found: found.update(payload=None),
        lambda found: found.update(payloadType="text/plain"),
        lambda found: found.update(signatures=[]),
        lambda found: found.update(signatures=found["signatures"] * 2),
        lambda found: found.update(signatures=["x"]),
        lambda found: found["signatures"][0].update(sig=None),
        lambda found: found["signatures"][0].update(sig="AAAA"),
        lambda found: found["signatures"][0].update(sig=found["signatures"][0]["sig"] + "="),
    ],
)
def test_what_was_changed_is_refused(sealed: dict[str, Any], keys: Keys, change: Change) -> None:
    change(sealed)
    with pytest.raises(EvidenceError):
        envelope.unseal(json.dumps(sealed).encode(), load_public(str(keys.public)), "f")


def test_a_signature_of_the_bare_statement_is_none_of_its_envelope(
    sealed: dict[str, Any], keys: Keys
) -> None:
    import io

    bare = sign(io.BytesIO(STATEMENT), load_private(str(keys.private), None)).decode().strip()
    sealed["signatures"][0]["sig"] = bare
    with pytest.raises(EvidenceError, match="does not match"):
        envelope.unseal(json.dumps(sealed).encode(), load_public(str(keys.public)), "f")


def test_from_a_scan_to_its_verification(
    keys: Keys, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    spec = ROOT / "examples" / "specs" / "minimal.yaml"
    result, made = tmp_path / "result.json", tmp_path / "result.intoto.jsonl"
    assert main(["scan", str(spec), "--cluster", str(RECORDING), "-q", f"--report=json:{result}"]) in (0, 1)
    assert main(["evidence", "--from", str(result), "--key", str(keys.private), "-o", str(made)]) == 0
    assert not (tmp_path / "result.intoto.jsonl.sig").exists()
    words = ["verify", str(made), "--key", str(keys.public)]
    capsys.readouterr()
    assert main([*words, "--result", str(result)]) == 0
    assert "the same as in" in capsys.readouterr().out
    assert main([*words, "--result", str(result), "--signature", "x"]) == 4
    assert "Leave it out" in capsys.readouterr().err
    result.write_bytes(result.read_bytes() + b" ")
    assert main([*words, "--result", str(result)]) == 1
    assert "it is not about" in capsys.readouterr().err
    other = make_keys(tmp_path / "other")
    assert main(["verify", str(made), "--key", str(other.public), "--no-replay"]) == 1
