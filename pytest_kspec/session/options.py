"""Options of a run, from the command line or the ini file; validated before anything is collected."""

from __future__ import annotations

import difflib
import os
from pathlib import Path

import pytest
from msgspec import Struct, field

from pytest_kspec.errors import UsageError
from pytest_kspec.evaluate.timelimit import CHECK_TIMEOUT_S
from pytest_kspec.publish.sinks import Publication, read_publication
from pytest_kspec.results.baseline import Baseline, load_baseline
from pytest_kspec.results.verdict import Severity

LONGEST_TIMEOUT_S = 86_400


class Options(Struct, frozen=True):
    """What the user asked for. Paths of ini keys are relative to the ini file, options' to the folder.

    specs_given: the specifications come from the command line, not from the ini file
    run_by:      who runs it, as the user says; None where the environment is asked
    check_timeout_s: of setup, call and teardown of a check, each; 0 for no limit
    """

    specs: tuple[str, ...]
    specs_given: bool
    clusters: tuple[str, ...]
    kubeconfig: str | None
    checks: tuple[Path, ...]
    exemptions: tuple[str, ...]
    fail_on: Severity
    baseline: Baseline | None = None
    run_by: str | None = None
    check_timeout_s: float = 0.0
    publication: Publication = field(default_factory=Publication)
    allow_empty: bool = False


def read_options(config: pytest.Config) -> Options:
    """Raises UsageError naming the option."""
    return Options(
        specs=_paths(config, "kspec_spec"),
        specs_given=bool(config.getoption("kspec_spec")),
        clusters=_many(config, "kspec_cluster"),
        kubeconfig=_one(config, "kspec_kubeconfig"),
        checks=tuple(Path(p) for p in _paths(config, "kspec_checks")),
        exemptions=_paths(config, "kspec_exemptions"),
        fail_on=_level(_one(config, "kspec_fail_on") or "low"),
        baseline=_baseline(config),
        run_by=_said(config, "kspec_run_by"),
        check_timeout_s=_seconds(_one(config, "kspec_check_timeout")),
        publication=_publication(config),
        allow_empty=bool(config.getoption("kspec_allow_empty") or config.getini("kspec_allow_empty")),
    )


def _many(config: pytest.Config, name: str) -> tuple[str, ...]:
    return tuple(_sendable(one, name) for one in config.getoption(name) or config.getini(name))


def _sendable(text: str, name: str) -> str:
    """As xdist sends it to its workers, and reports hold it."""
    try:
        text.encode()
    except UnicodeEncodeError:
        raise UsageError(
            "this is not UTF-8 text.", where=f"--{name.replace('_', '-')} {text}", fix="Rename the file."
        ) from None
    return text


def _one(config: pytest.Config, name: str) -> str | None:
    return _sendable(config.getoption(name) or config.getini(name) or "", name) or None


def _said(config: pytest.Config, name: str) -> str | None:
    """Like `_one`, but an empty text on the command line is an answer."""
    given: str | None = config.getoption(name)
    return given if given is not None else config.getini(name) or None


def _paths(config: pytest.Config, name: str) -> tuple[str, ...]:
    given = config.getoption(name)
    if given:
        return tuple(_sendable(one, name) for one in given)
    base = config.inipath.parent if config.inipath else config.rootpath
    # As it would be given on the command line: reports of the same input name the same paths on every machine.
    return tuple(
        path if path.startswith("cr:") else os.path.relpath(base / path) for path in config.getini(name)
    )


def _publication(config: pytest.Config) -> Publication:
    """Read on the controller before anything runs; workers publish nothing."""
    if hasattr(config, "workerinput"):
        return Publication()
    return read_publication(
        _many(config, "kspec_report"),
        kubeconfig=_one(config, "kspec_kubeconfig"),
        store=_one(config, "kspec_store") or "",
        store_reports=_one(config, "kspec_store_reports") or "",
        alerts=_paths(config, "kspec_alert"),
    )


def _baseline(config: pytest.Config) -> Baseline | None:
    """Read by each worker too: what is known decides how an item ends."""
    given = config.getoption("kspec_baseline")
    path = given or config.getini("kspec_baseline")
    if not path:
        return None
    base = config.inipath.parent if config.inipath and not given else Path()
    return load_baseline(base / path)


def _seconds(text: str | None) -> float:
    try:
        seconds = CHECK_TIMEOUT_S if text is None else float(text)
    except ValueError:
        seconds = -1.0
    if not 0 <= seconds <= LONGEST_TIMEOUT_S:
        raise UsageError(
            f"'{text}' is not a number of seconds.",
            where="--kspec-check-timeout",
            fix=f"Give 0 (no limit) to {LONGEST_TIMEOUT_S}.",
        )
    return seconds


def _level(text: str) -> Severity:
    if text in list(Severity):
        return Severity(text)
    near = difflib.get_close_matches(text, list(Severity), n=1)
    hint = f"Did you mean '{near[0]}'?" if near else f"Allowed: {', '.join(Severity)}."
    raise UsageError(f"unknown level '{text}'.", where="--kspec-fail-on", fix=hint)
