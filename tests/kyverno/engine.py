"""Kyverno's own engine: its command judges objects by policies, without a cluster."""

from __future__ import annotations

import json
import subprocess
import uuid
from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from pytest_kspec.enforce.manifests import to_yaml
from tests.parity.admission import named

TIMEOUT_S = 1800.0
FOUND_FAILURES = 1  # the exit status of the command where something is violated


def verdicts(
    command: Path, manifests: Sequence[dict[str, Any]], objects: Sequence[dict[str, Any]], folder: Path
) -> list[set[tuple[str, str]]]:
    """(requirement id, path) of what Kyverno refuses each object for, in their order.

    folder: an existing one, for files. An error of Kyverno, or an object that it says nothing of, is an error here.
    """
    policies = folder / "policies.yaml"
    policies.write_text(to_yaml(manifests), encoding="utf-8")
    found: dict[str, set[tuple[str, str]]] = {}
    for sent in _rounds(objects):
        said = _apply(command, policies, list(sent.values()), folder / "objects.yaml")
        assert set(said) == set(sent), f"{len(set(sent) - set(said))} of {len(sent)} have no result"
        found |= said
    return [found[_uid(number)] for number in range(len(objects))]


def _uid(number: int) -> str:
    return str(uuid.UUID(int=number + 1))


def _rounds(objects: Sequence[dict[str, Any]]) -> list[dict[str, dict[str, Any]]]:
    """uid → object, in as many rounds as needed: the command takes no two objects of one name."""
    rounds: list[dict[str, dict[str, Any]]] = []
    seen: Counter[tuple[str, str, str]] = Counter()
    for number, obj in enumerate(objects):
        metadata = obj["metadata"]
        key = (obj["kind"], metadata["namespace"], metadata["name"])
        if seen[key] == len(rounds):
            rounds.append({})
        uid = _uid(number)
        rounds[seen[key]][uid] = {**obj, "metadata": {**metadata, "uid": uid}}
        seen[key] += 1
    return rounds


def _apply(
    command: Path, policies: Path, objects: Sequence[dict[str, Any]], resources: Path
) -> dict[str, set[tuple[str, str]]]:
    resources.write_text("---\n".join(json.dumps(obj) + "\n" for obj in objects), encoding="utf-8")
    run = subprocess.run(
        [command, "apply", policies, "--resource", resources, "-p", "--output-format", "json"],
        capture_output=True,
        text=True,
        timeout=TIMEOUT_S,
    )
    assert run.returncode in (0, FOUND_FAILURES), run.stderr[-3000:] + run.stdout[-3000:]
    found: dict[str, set[tuple[str, str]]] = {}
    for uid, result, message in _results(run.stdout):
        assert result in ("pass", "fail"), (result, message)
        said = found.setdefault(uid, set())
        if result == "fail":
            said |= named(message)
    return found


def _results(text: str) -> list[tuple[str, str, str]]:
    """(uid of the object, result, message) of every result of every report in the output."""
    found = []
    for line in text.splitlines():
        if line.startswith("{"):
            for one in json.loads(line).get("results") or ():
                (subject,) = one["resources"]
                found.append((subject["uid"], one["result"], one.get("message", "")))
    return found
