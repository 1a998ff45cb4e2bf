"""Code that nobody named: planted beside and above everything that a command reads, it never runs.

Each file that is planted notes itself in a file when it runs; `plant` says which there are.
"""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import pytest

from pytest_kspec.cli.main import COMMANDS
from tests.controlplane.process import free_port
from tests.evidence.conftest import make_keys

from .conftest import POD, RECORDING, SPEC

KSPEC = Path(sys.executable).with_name("kspec")
NOTE = "import os\nwith open({marker!r}, 'a') as file:\n    file.write(__file__ + '\\n')\n"
SHADOWS = (
    # of what commands, pytest and its workers import, of the standard library too
    *(
        "pytest",
        "_pytest",
        "pluggy",
        "xdist",
        "execnet",
        "yaml",
        "kubernetes",
        "urllib3",
        "pydantic",
        "msgspec",
    ),
    *(
        "jinja2",
        "filelock",
        "cronsim",
        "cryptography",
        "sqlalchemy",
        "uvicorn",
        "builtin_checks",
        "pytest_kspec",
    ),
    *("struct", "threading", "traceback", "tempfile", "argparse", "json", "random", "socket", "platform"),
)
MODULES = (
    *("conftest.py", "__init__.py", "sitecustomize.py", "usercustomize.py", "evil.py", "setup.py"),
    *("tests/conftest.py", "tests/__init__.py", "tests/test_evil.py", "checks/conftest.py", "noxfile.py"),
    *(f"{name}.py" for name in SHADOWS),
)
INI = "addopts = -p evil\npython_files = *\ntestpaths = .\npythonpath = .\nkspec_checks = evil.py\n"
TOML = "[tool.pytest.ini_options]\naddopts = '-p evil'\npythonpath = '.'\nkspec_checks = 'evil.py'\n"
CONFIGS = {
    "pytest.ini": f"[pytest]\n{INI}",
    ".pytest.ini": f"[pytest]\n{INI}",
    "tox.ini": f"[pytest]\n{INI}",
    "setup.cfg": f"[tool:pytest]\n{INI}",
    "pyproject.toml": TOML,
    "pytest.toml": TOML.replace("[tool.pytest.ini_options]", "[pytest]"),
    ".pytest.toml": TOML.replace("[tool.pytest.ini_options]", "[pytest]"),
    "evil.pth": "import evil\n",
    "pyvenv.cfg": "home = .\n",
    "evil-1.0.dist-info/METADATA": "Metadata-Version: 2.1\nName: evil\nVersion: 1.0\n",
    "evil-1.0.dist-info/entry_points.txt": "[pytest11]\nevil = evil\n[kspec]\nevil = evil\n",
    ".coveragerc": "[run]\nplugins = evil\n",
}

DEAD = """
apiVersion: v1
kind: Config
clusters: [{name: c, cluster: {server: "https://127.0.0.1:1"}}]
users: [{name: u, user: {token: t}}]
contexts: [{name: dead, context: {cluster: c, user: u}}]
"""

ALERTS = """
apiVersion: kspec.io/v1alpha1
kind: AlertConfig
metadata: {name: none}
spec:
  webhooks: [{name: hook, url: "http://127.0.0.1:1/"}]
"""


def plant(folder: Path, marker: Path) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    for name in MODULES:
        (folder / name).parent.mkdir(exist_ok=True)
        (folder / name).write_text(NOTE.format(marker=str(marker)))
    for name, text in CONFIGS.items():
        (folder / name).parent.mkdir(exist_ok=True)
        (folder / name).write_text(text)


