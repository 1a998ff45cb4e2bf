"""Types that several threads read at once, before any of them was read."""

from __future__ import annotations

import ast
import subprocess
import sys
from pathlib import Path

import pytest_kspec
from tests.cli.conftest import ROOT

PACKAGE = Path(pytest_kspec.__file__).parent

PROGRAM = """
import sys, threading, types
from pytest_kspec import typed
SOURCE = '''
from __future__ import annotations
import msgspec
class A(msgspec.Struct):
    a: str | None = None
    b: dict[str, str] = {}
class B(msgspec.Struct):
    items: list[A] = []
    x: A | None = None
'''
BODY = b'{"items":[{"a":"x","b":{"k":"v"}}],"x":{"a":null}}'
DATA = {"items": [{"a": "x", "b": {"k": "v"}}], "x": {"a": None}}
sys.setswitchinterval(1e-6)
for number in range(400):
    module = sys.modules[f"m{number}"] = types.ModuleType(f"m{number}")
    exec(SOURCE, module.__dict__)
    barrier = threading.Barrier(6)
    def read(way, data, form):
        barrier.wait()
        way(data, form)
    B = module.B
    ways = [(typed.from_json, BODY, B), (typed.convert, DATA, B), (typed.convert, [DATA], list[B])]
    threads = [threading.Thread(target=read, args=way) for way in ways * 2]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
"""


def test_threads_that_are_the_first_to_read_a_type() -> None:
    """msgspec itself ends such a process with SIGSEGV."""
    done = subprocess.run(
        [sys.executable, "-c", PROGRAM], cwd=ROOT, capture_output=True, text=True, check=False, timeout=120
    )
    assert (done.returncode, done.stderr) == (0, "")


def _is_unsafe(call: ast.Call) -> bool:
    """Whether a call of msgspec names a type."""
    name = ast.unparse(call.func)
    if name in ("msgspec.convert", "msgspec.json.Decoder", "msgspec.msgpack.Decoder"):
        return True
    decodes = name in ("msgspec.json.decode", "msgspec.msgpack.decode", "msgspec.yaml.decode")
    return decodes and (len(call.args) > 1 or any(one.arg == "type" for one in call.keywords))


def test_no_other_call_names_a_type() -> None:
    found = []
    for path in sorted(PACKAGE.rglob("*.py")):
        if path == PACKAGE / "typed.py":
            continue
        tree = ast.parse(path.read_text(encoding="utf-8"))
        functions = [one for one in ast.walk(tree) if isinstance(one, ast.FunctionDef | ast.AsyncFunctionDef)]
        calls = [call for one in functions for call in ast.walk(one) if isinstance(call, ast.Call)]
        found += [f"{path.relative_to(PACKAGE)}:{one.lineno}" for one in calls if _is_unsafe(one)]
    assert found == [], "use pytest_kspec.typed, or make the decoder where the module is imported"
