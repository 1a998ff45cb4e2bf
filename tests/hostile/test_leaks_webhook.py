"""A running webhook and objects full of credentials: nothing that leaves it holds one."""

from __future__ import annotations

import http.client
import json
import ssl
from pathlib import Path
from typing import Any

import msgspec
import pytest

from pytest_kspec.enforce.decide import decide
from pytest_kspec.webhook.audit import as_cef, as_ecs, as_json, record, said_of, strictest
from pytest_kspec.webhook.events import event_of
from tests.hostile.canary import BASE64, CANARY, container, objects
from tests.webhook.reviewing import NOW, body, policies, policy, request
from tests.webhook.running import running, until, write_spec

PART: dict[str, Any] = {
    "podSecurity": {"enforce": "restricted"},
    "workloads": {
        "containers": {
            "forbidden": [{"key": "args"}, {"key": "env"}, {"key": "command"}, {"key": "livenessProbe"}]
        },
        "images": {"allowedRegistries": ["other.example.com"]},
    },
}
REVIEWED = [one for one in objects() if one["kind"] in ("Pod", "Deployment")]
MALFORMED = {
    **REVIEWED[0],
    "spec": {"containers": [container("a") | {"env": CANARY, "args": {"password": CANARY}}]},
}


def none_in(text: str | bytes, where: str) -> None:
    text = text.decode() if isinstance(text, bytes) else text
    assert CANARY not in text, (where, text[max(0, text.find(CANARY) - 200) :][:300])
    assert BASE64 not in text, where


@pytest.mark.parametrize("mode", ["enforce", "audit", "monitor"])
@pytest.mark.parametrize("obj", [*REVIEWED, MALFORMED], ids=["pod", "deployment", "malformed"])
def test_no_record_and_no_event_shows_one(obj: dict[str, Any], mode: str) -> None:
    asked = request(obj)
    decision = decide(asked, policies(policy(PART, mode)), NOW)
    made = record(asked, decision.resource, said_of(decision, strictest(decision)), NOW)
    assert made["violations"] or made["failures"]
    none_in(json.dumps(made), "record")
    none_in(b"".join((*as_json(made), *as_ecs(made), *as_cef(made))), "formats")
    none_in(msgspec.json.encode(event_of(made)), "event")


def test_nothing_that_leaves_a_running_one_shows_one(tmp_path: Path) -> None:
    write_spec(tmp_path / "strict.yaml", PART)
    arguments = (str(tmp_path / "strict.yaml"), f"--self-signed={tmp_path / 'tls'}", "--cluster=none")
    with running(tmp_path, *arguments) as server:
        context = ssl.create_default_context(cafile=str(tmp_path / "tls" / "ca.crt"))
        connection = http.client.HTTPSConnection("127.0.0.1", server.port, timeout=60, context=context)
        broken = body(REVIEWED[0]).replace(b'"uid"', b'"uid": 5, "x"', 1)
        for sent in (*map(body, REVIEWED), body(MALFORMED), broken, CANARY.encode()):
            connection.request("POST", "/validate", sent, {"Content-Type": "application/json"})
            answer = connection.getresponse()
            none_in(answer.read(), "answer")
            none_in(str(answer.headers), "headers")
        connection.request(
            "POST", f"/validate/{CANARY}?token={CANARY}", b"{}", {"Authorization": f"Bearer {CANARY}"}
        )
        none_in(connection.getresponse().read(), "answer to an unknown path")
        connection.close()
        for path in ("/metrics", "/policies"):
            status, text = server.read(path)
            assert status == 200
            none_in(text, path)
    until(lambda: len((tmp_path / "audit.log").read_text().splitlines()) >= len(REVIEWED) + 1)
    written = (tmp_path / "audit.log").read_text()
    none_in(written, "audit log")
    none_in(server.log.read_text(), "log")