class Ground:
    """A project with planted files in every folder, and commands that run there."""

    def __init__(self, path: Path) -> None:
        self.marker = path / "marker"
        self.repo = path / "user" / "repo"
        self.here = self.repo / "work"
        self.tmp = path / "tmp"
        folders = [
            path,
            path / "user",
            self.repo,
            self.here,
            self.tmp,
            self.repo / "specs",
            self.repo / "cluster",
        ]
        for folder in folders:
            plant(folder, self.marker)
        self.spec = self.repo / "specs" / "spec.yaml"
        asked = "workloads: {containers: {forbidden: [{key: hostNetwork, value: true}]}}"
        self.spec.write_text(SPEC.format(spec=f"podSecurity: {{enforce: baseline}}\n  {asked}"))
        self.pods = self.repo / "cluster" / "pod.yaml"
        self.pods.write_text(POD)
        self.recording = Path(shutil.copy(RECORDING, self.repo / "cluster"))
        self.dead = self.repo / "dead.yaml"
        self.dead.write_text(DEAD)
        self.alerts = self.repo / "alerts.yaml"
        self.alerts.write_text(ALERTS)
        keys = make_keys(path / "keys")
        self.private, self.public = keys.private, keys.public

    def run(self, *words: str | Path, program: Sequence[str | Path] = (KSPEC,)) -> tuple[int, str]:
        """Exit code and output; nothing that was planted ran."""
        done = subprocess.run(
            [*map(str, program), *map(str, words)],
            capture_output=True,
            text=True,
            cwd=self.here,
            timeout=120,
            env=self.environment(),
        )
        assert self.ran() == "", words
        return done.returncode, done.stdout + done.stderr

    def environment(self) -> dict[str, str]:
        """Of a user whose shell is set up for another pytest."""
        return os.environ | {
            "HOME": str(self.here),
            "TMPDIR": str(self.tmp),
            "KUBECONFIG": "",
            "PYTEST_ADDOPTS": "-p evil -p conftest",
            "PYTEST_PLUGINS": "evil,conftest",
        }

    def ran(self) -> str:
        """Which planted files did."""
        return self.marker.read_text() if self.marker.exists() else ""


@pytest.fixture(scope="module")
def ground(tmp_path_factory: pytest.TempPathFactory) -> Ground:
    made = Ground(tmp_path_factory.mktemp("planted"))
    words = ("--report", "json:result.json", "--store", "runs.db")
    code, said = made.run("scan", made.spec, "--cluster", made.recording, *words)
    assert code == 1, said
    code, said = made.run("evidence", "--from", "result.json", "--key", made.private, "-o", "e.tar.gz")
    assert code == 0, said
    return made


def test_what_is_planted_would_run(ground: Ground, tmp_path: Path) -> None:
    """The proof that the others prove something: pytest itself runs it, and so does Python."""
    marker = tmp_path / "marker"
    plant(tmp_path / "project", marker)
    for words in (["-m", "pytest"], ["-c", "import execnet"]):
        subprocess.run([sys.executable, *words], cwd=tmp_path / "project", capture_output=True, timeout=60)
        assert marker.exists()
        marker.unlink()


