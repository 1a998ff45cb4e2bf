"""Class names in pytest's own JUnit XML (`--junitxml`): the specification, a dot, the cluster.

pytest makes them of the node id. Jenkins takes what follows the last dot for the class and the rest for its package, so
that the clusters `a.example.com` and `b.example.com` would be two packages that hold a class `com` each.
"""

from __future__ import annotations

from typing import Any

import pytest
from _pytest.junitxml import xml_key

from pytest_kspec.reports.shared.titles import undotted, unique
from pytest_kspec.session import run as runs


class JunitHooks:
    """Registered where `--junitxml` is given, on the process that writes the file."""

    def __init__(self, config: pytest.Config, run: runs.Run) -> None:
        self._config = config
        self._run = run
        self._names: dict[int, dict[str, str]] = {}

    @pytest.hookimpl(tryfirst=True)  # a case that is finished takes no attributes any more
    def pytest_runtest_logreport(self, report: Any) -> None:
        """Name the case of a requirement."""
        xml = self._config.stash.get(xml_key, None)
        found = self._run.resolve(report.nodeid) if xml is not None else None
        if xml is None or found is None:
            return
        spec, target, requirement = found
        names = self._names.get(id(spec))
        if names is None:
            given = [known.name for known in spec.targets]
            undotted_names = unique(map(undotted, given))
            names = self._names[id(spec)] = dict(zip(given, undotted_names, strict=True))
        file = report.nodeid.partition("::")[0].replace("/", ".")
        case = xml.node_reporter(report)
        case.add_attribute("classname", f"{file}.{names[target.name]}")
        case.add_attribute("name", requirement)
