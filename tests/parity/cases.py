"""The hand-written cases of `tests/checks`, recorded while those tests run, by the specification that they ask."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

from tests.docs.pages import ROOT
from tests.parity.admission import PATHS

Case = tuple[Any, str, list[dict[str, Any]], list[dict[str, Any]]]
"""(specification, API server version, exemptions, objects)"""

_WRONG_TYPES = "tests/checks/test_wrong_types.py"
"""Objects of these cases are such that no API server takes them."""


def written_cases(folder: Path) -> list[Case]:
    """One of each specification, version and exemptions, with all objects that admission knows."""
    path = folder / "cases.jsonl"
    words = ["-q", "-p", "tests.parity.recording", "-p", "no:cacheprovider", "tests/checks"]
    run = subprocess.run(
        [sys.executable, "-m", "pytest", *words, f"--ignore={_WRONG_TYPES}"],
        cwd=ROOT,
        env=os.environ | {"KSPEC_RECORDING": str(path), "PYTEST_ADDOPTS": ""},
        capture_output=True,
        text=True,
    )
    assert run.returncode == 0, run.stdout[-2000:]
    groups: dict[str, dict[str, dict[str, Any]]] = {}
    for line in path.read_text(encoding="utf-8").splitlines():
        case = json.loads(line)
        key = json.dumps([case["spec"], case["version"], case["exemptions"]], sort_keys=True)
        objects = groups.setdefault(key, {})
        for obj in case["objects"]:
            if obj.get("kind") in PATHS:
                objects[json.dumps(obj, sort_keys=True)] = obj
    return [(*json.loads(key), list(objects.values())) for key, objects in groups.items() if objects]
