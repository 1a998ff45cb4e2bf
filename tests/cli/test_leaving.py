"""A command ends without Python taking all apart, and loses nothing by that."""

import subprocess
import sys
from typing import Any

import pytest

SCRIPT = """
import atexit, sys
from pytest_kspec.cli import main as cli

class Kept:
    def __del__(self):
        print("taken apart")

kept = Kept()
{before}
sys.argv = ["kspec", *{words}]
code = cli.main()
atexit.register(print, "registered later")
sys.stdout.write("not flushed")
{after}
sys.exit(code)
"""
EARLIER = "atexit.register(print, 'registered before')"


def end(words: Any, before: str = "", after: str = "") -> tuple[Any, Any, Any]:
    """Exit code and the lines behind those of the command."""
    script = SCRIPT.format(words=words, before=before, after=after)
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, timeout=120)
    return done.returncode, done.stdout.rpartition("not flushed")[2].split("\n"), done.stderr


def test_what_is_registered_for_the_end_is_done_and_nothing_taken_apart() -> None:
    assert end(["version"]) == (0, ["registered later", ""], "")


@pytest.mark.parametrize(("words", "code"), [(["version"], 0), (["nope"], 4), (["scan", "missing.yaml"], 4)])
def test_the_exit_code_is_the_command_s(words: list[str], code: int) -> None:
    assert end(words)[0] == code


def test_after_an_exception_python_ends_as_always() -> None:
    code, said, errors = end(["version"], before="cli._supervised = lambda words: 1 / 0")
    assert (code, said) == (1, ["taken apart", ""])
    assert "ZeroDivisionError" in errors


def test_where_something_is_registered_already_python_ends_as_always() -> None:
    assert end(["version"], before=EARLIER)[1] == ["registered later", "registered before", "taken apart", ""]


def test_a_thread_that_never_ends_does_not_hold_it_up() -> None:
    endless = "import threading; threading.Thread(target=threading.Event().wait, daemon=True).start()"
    assert end(["version"], after=endless) == (0, ["registered later", ""], "")
