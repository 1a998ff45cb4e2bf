"""Routes and inhibitions mean what they mean in Alertmanager: amtool and a real Alertmanager decide the same cases."""

from __future__ import annotations

import json
import re
import shutil
import subprocess
import urllib.request
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st

from pytest_kspec.alerts.alert import Alert, Fact, Level
from pytest_kspec.alerts.ledger import stamp
from pytest_kspec.alerts.routing import labels_of
from tests.alerts.conftest import NOW, plan
from tests.alerts.test_real import alertmanager_at
from tests.effort import with_fixtures

HOOKS = [{"name": name, "url": "https://x.example"} for name in "abc"]
LEVELS = [level.value for level in Level]
VALUES = {"cluster": ("prod-eu", "prod-us", "dev"), "check": ("pods", "images"), "spec": ("s", "t")}
PATTERNS = {
    "cluster": ("prod-eu", "prod-*", "*-eu", "*", "p*d-*u"),
    "check": ("pods", "*s", "*"),
    "spec": ("s", "*"),
    "event_type": ("ComplianceFailure", "Drift*"),
    "severity": ("critical", "*"),
    "team": ("*",),
}
Object = dict[str, Any]

sides = st.fixed_dictionaries({}, optional={name: st.sampled_from(of) for name, of in PATTERNS.items()})
routes = st.builds(
    lambda match, severities, notifiers, goes_on: {
        "match": match,
        "severities": sorted(severities),
        "notifiers": sorted(notifiers),
        "continue": goes_on,
    },
    sides,
    st.sets(st.sampled_from(LEVELS), max_size=2),
    st.sets(st.sampled_from("abc"), min_size=1, max_size=2),
    st.booleans(),
)
labels = st.fixed_dictionaries({}, optional={name: st.sampled_from(of) for name, of in VALUES.items()})
facts = st.builds(
    lambda named, event, level, number: Fact(
        Alert(event, Level(level), "c", f"uid-{number}", "s", str(number), "t", "d", named), stamp(NOW)
    ),
    labels,
    st.sampled_from(("ComplianceFailure", "DriftDetected")),
    st.sampled_from(LEVELS),
    st.integers(0, 10**6),
)


def tool(name: str) -> str:
    found = shutil.which(name)
    assert found, f"{name} is not installed: apt-get install prometheus-alertmanager"
    return found


def matchers(match: dict[str, str]) -> list[str]:
    """Of patterns; a label that is not there has no value in Alertmanager, and matches none of ours."""
    found = []
    for name, pattern in match.items():
        expression = ".*".join(map(re.escape, pattern.split("*"))).replace("\\", "\\\\")
        found += [f'{name}=~"{expression}"', f'{name}!=""']
    return found


def routed(given: list[Object]) -> str:
    """The same routes for Alertmanager; what no route matches goes to `nobody`."""
    names = {"-".join(route["notifiers"]) for route in given}
    children = []
    for route in given:
        severities = [f'severity=~"{"|".join(route["severities"])}"'] if route["severities"] else []
        children.append(
            {
                "receiver": "-".join(route["notifiers"]),
                "matchers": [*matchers(route["match"]), *severities],
                "continue": route["continue"],
            }
        )
    document = {
        "route": {"receiver": "nobody", "routes": children},
        "receivers": [{"name": name} for name in ("nobody", *sorted(names))],
    }
    return yaml.safe_dump(document)


@with_fixtures(40)
@given(st.lists(routes, min_size=1, max_size=5), facts)
def test_a_route_leads_where_amtool_says(
    tmp_path_factory: pytest.TempPathFactory, given: list[Object], fact: Fact
) -> None:
    to = plan(webhooks=HOOKS, routes=given)
    ours = {route.name for route in to.receivers if route.wants(fact)}
    path = tmp_path_factory.getbasetemp() / "routes.yml"
    path.write_text(routed(given))
    words = [f"{name}={value}" for name, value in labels_of(fact, to.default).items()]
    done = subprocess.run(
        [tool("amtool"), "config", "routes", "test", f"--config.file={path}", *words],
        capture_output=True,
        text=True,
        timeout=60,
        check=True,
    )
    theirs = {name for receiver in done.stdout.strip().split(",") for name in receiver.split("-")}
    assert ours == theirs - {"nobody"}


rules = st.builds(
    lambda source, target, equal: {"source": source, "target": target, "equal": sorted(equal)},
    sides.filter(bool),
    sides.filter(bool),
    st.sets(st.sampled_from(("cluster", "check", "spec"))),
)


class Inhibiting:
    """A real Alertmanager that is given other rules for each case."""

    def __init__(self, folder: Path, url: str) -> None:
        self._path, self._url, self._case = folder / "am.yml", url, 0

    def silenced(self, given: list[Object], alerts: dict[str, dict[str, str]]) -> set[str]:
        """Names of the alerts that are inhibited by others of this case, by their labels."""
        self._case += 1
        case = {"case": str(self._case)}
        document = {
            "route": {"receiver": "none"},
            "receivers": [{"name": "none"}],
            "inhibit_rules": [
                {
                    "source_matchers": matchers(one["source"]),
                    "target_matchers": matchers(one["target"]),
                    "equal": [*one["equal"], "case"],
                }
                for one in given
            ],
        }
        self._path.write_text(yaml.safe_dump(document))
        self._ask("/-/reload", b"")
        ends = datetime.now(UTC) + timedelta(minutes=5)
        body = [
            {"labels": {"alertname": name, **of, **case}, "endsAt": ends.isoformat()}
            for name, of in alerts.items()
        ]
        self._ask("/api/v2/alerts", json.dumps(body).encode())
        found = json.loads(self._ask(f"/api/v2/alerts?filter=case%3D%22{self._case}%22"))
        assert {one["labels"]["alertname"] for one in found} == alerts.keys()
        return {one["labels"]["alertname"] for one in found if one["status"]["inhibitedBy"]}

    def _ask(self, path: str, body: bytes | None = None) -> bytes:
        request = urllib.request.Request(
            self._url + path, body, {"Content-Type": "application/json"} if body is not None else {}
        )
        with urllib.request.urlopen(request, timeout=20) as answer:
            return bytes(answer.read())


@pytest.fixture(scope="module")
def inhibiting(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Inhibiting]:
    folder = tmp_path_factory.mktemp("inhibiting")
    with alertmanager_at(folder) as url:
        yield Inhibiting(folder, url)


@with_fixtures(60)
@given(st.lists(rules, min_size=1, max_size=3), st.lists(facts, min_size=2, max_size=5))
def test_what_is_silenced_is_what_alertmanager_silences(
    inhibiting: Inhibiting, given: list[Object], found: list[Fact]
) -> None:
    to = plan(webhooks=HOOKS, inhibit=given)
    # Without the rules that every configuration has.
    own = type(to)(**{**vars(to), "inhibitions": to.inhibitions[-len(given) :]})
    by_id = {fact.alert.id: fact for fact in found}
    theirs = inhibiting.silenced(given, {key: labels_of(fact, to.default) for key, fact in by_id.items()})
    assert own.silenced(list(by_id.values())) == theirs
