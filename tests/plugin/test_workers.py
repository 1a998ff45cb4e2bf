from __future__ import annotations

import re

import pytest

from tests.plugin.conftest import Project

CHECKS = """\
import ctypes, os, resource, signal, threading, time
import pytest
from pytest_kspec import check

def asks(id):
    return check(id=id, title='It lives', severity='low', remediation='None.')
"""
EXITS = CHECKS + (
    "@asks('acme.exits')\ndef test_exits(findings):\n    '''As if all were well.'''\n    os._exit(0)\n"
)
DEADLY = EXITS + (
    "@asks('acme.segfault')\n"
    "def test_segfault(findings):\n"
    "    '''A bug in a C extension.'''\n"
    "    ctypes.string_at(0)\n"
    "@asks('acme.killed')\n"
    "def test_killed(findings):\n"
    "    '''As the kernel does without memory.'''\n"
    "    os.kill(os.getpid(), signal.SIGKILL)\n"
    "@asks('acme.memory')\n"
    "def test_memory(findings):\n"
    "    '''It takes all.'''\n"
    "    before = resource.getrlimit(resource.RLIMIT_AS)\n"
    "    resource.setrlimit(resource.RLIMIT_AS, (2**31, before[1]))\n"
    "    try:\n"
    "        bytearray(2**33)\n"
    "    finally:\n"
    "        resource.setrlimit(resource.RLIMIT_AS, before)\n"
    "@asks('acme.parameters')\n"
    "@pytest.mark.parametrize('n', [1, 2])\n"
    "def test_parameters(findings, n):\n"
    "    '''Half of it.'''\n"
    "    if n == 1:\n"
    "        os._exit(3)\n"
)
DEATHS = {
    "acme.exits": "exited with code 0 while it ran this check",
    "acme.killed": "was killed by SIGKILL while it ran this check",
    "acme.memory": "the check raised MemoryError",
    "acme.parameters[1]": "exited with code 3 while it ran this check",
    "acme.segfault": "was killed by SIGSEGV while it ran this check",
}


def _errors(project: Project, cluster: str) -> dict[str, str]:
    (found,) = [c for c in project.result()["clusters"] if c["name"] == cluster]
    return {
        check["id"]: re.sub(r"^worker gw\d+ ", "", check["reason"])
        for check in found["checks"]
        if check["verdict"] == "error"
    }


@pytest.mark.parametrize("dist", ["loadscope", "loadfile", "loadgroup", "load", "worksteal"])
def test_a_check_that_kills_its_worker_costs_itself_only(project: Project, dist: str) -> None:
    both = ("./prod", "./stage")
    project.run(clusters=both)
    expected = {cluster: project.verdicts(cluster) for cluster in ("prod", "stage")}
    project.write("checks/test_deadly.py", DEADLY)
    out = project.run("--kspec-checks=checks", "-n", "2", "--dist", dist, clusters=both)
    assert out.ret == pytest.ExitCode.TESTS_FAILED
    for cluster, verdicts in expected.items():
        assert _errors(project, cluster) == DEATHS
        found = {id: v for id, v in project.verdicts(cluster).items() if id not in DEATHS}
        assert found == verdicts | {"acme.parameters[2]": "pass"}


def test_groups_of_one_item_do_not_keep_each_other_waiting(project: Project) -> None:
    names = ("a", "b", "c", "d")
    for name in names:
        project.write(f"{name}/all.yaml", (project.path / "prod/all.yaml").read_text())
    project.write("checks/test_deadly.py", EXITS)
    clusters = tuple(f"./{name}" for name in names)
    project.run("--kspec-checks=checks", "-n", "1", "--dist=loadscope", "-k", "acme", clusters=clusters)
    assert {name: _errors(project, name) for name in names} == {
        name: {"acme.exits": DEATHS["acme.exits"]} for name in names
    }


def test_without_new_workers_the_run_ends_and_says_why(project: Project) -> None:
    project.write("checks/test_deadly.py", EXITS)
    out = project.run("--kspec-checks=checks", "-n", "1", "--dist=loadscope", "--max-worker-restart=0")
    assert out.ret == pytest.ExitCode.TESTS_FAILED
    errors = _errors(project, "prod")
    assert errors.pop("acme.exits") == DEATHS["acme.exits"]
    assert errors
    assert set(errors.values()) == {
        "not run: the run ended before its turn (worker gw0 exited with code 0; "
        "--max-worker-restart limits how many follow)"
    }


