"""A pytest session that has nothing to do with the folder that it runs in: those of the `kspec` commands.

Loaded by `-p`, on the controller and on each worker, with `--noconftest` and no ini file. Code comes from pytest, from
installed plugins and from the checks that the user named. Specifications are collected by themselves: pytest's own way
to a file looks into every folder above it, and runs the `__init__.py` there.
"""

from __future__ import annotations

import argparse
import os
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest
from _pytest.assertion import DummyRewriteHook, install_importhook
from _pytest.assertion.rewrite import _rewrite_test

from pytest_kspec.errors import CheckError
from pytest_kspec.plan.importing import import_file
from pytest_kspec.session import run as runs
from pytest_kspec.session.collect import SpecFile

NAME = __name__
_SAFE = "PYTHONSAFEPATH"
_SET = "kspec_safe_path"
_CONFTEST = "conftest.py"
REHEARSAL = "--kspec-rehearsal"
"""Nothing is scanned that anyone asked about: no audit log, no trace and no plugin hears of it."""


def pytest_addoption(parser: pytest.Parser) -> None:
    """Options between `kspec` and this plugin."""
    for option in ("--kspec-no-checks", REHEARSAL):
        dest = option.removeprefix("--").replace("-", "_")
        parser.addoption(option, action="store_true", dest=dest, help=argparse.SUPPRESS)


def pytest_configure(config: pytest.Config) -> None:
    """On a worker: programs that it starts (credential plugins) have the environment of the user."""
    if getattr(config, "workerinput", {}).get(_SET):
        os.environ.pop(_SAFE, None)


def is_rehearsal(config: pytest.Config) -> bool:
    """Whether this session only loads what others need."""
    return bool(getattr(config.option, "kspec_rehearsal", False))


@pytest.hookimpl(tryfirst=True)
def pytest_make_collect_report(collector: pytest.Collector) -> pytest.CollectReport | None:
    """The specifications, and no other file, are what the session holds."""
    if not isinstance(collector, pytest.Session):
        return None
    run = collector.config.stash[runs.KEY]
    files: list[pytest.Item | pytest.Collector] = [
        SpecFile.from_parent(collector, path=path, nodeid=run.name_of(path)) for path in run.specs
    ]
    return pytest.CollectReport(collector.nodeid, "passed", None, files)


class XdistHooks:
    """Registered on a controller. Python puts the folder where a worker starts first on its path, before xdist says
    which path it has: `execnet.py` there would run.
    """

    def __init__(self) -> None:
        self._set = False

    @pytest.hookimpl(optionalhook=True)
    def pytest_xdist_setupnodes(self) -> None:
        """Before the first worker starts."""
        self._set = _SAFE not in os.environ
        os.environ.setdefault(_SAFE, "1")

    @pytest.hookimpl(optionalhook=True)
    def pytest_configure_node(self, node: Any) -> None:
        """Say to a worker that this is not of the user's environment."""
        node.workerinput[_SET] = self._set

    def pytest_unconfigure(self) -> None:
        """After the last worker."""
        if self._set:
            os.environ.pop(_SAFE, None)


def import_checks(config: pytest.Config, path: Path, named: Path) -> ModuleType:
    """Import a module of checks, with assertions rewritten, and the conftest.py files of the folder that was named.

    Raises CheckError, also where this session must not load any.
    """
    if config.getoption("kspec_no_checks"):
        raise CheckError("this is code, and code must not run here.", where=str(path))
    rewrite_from_here(config)
    if path != named:
        _load_conftests(config, path, named)
    return import_file(path, named, lambda file: _rewrite_test(file, config)[1])


def rewrite_from_here(config: pytest.Config) -> None:
    """Also in modules that a conftest.py registers for it. Not from the start (`--assert=plain`): at each of some
    hundred imports the hook asks whether it is a test, and before, pytest reads which files installed plugins have.
    """
    manager = config.pluginmanager
    if isinstance(manager.rewrite_hook, DummyRewriteHook):
        manager.rewrite_hook = install_importhook(config)


def _load_conftests(config: pytest.Config, path: Path, named: Path) -> None:
    """Register what lies between the named folder and the module, outermost first, as pytest does for its arguments."""
    manager = config.pluginmanager
    *folders, _ = path.relative_to(named).parts
    found: list[ModuleType] = []
    for depth in range(len(folders) + 1):
        folder = named.joinpath(*folders[:depth])
        if (file := folder / _CONFTEST).is_file():
            module = import_file(file, named, lambda file: _rewrite_test(file, config)[1])
            if module not in manager._conftest_plugins:
                manager._conftest_plugins.add(module)
                manager.consider_conftest(module, registration_name=str(file.resolve()))
            found.append(module)
    manager._dirpath2confmods[path.resolve().parent] = found
