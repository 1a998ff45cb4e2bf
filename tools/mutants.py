"""`make mutants`: changes the code of a room, one thing at a time, and says which changes no test of it notices.

mutmut makes the changes. `tools/mutantrun.py` tries them: mutmut's own run collects the tests anew for each change, and
knows which test calls a function, not which reaches a line. Each room has its own tests, in `pyproject.toml`. mutmut
does not change what runs at import (a rule of a module) and decorated functions other than properties.

    python -m tools.mutants [ROOM ...] [--sample DIGITS] [--minutes NUMBER] [--seconds NUMBER] [--wide] [--fresh]

`build/mutants` keeps the results. A change that was noticed is not tried again while its function is the same; one that
was not noticed is, so that a new test shows at once what it is worth. `--minutes 9` ends a room after that time.
"""

from __future__ import annotations

import argparse
import ast
import difflib
import hashlib
import json
import os
import shutil
import subprocess
import sys
import time
import tomllib
from collections import Counter
from pathlib import Path
from typing import Any

ROOT = Path(__file__).parent.parent
WORK = ROOT / "build" / "mutants"
LINKED = ("builtin_checks", "tests", "examples", "docs", "benchmarks", "tools", "config")
NOTICED = ("killed", "timeout")
_OPTIONS = (
    "-q",
    "-p",
    "tools.mutantrun",
    "-p",
    "no:cacheprovider",
    "-p",
    "no:xdist",
    "--timeout",
    "0",
    "-k",
    "not postgresql",
)


def main(words: list[str]) -> int:
    """Run the rooms whose names begin with one of these, all without any; 1 where something survived."""
    parser = argparse.ArgumentParser(prog="python -m tools.mutants")
    parser.add_argument("rooms", nargs="*", help="beginnings of names of rooms; default: all rooms")
    parser.add_argument("--sample", default="", metavar="DIGITS", help="only changes whose number ends so")
    parser.add_argument("--minutes", type=float, metavar="NUMBER", help="end a room after so many")
    parser.add_argument(
        "--seconds",
        type=float,
        default=4,
        metavar="NUMBER",
        help="of tests for a change, quick ones first (4)",
    )
    parser.add_argument("--wide", action="store_true", help="all tests of the room for what survived")
    parser.add_argument("--fresh", action="store_true", help="try again what was noticed before")
    arguments = parser.parse_args(words)
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))
    rooms: dict[str, list[str]] = project["tool"]["kspec"]["mutants"]
    chosen = [room for room in rooms if not arguments.rooms or room.startswith(tuple(arguments.rooms))]
    if not chosen:
        sys.exit(f"no room is called {' or '.join(arguments.rooms)}; there are: {', '.join(rooms)}")
    survived = False
    for room in chosen:
        mutants, found = _run(room, rooms[room], arguments)
        tried = [mutant for mutant in mutants if mutant["key"] in found]
        bad = [mutant for mutant in tried if found[mutant["key"]] not in NOTICED]
        counts = ", ".join(
            f"{number} {status}"
            for status, number in Counter(found[mutant["key"]] for mutant in tried).most_common()
        )
        left = f"; {len(mutants)} in all" if len(mutants) > len(tried) else ""
        sys.stdout.write(f"{room}: {len(bad)} of {len(tried)} were not noticed ({counts}){left}\n")
        for mutant in bad:
            sys.stdout.write(f"  {mutant['name']}: {found[mutant['key']]}\n")
            sys.stdout.write("".join(f"    {line}\n" for line in mutant["change"]))
        sys.stdout.flush()
        survived = survived or bool(bad)
    return int(survived)


def _run(room: str, tests: list[str], arguments: argparse.Namespace) -> tuple[list[Any], dict[str, str]]:
    """The changes of a room, and status by key of those that were tried.

    Raises SystemExit where the tests fail on the unchanged code.
    """
    work = WORK / "".join(letter if letter.isalnum() else "-" for letter in room)
    if arguments.fresh:
        shutil.rmtree(work, ignore_errors=True)
    mutants, files = _prepared(room, work)
    results = work / "results.jsonl"
    found = _found(results)
    todo = [
        mutant
        for mutant in mutants
        if found.get(mutant["key"]) not in NOTICED
        and (not arguments.sample or mutant["name"][-1] in arguments.sample)
    ]
    if arguments.wide:
        todo = [mutant for mutant in todo if mutant["key"] in found]
    job = {
        "mutants": todo,
        "files": [str(work / file) for file in files],
        "code": hashlib.sha256(b"".join((work / file).read_bytes() for file in files)).hexdigest(),
        "learned": str(work / "learned.json"),
        "results": str(results),
        "seconds": arguments.seconds,
        "wide": arguments.wide,
        "until": time.time() + 60 * arguments.minutes if arguments.minutes else 0,
    }
    (work / "job.json").write_text(json.dumps(job), encoding="utf-8")
    if todo:
        with (work / "log.txt").open("w", encoding="utf-8") as log:
            run = subprocess.run(
                [sys.executable, "-m", "pytest", *_OPTIONS, *tests],
                cwd=work,
                env={**os.environ, "PYTHONPATH": str(work), "KSPEC_MUTANTS_JOB": str(work / "job.json")},
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=subprocess.STDOUT,
            )
        if run.returncode:
            sys.exit(f"{room}: pytest did not run:\n{(work / 'log.txt').read_text(encoding='utf-8')[-3000:]}")
    return mutants, _found(results)