EACH: dict[str, Callable[[Ground], tuple[int, tuple[str | Path, ...]]]] = {
    "init": lambda at: (0, ("init", "--cluster", at.recording, "-o", "init.yaml")),
    "validate": lambda at: (0, ("validate", at.spec)),
    "render": lambda at: (0, ("render", at.spec)),
    "scan": lambda at: (1, ("scan", at.spec, "--cluster", at.pods)),
    "scan of a folder": lambda at: (1, ("scan", at.spec.parent, "--cluster", at.recording)),
    "scan with workers": lambda at: (
        1,
        ("scan", at.spec, "--cluster", at.pods, "--cluster", at.recording, "-n", "2"),
    ),
    "scan with every report": lambda at: (
        1,
        (
            *("scan", at.spec, "--cluster", at.pods, "--store", "runs.db"),
            *(
                f"--report={name}:out/{name}"
                for name in ("csv", "html", "junit", "markdown", "oscal", "pdf", "sarif")
            ),
        ),
    ),
    "report": lambda at: (0, ("report", "--from", "result.json", "--to", "html:again.html")),
    "fix": lambda at: (0, ("fix", at.spec, "--cluster", at.pods, "-o", "patches")),
    "enforce": lambda at: (0, ("enforce", at.spec, "--mode", "audit", "-o", "policies.yaml")),
    "diff": lambda at: (0, ("diff", at.recording, at.recording, "-s", at.spec)),
    "evidence": lambda at: (0, ("evidence", "--from", "result.json", "--key", at.private, "-o", "e.tar.gz")),
    "verify": lambda at: (0, ("verify", "e.tar.gz", "--key", at.public)),
    "webhook": lambda at: (0, ("webhook", at.spec, "--manifests", "registry.example/kspec:1")),
    "alert": lambda at: (0, ("alert", "list", "--store", "runs.db")),
    "alert test": lambda at: (2, ("alert", "test", at.alerts)),
    "audit": lambda at: (4, ("audit", "verify", "none.log")),
    "operator": lambda at: (4, ("operator", "--cluster", "nowhere")),
    "fleet": lambda at: (4, ("fleet", "scan", at.spec, "--all-contexts", "--store", "fleet.db")),
    "fleet with workers": lambda at: (
        2,
        ("fleet", "scan", at.spec, "--kubeconfig", at.dead, "--all-contexts", "--store", "fleet.db"),
    ),
    "fleet report": lambda at: (2, ("fleet", "report", "--store", "fleet.db")),
    "fleet enforce": lambda at: (
        2,
        ("fleet", "enforce", at.spec, "--kubeconfig", at.dead, "--all-contexts", "--mode", "audit", "--yes"),
    ),
    "cluster": lambda at: (0, ("cluster", "discover")),
    "cluster status": lambda at: (2, ("cluster", "status", "--kubeconfig", at.dead, "--from", "contexts")),
    "drift": lambda at: (4, ("drift", "detect", "-s", at.spec, "--cluster", "nowhere")),
    "drift watch": lambda at: (
        2,
        ("drift", "watch", "-s", at.spec, "--cluster", "dead", "--kubeconfig", at.dead),
    ),
    "drift of a cluster": lambda at: (
        2,
        ("drift", "detect", "-s", at.spec, "--cluster", "dead", "--kubeconfig", at.dead),
    ),
    "dashboard": lambda at: (2, ("dashboard", "--serve", "--no-auth", "--store", "none.db")),
    "dashboard of a store": lambda at: (0, ("dashboard", "--store", "runs.db")),
    "history": lambda at: (0, ("history", "--store", "runs.db")),
    "snapshot": lambda at: (4, ("snapshot", "-o", "recording.tar.gz")),
    "checks": lambda at: (0, ("checks",)),
    "explain": lambda at: (0, ("explain", "network.defaultDeny")),
    "frameworks": lambda at: (0, ("frameworks",)),
    "schema": lambda at: (0, ("schema",)),
    "crds": lambda at: (0, ("crds",)),
    "completion": lambda at: (0, ("completion", "bash")),
    "version": lambda at: (0, ("version",)),
}


def test_every_command_is_tried() -> None:
    assert {name.partition(" ")[0] for name in EACH} == set(COMMANDS)


@pytest.mark.parametrize("name", EACH)
def test_a_command_runs_nothing_that_nobody_named(ground: Ground, name: str) -> None:
    expected, words = EACH[name](ground)
    code, said = ground.run(*words)
    assert code == expected, said


SERVING: dict[str, Callable[[Ground], tuple[str, tuple[str | Path, ...]]]] = {
    "webhook": lambda at: (
        "certificate",  # it has started, and looks for one
        (
            *("webhook", at.spec, "--cluster", "none", "--tls-dir", "none-yet", "--host", "127.0.0.1"),
            *("--port", str(free_port()), "--drain", "0"),
        ),
    ),
    "dashboard": lambda at: (
        "http://",
        ("dashboard", "--serve", "--no-auth", "--store", "runs.db", "--port", "0"),
    ),
    "operator": lambda at: (
        "does not answer",
        (
            *("operator", "--cluster", "dead", "--kubeconfig", at.dead, "--leader-elect=false"),
            *("--metrics-bind-address=127.0.0.1:0", "--health-probe-bind-address=0"),
        ),
    ),
}


@pytest.mark.parametrize("name", SERVING)
def test_what_goes_on_until_it_is_ended_runs_nothing_that_nobody_named(ground: Ground, name: str) -> None:
    expected, words = SERVING[name](ground)
    log = ground.repo / "log"
    with log.open("wb") as file:
        serving = subprocess.Popen(
            [KSPEC, *map(str, words)],
            stdout=file,
            stderr=file,
            cwd=ground.here,
            env=ground.environment(),
            start_new_session=True,
        )
    try:
        deadline = time.monotonic() + 60
        while expected not in log.read_text() and serving.poll() is None and time.monotonic() < deadline:
            time.sleep(0.1)
        assert expected in log.read_text()
    finally:
        os.killpg(serving.pid, signal.SIGKILL)
        serving.wait(30)
    assert ground.ran() == ""


