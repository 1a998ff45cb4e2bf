"""What runs inside somebody else's process leaves it as it was."""

from __future__ import annotations

import gc
import json
import locale
import logging
import os
import shutil
import signal
import socket
import subprocess
import sys
import threading
import time
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from pytest_kspec.cli.main import COMMANDS, main
from pytest_kspec.cluster.sources.memory import MemorySource
from pytest_kspec.observe import requests, tracing
from pytest_kspec.onboard.survey import Survey
from pytest_kspec.testing import evaluate
from tests.cli.conftest import RECORDING, SPEC
from tests.evaluate import cases
from tests.evaluate.test_shells import OBJECTS

CHECK = '''
from pytest_kspec import check

@check(id="acme.traces", title="Traces", severity="low", remediation="None.")
def test_traces(findings):
    """Why."""
    assert False, "found"
'''


def _state() -> dict[str, Any]:
    root = logging.getLogger()
    numbers = sorted(signal.valid_signals())
    return {
        "environment": dict(os.environ),
        "folder": os.getcwd(),
        "streams": (sys.stdin, sys.stdout, sys.stderr),
        "path": list(sys.path),
        "hooks": (sys.excepthook, sys.unraisablehook, sys.displayhook),
        "finders": [finder for finder in sys.meta_path if "kspec" not in str(finder)],
        "logging": (root.level, list(root.handlers), list(root.filters), logging.root.manager.disable),
        "warnings": list(warnings.filters),
        "signals": [signal.getsignal(number) for number in numbers],
        "limit": sys.getrecursionlimit(),
        "interval": sys.getswitchinterval(),
        "arguments": list(sys.argv),
        "in threads": threading.excepthook,
        "loggers": {
            name: (one.level, one.propagate, one.disabled, list(one.handlers), list(one.filters))
            for name, one in logging.root.manager.loggerDict.items()
            if isinstance(one, logging.Logger)
        },
        "timers": [signal.getitimer(timer)[1] for timer in (signal.ITIMER_REAL, signal.ITIMER_PROF)],
        "locale": locale.setlocale(locale.LC_ALL),
        "mask": _mask(),
        "timeout": socket.getdefaulttimeout(),
        "collector": (gc.isenabled(), gc.get_threshold()),
        "requests": requests.seen,
        "traces": tracing.is_on(),
        "zone": time.tzname,
        "modules": sorted(name for name in sys.modules if "check" in name),
    }


def _counts() -> tuple[int, int]:
    """Threads and open files."""
    return threading.active_count(), len(os.listdir("/proc/self/fd"))


def _mask() -> int:
    mask = os.umask(0)
    os.umask(mask)
    return mask


def _unchanged(run: Callable[[], object]) -> None:
    first = _state()
    run()  # what is imported at the first use stays imported, and may set itself up
    gc.collect()  # files that tests before this one left open
    before = _state()
    for name in _FROM_THE_FIRST:
        assert before[name] == first[name], name
    loggers = {
        name: one for name, one in before["loggers"].items() if name in first["loggers"] or _is_ours(name)
    }
    assert loggers == {name: first["loggers"].get(name, UNUSED) for name in loggers}
    run()
    after = _state()
    assert [name for name in before if before[name] != after[name]] == []
    assert _is_left_once_only(run), "threads or files stay open"


def _is_left_once_only(run: Callable[[], object]) -> bool:
    """What a run leaves open is one more after each of them; other tests' servers open and close theirs meanwhile."""
    for _ in range(5):
        threads, files = _counts()
        run()
        if _counts()[0] <= threads and _counts()[1] <= files:
            return True
    return False


_FROM_THE_FIRST = (
    "environment", "folder", "streams", "path", "hooks", "logging", "warnings", "signals", "limit", "interval",
    "arguments", "in threads", "timers", "locale", "mask", "timeout", "zone", "collector", "requests", "traces",
)  # fmt: skip
UNUSED: tuple[Any, ...] = (logging.NOTSET, True, False, [], [])


def _is_ours(name: str) -> bool:
    return name.split(".")[0] == "kspec"