def test_workers_that_die_before_they_run_anything_end_the_run(project: Project) -> None:
    project.write(
        "checks/test_import.py", EXITS + "if 'PYTEST_XDIST_WORKER' in os.environ:\n    os._exit(7)\n"
    )
    out = project.run("--kspec-checks=checks", "-n", "1")
    assert out.ret == pytest.ExitCode.INTERRUPTED
    assert set(_errors(project, "prod").values()) == {
        "not run: the run ended before its turn (5 workers died without finishing a requirement; the last: "
        "worker gw4 exited with code 7)"
    }


@pytest.mark.parametrize("args", [("-x",), ("--maxfail=1", "-n", "1")])
def test_what_a_run_that_stops_has_not_run_says_why(project: Project, args: tuple[str, ...]) -> None:
    project.run(*args)
    assert set(_errors(project, "prod").values()) == {
        "not run: the run ended before its turn (stopping after 1 failures)"
    }


SLOW = CHECKS + (
    "@pytest.fixture\n"
    "def slow():\n"
    "    time.sleep(60)\n"
    "@asks('acme.fixture')\n"
    "def test_fixture(findings, slow):\n"
    "    '''Not even begun.'''\n"
    "@asks('acme.sleeps')\n"
    "def test_sleeps(findings):\n"
    "    '''It waits.'''\n"
    "    time.sleep(60)\n"
    "@asks('acme.stubborn')\n"
    "def test_stubborn(findings):\n"
    "    '''It handles every Exception.'''\n"
    "    while True:\n"
    "        try:\n"
    "            time.sleep(60)\n"
    "        except Exception:\n"
    "            pass\n"
)
STOPPED = "stopped: it took longer than the time limit of a check, 0.5 s"


@pytest.mark.parametrize("args", [(), ("-n", "1")])
def test_a_check_that_takes_too_long_is_an_error_and_the_others_go_on(
    project: Project, args: tuple[str, ...]
) -> None:
    project.write("checks/test_slow.py", SLOW)
    project.run("--kspec-checks=checks", "--kspec-check-timeout=0.5", *args)
    assert _errors(project, "prod") == dict.fromkeys(
        ("acme.fixture", "acme.sleeps", "acme.stubborn"), STOPPED
    )


def test_a_check_that_no_signal_reaches_costs_its_worker(project: Project) -> None:
    project.write(
        "checks/test_deaf.py",
        CHECKS + "@asks('acme.deaf')\n"
        "def test_deaf(findings):\n"
        "    '''As a loop in a C extension.'''\n"
        "    signal.pthread_sigmask(signal.SIG_BLOCK, [signal.SIGALRM])\n"
        "    time.sleep(60)\n",
    )
    project.run("--kspec-checks=checks", "--kspec-check-timeout=0.5", "-n", "1")
    assert _errors(project, "prod") == {"acme.deaf": "exited with code 1 while it ran this check"}


def test_a_time_limit_is_a_number_of_seconds(project: Project) -> None:
    for text in ("soon", "-1", "nan", "inf"):
        out = project.run(f"--kspec-check-timeout={text}")
        assert out.ret == pytest.ExitCode.USAGE_ERROR
        assert f"no number of seconds: '{text}'" in out.stderr.str()


def test_what_a_check_raises_that_is_no_exception_is_its_verdict(project: Project) -> None:
    project.write(
        "checks/test_raises.py",
        CHECKS + "@asks('acme.exit')\n"
        "def test_exit(findings):\n"
        "    '''As a command does.'''\n"
        "    raise SystemExit(0)\n"
        "@asks('acme.fail')\n"
        "def test_fail(findings):\n"
        "    '''As in a test.'''\n"
        "    pytest.fail('not so')\n",
    )
    project.run("--kspec-checks=checks")
    assert _errors(project, "prod") == {"acme.exit": "the check raised SystemExit: 0"}
    assert project.verdicts()["acme.fail"] == "fail"