def test_a_worker_of_a_fleet_runs_nothing_that_nobody_named(ground: Ground) -> None:
    store = ("--store", "work.db")
    words = ("fleet", "scan", ground.spec, "--kubeconfig", ground.dead, "--all-contexts", "--no-wait", *store)
    code, said = ground.run(*words)
    assert code == 0, said
    run = said.partition("--run ")[2].split()[0]
    code, said = ground.run("fleet", "work", "--run", run, "--index", "0", *store)
    assert code == 0, said


def test_python_as_the_start_runs_nothing_once_the_command_runs(ground: Ground) -> None:
    """`python -c` puts the folder first: what a command imports when it runs is not taken from there."""
    start = "import sys, pytest_kspec.cli.main as m; sys.exit(m.main())"
    words: tuple[Any, ...] = ("scan", ground.spec, "--cluster", ground.pods)
    for name in ("pytest_kspec.py", *(f"{name}.py" for name in SHADOWS if name in sys.stdlib_module_names)):
        (ground.here / name).unlink()
    code, said = ground.run(*words, program=(sys.executable, "-c", start))
    assert code == 1, said


CHECK = '''
from pathlib import Path
from pytest_kspec import check
from .helper import TITLE

@check(id="acme.own", title=TITLE, severity="low", remediation="Do it.")
def test_own(answer):
    """Why."""
    assert answer == 43
'''


@pytest.mark.parametrize("workers", [(), ("-n", "2")], ids=["one", "workers"])
def test_what_is_named_runs_and_nothing_above_it(ground: Ground, workers: tuple[str, ...]) -> None:
    folder = ground.repo / "specs" / "mine"
    inner = folder / "inner"
    inner.mkdir(parents=True, exist_ok=True)
    (folder / "conftest.py").write_text("import pytest\n@pytest.fixture\ndef answer():\n    return 41\n")
    (inner / "conftest.py").write_text(
        "import pytest\n@pytest.fixture\ndef answer(answer):\n    return answer + 1\n"
    )
    (inner / "helper.py").write_text("TITLE = 'Own'\n")
    (inner / "test_own.py").write_text(CHECK)
    words: tuple[Any, ...] = (
        "scan",
        ground.spec,
        "--cluster",
        ground.pods,
        "-k",
        "acme",
        "-o",
        "json",
        *workers,
    )
    code, said = ground.run(*words, "--checks", folder)
    assert code == 1, said
    assert "assert 42 == 43" in said
    (inner / "__init__.py").write_text("")
    (folder / "__init__.py").write_text("")
    assert ground.run(*words, "--checks", folder)[0] == 1
    # Of a file that is named, the file runs: no conftest.py beside it.
    (inner / "helper.py").unlink()
    (inner / "test_own.py").write_text(CHECK.replace("from .helper import TITLE", "TITLE = 'Own'"))
    code, said = ground.run(*words, "--checks", inner / "test_own.py")
    assert code == 2
    assert "unknown fixture 'answer'" in said
    shutil.rmtree(folder)


def test_a_specification_is_never_run_as_python(ground: Ground, tmp_path: Path) -> None:
    """One that YAML and Python can read alike."""
    text = '{"apiVersion": "kspec.dev/v1", "kind": "ClusterSpecification",\n'
    text += '"metadata": {"name": "x", "version": "1.0.0"},\n'
    text += (
        '"spec": {"podSecurity": {"enforce": "baseline"}, "description": __import__("os").mkdir("ran")}}\n'
    )
    spec = tmp_path / "test_spec.py"
    spec.write_text(text.replace(', "description": __import__("os").mkdir("ran")', ""))
    assert ground.run("scan", spec, "--cluster", ground.recording)[0] == 1
    spec.write_text(f"# {NOTE.format(marker=str(ground.marker))!r}\n" + text)
    ground.run("scan", spec, "--cluster", ground.recording)
    assert not (ground.here / "ran").exists()
