"""`make mutants`: changes the code of a room, one thing at a time, and says which changes no test of it notices.

mutmut takes one list of tests for everything, and first runs all of them; here each room has its own, in
`pyproject.toml`. It works in `build/mutants`, on copies, and shows the lines of each change that was not noticed. What
runs at import (a rule of a module, a decorated function) it does not change.

    python -m tools.mutants [ROOM ...] [--sample DIGITS] [--minutes NUMBER]

`--sample 27` tries only the changes whose number within their function ends in 2 or 7: about a fifth, always the same.
`--minutes 9` ends a room after that time, and says how many changes were left; those whose tests are quick come first.
"""

from __future__ import annotations

import argparse
import json
import os
import re
import shutil
import signal
import subprocess
import sys
import tomllib
from collections import Counter
from pathlib import Path

ROOT = Path(__file__).parent.parent
WORK = ROOT / "build" / "mutants"
LINKED = (
    "pytest_kspec",
    "builtin_checks",
    "tests",
    "examples",
    "docs",
    "benchmarks",
    "tools",
    "README.md",
    "CHANGELOG.md",
)
# `mutmut show` for many: as a process of its own for each it takes longer than the tests.
_SHOW = """
import sys
from mutmut.mutation.diff_apply import get_diff_for_mutant
for name in sys.argv[1:]:
    print("\\0" + name, get_diff_for_mutant(name), sep="\\n")
"""
_RESULT = re.compile(r"^\s+(\S+): (.+)$", re.MULTILINE)


def main(words: list[str]) -> int:
    """Run the rooms whose names begin with one of these, all without any; 1 where something survived."""
    parser = argparse.ArgumentParser(prog="python -m tools.mutants")
    parser.add_argument("rooms", nargs="*", help="beginnings of names of rooms; default: all rooms")
    parser.add_argument("--sample", default="", metavar="DIGITS", help="only changes whose number ends so")
    parser.add_argument("--minutes", type=float, metavar="NUMBER", help="end a room after so many")
    arguments = parser.parse_args(words)
    # A shell that starts this in the background has it ignore the signal by which `--minutes` ends mutmut.
    signal.signal(signal.SIGINT, signal.default_int_handler)
    asked: list[str] = arguments.rooms
    project = (ROOT / "pyproject.toml").read_text(encoding="utf-8")
    rooms: dict[str, list[str]] = tomllib.loads(project)["tool"]["kspec"]["mutants"]
    chosen = [room for room in rooms if not asked or room.startswith(tuple(asked))]
    if not chosen:
        sys.exit(f"no room is called {' or '.join(asked)}; there are: {', '.join(rooms)}")
    survived = False
    for room in chosen:
        found, left = _run(project, room, rooms[room], arguments.sample, arguments.minutes)
        bad = sorted(name for name, status in found.items() if status not in ("killed", "timeout"))
        counts = ", ".join(f"{number} {status}" for status, number in Counter(found.values()).most_common())
        sys.stdout.write(f"{room}: {len(bad)} of {len(found)} were not noticed ({counts}){left}\n")
        changes = _changes(bad)
        for name in bad:
            sys.stdout.write(f"  {name}: {found[name]}\n{changes.get(name, '')}")
        sys.stdout.flush()
        survived = survived or bool(bad)
    return int(survived)


def _run(
    project: str, room: str, tests: list[str], sample: str, minutes: float | None
) -> tuple[dict[str, str], str]:
    """Status by name of a mutant that was tried, and what to say of those that were not.

    Raises SystemExit where the tests fail on the unchanged code.
    """
    shutil.rmtree(WORK, ignore_errors=True)
    WORK.mkdir(parents=True)
    for name in LINKED:
        (WORK / name).symlink_to(ROOT / name)
    for key, value in (
        ("only_mutate", [f"pytest_kspec/{room}"]),
        ("pytest_add_cli_args_test_selection", tests),
    ):
        project = project.replace(f"{key} = []\n", f"{key} = {json.dumps(value)}\n")
    (WORK / "pyproject.toml").write_text(project, encoding="utf-8")
    mutmut = [sys.executable, "-m", "mutmut"]
    environment = {**os.environ, "PYTHONDONTWRITEBYTECODE": ""}
    run = subprocess.Popen(
        [*mutmut, "run", "--max-children", "1", *([f"*__mutmut_*[{sample}]"] if sample else [])],
        cwd=WORK,
        env=environment,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )
    ended = ""
    try:
        told, _ = run.communicate(timeout=minutes and 60 * minutes)
    except subprocess.TimeoutExpired:
        ended = f"; ended after {minutes:g} minutes"
        run.send_signal(signal.SIGINT)
        told, _ = run.communicate()
    said = subprocess.run(
        [*mutmut, "results", "--all", "true"], cwd=WORK, env=environment, capture_output=True, text=True
    )
    known = dict(_RESULT.findall(said.stdout))
    found = {name: status for name, status in known.items() if status != "not checked"}
    if run.returncode or not found:
        sys.exit(f"{room}: mutmut did not run:\n{(told + said.stderr)[-3000:]}")
    return found, f"; {len(known)} in all{ended}" if len(known) > len(found) else ""


def _changes(names: list[str]) -> dict[str, str]:
    """The lines that each change takes out and puts in, by its name; of the room that was run last."""
    said = subprocess.run(
        [sys.executable, "-c", _SHOW, *names], cwd=WORK, capture_output=True, text=True
    ).stdout
    found = {}
    for shown in said.split("\0")[1:]:
        name, *lines = shown.splitlines()
        changed = [
            line for line in lines if line.startswith(("-", "+")) and not line.startswith(("---", "+++"))
        ]
        found[name] = "".join(f"    {line}\n" for line in changed)
    return found


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