def test_evaluate_leaves_no_trace() -> None:
    _unchanged(lambda: [evaluate(func, objects=OBJECTS) for func in (cases.test_finds, cases.test_raises)])


def test_a_survey_leaves_no_trace() -> None:
    _unchanged(Survey(MemorySource(OBJECTS)).draft)


RESULT = Path(__file__).parents[1] / "reports" / "golden" / "one.json"
NO_RESULT = {"fix": 2, "diff": 2, "dashboard": 2, "alert": 2} | dict.fromkeys(
    ("drift", "evidence", "verify", "webhook", "operator", "fleet", "cluster", "audit"), 4
)
"""Exit codes of those that need a cluster, or a file that is not there; the others end with 0 or 1."""
COMMAND_LINES = {
    "init": "--cluster {recording} -o -",
    "validate": "{spec}",
    "render": "{spec}",
    "scan": "{spec} --cluster {recording} --checks {mine} --store {folder}/results.db",
    "report": "--from {result} --to markdown:-",
    "fix": "--from {result}",
    "enforce": "{spec} --mode audit -o {folder}/policies.yaml",
    "drift": "detect -s {spec} --cluster {recording} --snapshot {recording} --kinds ConfigMap",
    "diff": "{result} {result}",
    "evidence": "--from {result} --key {folder}/none.pem -o {folder}/out.tar.gz",
    "verify": "{folder}/none.tar.gz --public-key {folder}/none.pem",
    "webhook": "--cluster none",
    "operator": "--kubeconfig {folder}/none",
    "fleet": "scan {spec} --kubeconfig {folder}/none --context a --store {folder}/fleet.db",
    "dashboard": "--serve --no-auth --store {folder}/none.db",
    "cluster": "list --from contexts --kubeconfig {folder}/none",
    "audit": "verify {folder}/none.log",
    "alert": "list --store {folder}/none.db",
    "history": "add {result} --store {folder}/results.db",
    "snapshot": "--cluster {recording} -o {folder}/again.tar.gz",
    "checks": "",
    "explain": "network.defaultDeny",
    "frameworks": "",
    "schema": "",
    "crds": "",
    "completion": "bash",
    "version": "",
}
"""What each can do without a cluster; those that serve have set up their logs before they end with an error."""


