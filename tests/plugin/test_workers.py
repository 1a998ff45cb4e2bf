from __future__ import annotations

import re

import pytest

from pytest_kspec.results.baseline import Baseline
from pytest_kspec.results.baselined import Covered
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


HARMFUL = CHECKS + (
    "@asks('acme.closed')\n"
    "def test_closed(findings):\n"
    "    '''All that it did not open.'''\n"
    "    os.closerange(3, 1000)\n"
    "@asks('acme.closes')\n"
    "def test_closes(findings):\n"
    "    '''What it reads from, and writes to.'''\n"
    "    os.closerange(0, 3)\n"
    "@asks('acme.copied')\n"
    "def test_copied(findings):\n"
    "    '''A copy of the worker that goes on.'''\n"
    "    os.fork()\n"
    "@asks('acme.exited')\n"
    "def test_exited(findings):\n"
    "    '''And one that ends as a program does.'''\n"
    "    if not os.fork():\n"
    "        raise SystemExit(0)\n"
    "@asks('acme.interrupted')\n"
    "def test_interrupted(findings):\n"
    "    '''As by Ctrl-C.'''\n"
    "    os.kill(os.getpid(), signal.SIGINT)\n"
    "    time.sleep(5)\n"
    "@asks('acme.limited')\n"
    "def test_limited(findings):\n"
    "    '''It leaves no memory to the others.'''\n"
    "    resource.setrlimit(resource.RLIMIT_AS, (2**20, resource.getrlimit(resource.RLIMIT_AS)[1]))\n"
    "@asks('acme.overflows')\n"
    "def test_overflows(findings):\n"
    "    '''Deeper than the stack.'''\n"
    "    import sys\n"
    "    sys.setrecursionlimit(10**9)\n"
    "    deep = lambda value: sorted([value], key=deep)\n"
    "    deep(1)\n"
    "@asks('acme.survived')\n"
    "def test_survived(findings):\n"
    "    '''A copy that lives on, with all that the worker had open.'''\n"
    "    if not os.fork():\n"
    "        time.sleep(60)\n"
    "    os.kill(os.getpid(), signal.SIGKILL)\n"
    "@pytest.fixture\n"
    "def interrupts():\n"
    "    raise KeyboardInterrupt\n"
    "@asks('acme.fixture')\n"
    "def test_fixture(findings, interrupts):\n"
    "    '''Not even begun.'''\n"
    "    assert interrupts\n"
)
HARM = {
    "acme.closed": "exited with code 0 while it ran this check",
    "acme.fixture": "the check raised KeyboardInterrupt",
    "acme.interrupted": "the check raised KeyboardInterrupt",
    "acme.overflows": "was killed by SIGSEGV while it ran this check",
    "acme.survived": "was killed by SIGKILL while it ran this check",
}


@pytest.mark.parametrize(
    ("dist", "capture"), [("loadscope", "fd"), ("worksteal", "no")]
)  # `kspec scan` captures nothing
def test_what_a_check_does_to_its_worker_costs_itself_only(project: Project, dist: str, capture: str) -> None:
    project.run()
    expected = project.verdicts("prod")
    project.write("checks/test_harmful.py", HARMFUL)
    out = project.run("--kspec-checks=checks", "-n", "2", "--dist", dist, f"--capture={capture}")
    assert out.ret == pytest.ExitCode.TESTS_FAILED
    assert _errors(project, "prod") == HARM
    found = {id: v for id, v in project.verdicts("prod").items() if id not in HARM}
    assert found == expected | dict.fromkeys(
        ("acme.closes", "acme.copied", "acme.exited", "acme.limited"), "pass"
    )


def test_without_workers_a_copy_of_the_process_is_no_second_run(project: Project) -> None:
    project.write(
        "checks/test_copies.py",
        CHECKS
        + "os.fork()\n@asks('acme.copied')\ndef test_copied(findings):\n    '''Twice.'''\n    os.fork()\n",
    )
    out = project.run("--kspec-checks=checks")
    assert project.verdicts()["acme.copied"] == "pass"
    assert out.stdout.str().count("test session starts") == 1
    assert len(re.findall(r"={5,} .* in [\d.]+s", out.stdout.str())) == 1


def test_a_worker_that_stands_still_costs_the_check_that_it_ran(project: Project) -> None:
    """Nothing of it can end it: no signal reaches a process that is stopped, but one."""
    project.write(
        "checks/test_stopped.py",
        CHECKS + "@asks('acme.stopped')\ndef test_stopped(findings):\n    '''As by Ctrl-Z.'''\n"
        "    os.kill(os.getpid(), signal.SIGSTOP)\n",
    )
    project.write(
        "conftest.py", "from pytest_kspec.session import watch\nwatch.SILENT_S = watch.GRACE_S = 0.5\n"
    )
    project.run("--kspec-checks=checks", "--kspec-check-timeout=1", "-n", "1")
    assert _errors(project, "prod") == {"acme.stopped": "was killed by SIGKILL while it ran this check"}


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
    "    assert slow\n"
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
STOPPED = "stopped: it exceeded the time limit of a check, 0.5 s"


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
        assert f"'{text}' is not a number of seconds" in out.stderr.str()


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


@pytest.mark.parametrize("name", ["accepted.yaml", "strict.yaml", "known.json"])
def test_workers_that_read_another_text_evaluate_nothing(project: Project, name: str) -> None:
    """What the controller has read changes before they read it: a finding was exempted by the newer text."""
    head = "apiVersion: kspec.dev/v1\nkind: Exemptions\nmetadata: {name: e}\nexemptions:\n"
    project.write("accepted.yaml", head + "- {name: old, reason: r, checks: [rbac.forbiddenRules]}\n")
    newer = head + "- {name: new, reason: r, checks: [podSecurity.*, workloads.*, network.*]}\n"
    if name == "strict.yaml":
        newer = (project.path / name).read_text() + "\n# another one\n"
    project.write("known.json", Baseline("", [], []).render().decode())
    if name == "known.json":
        newer = Baseline("", [Covered("prod", "strict")], []).render().decode()
    project.write("newer.yaml", newer)
    project.write(
        "checks/test_edits.py",
        CHECKS
        + "@asks('acme.none')\ndef test_none(findings, pods):\n    '''All are well.'''\n    for pod in pods:\n"
        + "        assert pod.name\n"
        + "if 'PYTEST_XDIST_WORKER' not in os.environ:\n"
        + f"    os.path.exists('newer.yaml') and os.replace('newer.yaml', {name!r})\n",
    )
    words = (
        "--kspec-checks=checks",
        "--kspec-exemptions=accepted.yaml",
        "--kspec-baseline=known.json",
        "-n2",
    )
    run = project.run(*words)
    assert run.ret == pytest.ExitCode.INTERRUPTED
    assert set(project.verdicts().values()) == {"error"}
    (reason,) = set(_errors(project, "prod").values())
    assert reason.endswith("or the baseline changed while the run started)")
    project.run(*words)  # now all read the same
    assert "error" not in project.verdicts().values()
