"""Begins a compliance session: options, plan, and what is registered with pytest."""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path
from types import ModuleType

import pytest
from _pytest.pathlib import import_path

from pytest_kspec.cluster.sources.source import Source
from pytest_kspec.errors import CheckError, KspecError
from pytest_kspec.extend.places import CHECKS
from pytest_kspec.observe import tracing
from pytest_kspec.session import apart, clusterspecs
from pytest_kspec.session import run as runs
from pytest_kspec.session.hooks import SessionHooks
from pytest_kspec.session.options import Options, read_options
from pytest_kspec.shown import inert, printable
from pytest_kspec.spec.loading import is_template
from pytest_kspec.supervised import Lost, one_process


def start(config: pytest.Config) -> None:
    """Load specifications and checks, register the session. Raises pytest.UsageError with every problem."""
    resources: Path | None = None
    run: runs.Run | None = None
    try:
        options = read_options(config)
        resources = _resources(config, options)
        _rewrite_installed(config)
        run = runs.make_run(
            options,
            config.rootpath,
            lambda path, named: _import(config, path, named),
            resources,
            _opened(config),
        )
    except Lost as error:
        raise pytest.exit.Exception(inert(str(error)), returncode=pytest.ExitCode.INTERRUPTED) from error
    except KspecError as error:
        raise pytest.UsageError(inert(str(error))) from error
    finally:
        if run is None and resources is not None and not hasattr(config, "workerinput"):
            runs.remove_shared_folder(resources)
    config.stash[runs.KEY] = run
    from pytest_kspec.session import fixtures

    config.pluginmanager.register(fixtures, "kspec-fixtures")
    config.pluginmanager.register(SessionHooks(config, run), "kspec-session")
    from pytest_kspec.session.confined import Confined

    config.pluginmanager.register(Confined(config), "kspec-confined")
    if options.check_timeout_s and not config.getoption("usepdb", False):
        from pytest_kspec.session.timelimit import TimeLimitHooks

        config.pluginmanager.register(TimeLimitHooks(config, options.check_timeout_s), "kspec-timelimit")
    if config.pluginmanager.hasplugin("xdist"):
        from pytest_kspec.session.xdist import XdistHooks

        config.pluginmanager.register(XdistHooks(config, run), "kspec-xdist")
        if _is_apart(config):
            config.pluginmanager.register(apart.XdistHooks(), "kspec-apart-xdist")
    if config.getoption("xmlpath", None) and not hasattr(config, "workerinput"):
        from pytest_kspec.session.junitxml_plugin import JunitHooks

        config.pluginmanager.register(JunitHooks(config, run), "kspec-junitxml")
    if config.pluginmanager.hasplugin("html"):
        from pytest_kspec.session.html_plugin import HtmlHooks

        config.pluginmanager.register(HtmlHooks(), "kspec-pytest-html")
    if tracing.wanted(os.environ) and not apart.is_rehearsal(config):
        from pytest_kspec.session import traced

        traced.begin(config, run)
    _add_arguments(config, run)


def _rewrite_installed(config: pytest.Config) -> None:
    """Assertions in checks of installed packages say what they compared, as in other checks."""
    for entry in CHECKS.installed():
        if _is_apart(config):
            apart.rewrite_from_here(config)
        config.pluginmanager.rewrite_hook.mark_rewrite(entry.module)


def _opened(config: pytest.Config) -> Mapping[str, Source]:
    """What whoever started this session has opened for it."""
    given = (plugin for plugin in config.pluginmanager.get_plugins() if isinstance(plugin, runs.Opened))
    return next((one.sources for one in given), {})


def _resources(config: pytest.Config, options: Options) -> Path | None:
    """The folder with the specifications of a cluster: read now, or where the controller laid them."""
    names = [spec for spec in options.specs if clusterspecs.is_resource(spec)]
    if not names:
        return None
    if hasattr(config, "workerinput"):
        return Path(config.workerinput[clusterspecs.RESOURCES])
    return clusterspecs.fetch(names, options.clusters, options.kubeconfig)


def _add_arguments(config: pytest.Config, run: runs.Run) -> None:
    """Collect the specifications: instead of default folders, beside what the command line names.

    On workers too: xdist gives them the command line as it was written, not `config.args`.
    """
    if _is_apart(config):
        config.args = []  # `apart` collects them
        return
    for spec in run.specs.values():
        if is_template(spec.spec.path):
            fix = "Write a specification with policyTemplate, or use 'kspec scan'."
            raise pytest.UsageError(f"{spec.spec.path}: pytest collects files only. {fix}")
    paths = [str(path) for path in run.specs]
    for path in run.specs:
        if "[" in path.name or "::" in str(path):  # which end the name of a file in an argument of pytest
            raise pytest.UsageError(
                f"{printable(str(path))}: pytest collects no file of this name. Rename it."
            )
    named = config.args_source is config.ArgsSource.ARGS
    if not named:
        config.args = paths if run.options.specs_given else [*config.args, *paths]
    elif run.options.specs_given:
        asked = {(config.invocation_params.dir / arg.partition("::")[0]).resolve() for arg in config.args}
        config.args = [*config.args, *(path for path in paths if Path(path) not in asked)]


def _is_apart(config: pytest.Config) -> bool:
    return bool(config.pluginmanager.hasplugin(apart.NAME))


def _import(config: pytest.Config, path: Path, named: Path) -> ModuleType:
    """Import a module of checks as pytest does, with assertions rewritten and its conftest files loaded."""
    if _is_apart(config):
        return apart.import_checks(config, path, named)
    manager = config.pluginmanager
    resolved = path.resolve()
    namespaces = config.getini("consider_namespace_packages")
    try:
        with one_process():
            manager._loadconftestmodules(
                resolved, "importlib", config.rootpath, consider_namespace_packages=namespaces
            )
            hook = manager.rewrite_hook
            if hasattr(hook, "mark_rewrite"):
                hook.mark_rewrite(resolved.stem)
            return import_path(
                resolved, mode="importlib", root=config.rootpath, consider_namespace_packages=namespaces
            )
    except (KspecError, KeyboardInterrupt):
        raise
    except BaseException as error:  # also what pytest.skip, pytest.importorskip and pytest.exit raise
        raise CheckError(f"cannot be imported: {type(error).__name__}: {error}", where=str(path)) from error
