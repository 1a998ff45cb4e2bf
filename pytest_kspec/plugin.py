"""pytest entry point, loaded in every pytest run: standard library and pytest only, idle without an option.

With `--kspec-spec` (or the ini key) it registers `pytest_kspec.session.hooks`, which holds everything else.
"""

from __future__ import annotations

import os
from collections.abc import Generator

import pytest

OPTIONS = (
    (
        "spec",
        "PATH",
        "append",
        "specification to check: a file, folder or glob, or cr:NAME for a ClusterSpecification object; may be repeated",
    ),
    (
        "cluster",
        "REF",
        "append",
        'cluster to check: kubeconfig context, path of a snapshot or of manifests, "in-cluster", or "all" '
        "(every context); may be repeated. Default: the specification's clusterRef, else the current context",
    ),
    ("kubeconfig", "PATH", None, "kubeconfig file. Default: $KUBECONFIG, else ~/.kube/config"),
    ("checks", "PATH", "append", "file or folder of your own checks; may be repeated"),
    ("exemptions", "PATH", "append", "file with more exemptions; may be repeated"),
    (
        "fail-on",
        "LEVEL",
        None,
        "low (default), medium, high or critical: findings below this severity do not fail the run",
    ),
    (
        "check-timeout",
        "SECONDS",
        None,
        "time limit of each check; a check that exceeds it is an error, and "
        "the other checks continue. Default: 900; 0: none",
    ),
    (
        "allow-empty",
        "",
        "store_true",
        "a cluster or folder in which a specification finds nothing to evaluate does not fail the run",
    ),
    (
        "baseline",
        "FILE",
        None,
        "file of known findings: they are shown, and only new findings fail "
        "(kspec report --update-baseline FILE writes it)",
    ),
    (
        "report",
        "FORMAT:PATH",
        "append",
        "write a report: csv, html, intoto, json, junit, markdown, oscal, pdf, pdf-full or sarif; or into each "
        "cluster: cr, cr:NAMESPACE or policyreport; may be repeated",
    ),
    (
        "store",
        "URL",
        None,
        "add the results to a store: FILE.db (SQLite) or postgresql://USER@HOST/DATABASE (see kspec history)",
    ),
    ("store-reports", "PLACE", None, "keep the full reports too: a folder, or s3://BUCKET/PREFIX"),
    (
        "alert",
        "FILE",
        "append",
        "send what changed since the last run in the store to the receivers of this AlertConfig; may be repeated",
    ),
    (
        "run-by",
        "TEXT",
        None,
        'user to name in reports ("" for none). Default: $KSPEC_RUN_BY, else the URL of the CI '
        "job, else user@host",
    ),
)


def pytest_addoption(parser: pytest.Parser) -> None:
    """Every option is an ini key too: --kspec-fail-on is kspec_fail_on."""
    group = parser.getgroup("kspec", "Kubernetes compliance (pytest-kspec)")
    for name, metavar, action, text in OPTIONS:
        dest = f"kspec_{name.replace('-', '_')}"
        if action == "store_true":
            group.addoption(f"--kspec-{name}", action=action, dest=dest, default=False, help=text)
            parser.addini(dest, text, type="bool", default=False)
        elif action:
            group.addoption(
                f"--kspec-{name}", action=action, dest=dest, metavar=metavar, default=[], help=text
            )
            parser.addini(dest, text, type="args", default=[])
        else:
            group.addoption(f"--kspec-{name}", dest=dest, metavar=metavar, default=None, help=text)
            parser.addini(dest, text, default="")


def pytest_addhooks(pluginmanager: pytest.PytestPluginManager) -> None:
    """Our own hooks."""
    from pytest_kspec.extend import hookspecs

    pluginmanager.add_hookspecs(hookspecs)


def pytest_configure(config: pytest.Config) -> None:
    """Start the compliance session when a specification is given."""
    config.addinivalue_line(
        "markers", "kspec(id, severity, area): set on every compliance item; select with -m kspec"
    )
    if config.getoption("kspec_spec") or config.getini("kspec_spec"):
        from pytest_kspec import starting

        starting.begin()
        config.add_cleanup(starting.end)
        from pytest_kspec.session import start

        start.start(config)


@pytest.hookimpl(wrapper=True)
def pytest_collection(session: pytest.Session) -> Generator[None, object, object]:
    """A specification that is named as tests are: say how it is named."""
    try:
        return (yield)
    except pytest.UsageError as error:
        named = [one for one in session.config.args if _says_specification(one)]
        if not named:
            raise
        import shlex

        how = "Specifications are named with an option: pytest " + " ".join(
            f"--kspec-spec {shlex.quote(one)}" for one in named
        )
        raise pytest.UsageError(*error.args, how) from error


def _says_specification(name: str) -> bool:
    """Whether it is a YAML file with the kind's name in it; valid or not."""
    if not name.endswith((".yaml", ".yml")) or not os.path.isfile(name):
        return False
    try:
        with open(name, "rb") as file:
            return b"ClusterSpecification" in file.read(1 << 20)
    except OSError:
        return False