@pytest.mark.parametrize("command", COMMANDS)
def test_a_command_leaves_no_trace(command: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    spec, mine, result = (tmp_path / name for name in ("spec.yaml", "test_mine.py", "result.json"))
    spec.write_text(SPEC.format(spec="podSecurity: {enforce: baseline}"))
    mine.write_text(CHECK)
    shutil.copy(RESULT, result)
    words = [
        word.format(spec=spec, mine=mine, result=result, recording=RECORDING, folder=tmp_path)
        for word in COMMAND_LINES[command].split()
    ]
    codes = []
    _unchanged(lambda: codes.append(main([command, *words])))
    wanted = {NO_RESULT[command]} if command in NO_RESULT else {0, 1}
    assert set(codes) <= wanted, capsys.readouterr()


CHANGES = """
    import atexit, faulthandler, locale, logging, logging.config, os, signal, socket, sys, threading, time, warnings
    os.environ["KSPEC_TRACE"] = "1"
    os.environ["TZ"] = "Asia/Tokyo"
    os.environ.pop("PATH")
    time.tzset()
    os.chdir("/")
    os.umask(0o777)
    sys.path.insert(0, "/nowhere")
    sys.meta_path.insert(0, type("Finder", (), {"find_spec": staticmethod(lambda *_: None)}))
    sys.path_hooks.append(print)
    sys.argv.append("more")
    sys.excepthook = sys.unraisablehook = sys.displayhook = threading.excepthook = print
    sys.setrecursionlimit(5000)
    sys.setswitchinterval(0.5)
    warnings.simplefilter("error")
    logging.basicConfig(level=1, force=True)
    logging.config.dictConfig({"version": 1, "root": {"level": "DEBUG"}})
    logging.getLogger("urllib3").setLevel(1)
    logging.disable(50)
    for number in (signal.SIGTERM, signal.SIGHUP, signal.SIGUSR1, signal.SIGINT):
        signal.signal(number, signal.SIG_IGN)
    signal.setitimer(signal.ITIMER_PROF, 500)
    locale.setlocale(locale.LC_ALL, "C")
    socket.setdefaulttimeout(0.001)
"""


@pytest.mark.parametrize("when", ["when it is imported", "when it runs", "as a fixture"])
def test_what_a_check_does_to_its_process_is_put_back(when: str, tmp_path: Path) -> None:
    spec, mine = tmp_path / "spec.yaml", tmp_path / "checks"
    spec.write_text(SPEC.format(spec="podSecurity: {enforce: baseline}"))
    mine.mkdir()
    changes = f"def change():{CHANGES}\n"
    text = {
        "when it is imported": f"{CHECK}\n{changes}\nchange()\n",
        "when it runs": f"{changes}\n{CHECK}    change()\n".replace("assert False", "change(); assert False"),
        "as a fixture": f"import pytest\n{changes}\n{CHECK}".replace("(findings)", "(changing, findings)")
        + "\n@pytest.fixture\ndef changing():\n    change()\n",
    }[when]
    (mine / "test_mine.py").write_text(text)
    words = ["scan", str(spec), "--cluster", str(RECORDING), "--checks", str(mine)]
    words += ["--report", f"json:{tmp_path}/result.json"]
    _unchanged(lambda: main(words))
    (check,) = _checks(tmp_path / "result.json", "acme.traces")
    assert (check["verdict"], check["findings"][0]["message"]) == ("fail", "found")


def _checks(report: Path, id: str) -> list[dict[str, Any]]:
    (cluster,) = json.loads(report.read_text())["clusters"]
    return [check for check in cluster["checks"] if check["id"] == id]


def test_each_run_has_the_modules_of_its_own_folder_as_they_are_then(tmp_path: Path) -> None:
    """Modules of the same names, in two folders and, in one of them, before and after it was edited."""
    spec = tmp_path / "spec.yaml"
    spec.write_text(SPEC.format(spec="podSecurity: {enforce: baseline}"))

    def said(folder: str, text: str) -> str:
        made = tmp_path / folder
        (made / "inner").mkdir(parents=True, exist_ok=True)
        (made / "conftest.py").write_text(
            f"import pytest\n@pytest.fixture\ndef by_conftest():\n    return {text!r}\n"
        )
        (made / "inner" / "helper.py").write_text(f"TEXT = {text!r}\n")
        (made / "test_mine.py").write_text(
            CHECK.replace("(findings)", "(by_conftest, findings)").replace(
                'assert False, "found"',
                "from .inner.helper import TEXT; assert False, f'{TEXT} {by_conftest}'",
            )
        )
        words = ["scan", str(spec), "--cluster", str(RECORDING), "--checks", str(made)]
        words += ["--report", f"json:{tmp_path}/result.json"]
        main(words)
        (check,) = _checks(tmp_path / "result.json", "acme.traces")
        return str(check["findings"][0]["message"])

    assert [said(folder, text) for folder, text in (("a", "one"), ("b", "two"), ("a", "three"))] == [
        "one one",
        "two two",
        "three three",
    ]


def test_a_thread_that_a_check_leaves_does_not_keep_the_command(tmp_path: Path) -> None:
    spec, mine = tmp_path / "spec.yaml", tmp_path / "test_mine.py"
    spec.write_text(SPEC.format(spec="podSecurity: {enforce: baseline}"))
    mine.write_text(
        "import threading, time\n"
        + CHECK.replace(
            "assert False",
            "threading.Thread(target=time.sleep, args=(3600,), name='poller').start(); assert False",
        )
    )
    out = tmp_path / "result.json"
    words = ["scan", str(spec), "--cluster", str(RECORDING), "--checks", str(mine), "--report", f"json:{out}"]
    done = subprocess.run(
        [sys.executable, "-m", "pytest_kspec.cli.main", *words], capture_output=True, text=True, timeout=300
    )
    (check,) = _checks(out, "acme.traces")
    assert check["verdict"] == "fail"
    assert "a check left 1 thread(s) running, which end with this process: poller" in done.stderr
    assert done.returncode in (1, 2)
    assert "Traceback" not in done.stderr