def _found(results: Path) -> dict[str, str]:
    lines = results.read_text(encoding="utf-8").splitlines() if results.exists() else []
    return {entry["key"]: entry["status"] for entry in map(json.loads, lines)}


def _prepared(room: str, work: Path) -> tuple[list[Any], list[str]]:
    """The changes of a room, and the files that have them; they are in a copy of the package in `work`.

    Made anew only where the package has changed: it costs as much as trying a dozen.
    """
    package = [*sorted((ROOT / "pytest_kspec").rglob("*.py")), Path(__file__)]
    stamp = hashlib.sha256(b"".join(path.read_bytes() for path in package)).hexdigest()
    made_before = work / "made.json"
    if made_before.exists():
        made = json.loads(made_before.read_text(encoding="utf-8"))
        if made["stamp"] == stamp:
            return made["mutants"], made["files"]
    work.mkdir(parents=True, exist_ok=True)
    shutil.rmtree(work / "pytest_kspec", ignore_errors=True)
    mutants, files = _made(room, work)
    made_before.write_text(json.dumps({"stamp": stamp, "mutants": mutants, "files": files}), encoding="utf-8")
    return mutants, files


def _made(room: str, work: Path) -> tuple[list[Any], list[str]]:
    from mutmut.mutation.file_mutation import mutate_file_contents

    shutil.copytree(
        ROOT / "pytest_kspec", work / "pytest_kspec", ignore=shutil.ignore_patterns("__pycache__")
    )
    for name in (*LINKED, *(path.name for path in ROOT.glob("*.md")), "pyproject.toml"):
        if not (work / name).exists():
            (work / name).symlink_to(ROOT / name)
    mutants, files = [], []
    for path in sorted((work / "pytest_kspec").glob(room)):
        file = str(path.relative_to(work))
        made = mutate_file_contents(file, _with_plain_properties(path.read_text(encoding="utf-8")))
        if not made.mutant_names:
            continue
        path.write_text(made.code, encoding="utf-8")
        files.append(file)
        module = file.removesuffix(".py").replace("/", ".").removesuffix(".__init__")
        lines = made.code.splitlines()
        spans = made.line_span_by_function_name
        statements = _statements(made.code)
        for full in made.mutant_names:
            name = full.rpartition(".")[2]
            function = name.partition("__mutmut_")[0]
            first = spans[f"{function}__mutmut_orig"]
            before = _source(lines, first, function)
            after = _source(lines, spans[name], function)
            edits = difflib.SequenceMatcher(None, before, after, autojunk=False).get_opcodes()
            at = next(start for what, start, *_ in edits if what != "equal")
            change = difflib.unified_diff(before, after, n=0, lineterm="")
            mutants.append(
                {
                    "name": f"{module}.{name}",
                    "key": hashlib.sha256("\n".join([module, name, *after]).encode()).hexdigest()[:24],
                    "file": str(path),
                    "lines": _reached(statements, first.start + at, (first.start, first.end)),
                    "change": [line for line in change if not line.startswith(("---", "+++", "@@"))],
                }
            )
    if not mutants:
        sys.exit(f"{room}: there is nothing to change")
    return mutants, files


def _with_plain_properties(code: str) -> str:
    """The same code with `@property` written as an assignment: mutmut leaves functions with decorators alone."""
    lines = code.splitlines()
    for node in sorted(ast.walk(ast.parse(code)), key=lambda node: getattr(node, "lineno", 0), reverse=True):
        if not isinstance(node, ast.FunctionDef) or len(node.decorator_list) != 1:
            continue
        (decorator,) = node.decorator_list
        if isinstance(decorator, ast.Name) and decorator.id in ("property", "cached_property"):
            margin, getter = " " * node.col_offset, f"get_{node.name}"
            lines.insert(node.end_lineno or 0, f"{margin}{node.name} = {decorator.id}({getter})")
            lines[node.lineno - 1] = lines[node.lineno - 1].replace(f"def {node.name}(", f"def {getter}(", 1)
            del lines[decorator.lineno - 1]
    return "\n".join(lines) + "\n"


def _source(lines: list[str], span: Any, function: str) -> list[str]:
    """A function without the numbers that mutmut adds to its name."""
    text = lines[span.start - 1 : span.end]
    return [
        line if "__mutmut_" not in line else line.replace(line.split("(")[0].split()[-1], function)
        for line in text
    ]


def _statements(code: str) -> list[tuple[int, int, bool]]:
    """(first line, last line, is a function) of each statement: of one with a body, the lines before the body."""
    found = []
    for node in ast.walk(ast.parse(code)):
        if isinstance(node, ast.stmt):
            body = getattr(node, "body", None) or getattr(node, "cases", None)
            inner = getattr(body[0], "lineno", None) or body[0].pattern.lineno if body else 0
            last = max(node.lineno, inner - 1) if body else node.end_lineno or node.lineno
            found.append((node.lineno, last, isinstance(node, (ast.FunctionDef, ast.AsyncFunctionDef))))
    return found


def _reached(statements: list[tuple[int, int, bool]], line: int, function: tuple[int, int]) -> list[int]:
    """Lines of which a test must have reached one, to notice a change of this line."""
    around = [entry for entry in statements if entry[0] <= line <= entry[1]]
    first, last, is_function = max(around, default=(0, 0, True))
    if is_function:
        first, last = function[0] + 1, function[1]
    return list(range(first, last + 1))


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
