"""What fails outside of checks is said, and never exits 0."""

from collections.abc import Callable
from pathlib import Path

import pytest

from pytest_kspec.cli.scan_run import run_pytest
from pytest_kspec.errors import UsageError

from .conftest import Kspec

WriteSpec = Callable[..., Path]
HOST_PID = "workloads: {containers: {forbidden: [{key: hostPID, value: true}]}}"
CHECK = '''
from pytest_kspec import check

@check(id="acme.own", title="Own", severity="low", remediation="Do it.")
def test_own({argument}):
    """Why."""
    {body}
'''


def test_an_unknown_fixture_is_not_evaluated(
    run_kspec: Kspec, write_spec: WriteSpec, manifests: Path, tmp_path: Path
) -> None:
    (tmp_path / "test_own.py").write_text(CHECK.format(argument="no_such_fixture", body="print()"))
    said = run_kspec("scan", write_spec(HOST_PID), "--cluster", manifests, "--checks", "test_own.py")
    assert said.code == 2
    assert "no_such_fixture" in said.out


def test_pytest_exit_is_not_evaluated(
    run_kspec: Kspec, write_spec: WriteSpec, manifests: Path, tmp_path: Path
) -> None:
    body = "import pytest; pytest.exit('enough')"
    (tmp_path / "test_own.py").write_text(CHECK.format(argument="cluster", body=body))
    said = run_kspec("scan", write_spec(HOST_PID), "--cluster", manifests, "--checks", "test_own.py")
    assert said.code == 2
    assert "enough" in said.out


def test_what_a_check_prints_is_not_shown(
    run_kspec: Kspec, write_spec: WriteSpec, manifests: Path, tmp_path: Path
) -> None:
    (tmp_path / "test_own.py").write_text(
        CHECK.format(argument="cluster", body="print('noise'); assert cluster")
    )
    said = run_kspec("scan", write_spec(HOST_PID), "--cluster", manifests, "--checks", "test_own.py")
    assert (said.code, said.err) == (0, "")
    assert "noise" not in said.out


def test_an_internal_error_is_not_evaluated(
    run_kspec: Kspec, write_spec: WriteSpec, manifests: Path, tmp_path: Path
) -> None:
    (tmp_path / "own").mkdir()
    (tmp_path / "own" / "conftest.py").write_text(
        "def pytest_runtestloop(session):\n    raise RuntimeError('broken')\n"
    )
    (tmp_path / "own" / "test_own.py").write_text(CHECK.format(argument="cluster", body="assert cluster"))
    said = run_kspec("scan", write_spec(HOST_PID), "--cluster", manifests, "--checks", "own")
    assert said.code == 2


@pytest.mark.parametrize("given", ["", "1"])
def test_programs_that_a_worker_starts_have_the_environment_of_the_user(
    run_kspec: Kspec, write_spec: WriteSpec, manifests: Path, tmp_path: Path, given: str
) -> None:
    """Such as credential plugins: what keeps a worker from the folder that it runs in is not theirs."""
    body = f"import os; assert os.environ.get('PYTHONSAFEPATH', '') == {given!r}"
    (tmp_path / "test_own.py").write_text(CHECK.format(argument="cluster", body=body))
    words = ("scan", write_spec(HOST_PID), "--cluster", manifests, "--checks", "test_own.py")
    for workers in ((), ("-n", "2")):
        said = run_kspec(*words, *workers, **({"PYTHONSAFEPATH": given} if given else {}))
        assert said.code == 0, said.out


def test_temporary_files_are_private_and_do_not_stay(
    run_kspec: Kspec, write_spec: WriteSpec, manifests: Path, tmp_path: Path
) -> None:
    body = "assert tmp_path.stat().st_mode & 0o77 == 0; assert '/tmp/kspec-' in str(tmp_path)"
    (tmp_path / "test_own.py").write_text(CHECK.format(argument="tmp_path", body=body))
    (tmp_path / "tmp").mkdir()
    (tmp_path / "tmp" / "pytest-of-root").symlink_to(tmp_path)
    words = ("scan", write_spec(HOST_PID), "--cluster", manifests, "--checks", "test_own.py")
    for workers in ((), ("-n", "2")):
        said = run_kspec(*words, *workers, TMPDIR=str(tmp_path / "tmp"))
        assert said.code == 0, said.out
    assert [path.name for path in (tmp_path / "tmp").iterdir()] == ["pytest-of-root"]


def test_workers_need_xdist(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("pytest_kspec.cli.scan_run.find_spec", lambda name: None)
    with pytest.raises(UsageError, match="pip install"):
        run_pytest([], workers=True)


def test_a_fixture_of_an_installed_plugin_is_there(
    run_kspec: Kspec, write_spec: WriteSpec, manifests: Path, tmp_path: Path
) -> None:
    """That pytest looks for plugins by itself is only left out where none of them is of use."""
    metadata = tmp_path / "site" / "acme-1.0.dist-info"
    metadata.mkdir(parents=True)
    (metadata / "METADATA").write_text("Metadata-Version: 2.1\nName: acme\nVersion: 1.0\n")
    plugin = "import pytest\n\n@pytest.fixture\ndef acme():\n    return 'acme'\n"
    (metadata.parent / "acme_plugin.py").write_text(plugin)
    (tmp_path / "test_own.py").write_text(CHECK.format(argument="acme", body="assert acme == 'acme'"))
    words = ("scan", write_spec(HOST_PID), "--cluster", manifests, "--checks", "test_own.py")
    assert run_kspec(*words, PYTHONPATH=str(metadata.parent)).code == 2
    (metadata / "entry_points.txt").write_text("[pytest11]\nacme = acme_plugin\n")
    said = run_kspec(*words, PYTHONPATH=str(metadata.parent))
    assert (said.code, said.err) == (0, "")
