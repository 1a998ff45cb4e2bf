"""The sink `alert`: what changed since the last run, to the receivers of a configuration. The store knows the last run.

Alerts are written down before anything is sent, and what a receiver was told once it was: a run that ends between the
two leads to one repetition, under the same key.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Sequence
from contextlib import closing
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING

from pytest_kspec.alerts.alert import read_facts
from pytest_kspec.alerts.configfile import load_config
from pytest_kspec.alerts.deliver import Delivered, check_secrets, deliver_all
from pytest_kspec.alerts.guard import guard_of_environment
from pytest_kspec.alerts.ledger import KEPT, Ledger, Told, stamp
from pytest_kspec.alerts.observe import UNREACHABLE, Observation, observe
from pytest_kspec.alerts.secrets import Referenced
from pytest_kspec.cluster.sources.origin import origin_of
from pytest_kspec.errors import UsageError
from pytest_kspec.publish.sinks import Published
from pytest_kspec.reports.writer import ReportFile
from pytest_kspec.results.result import ClusterResult, ScanResult
from pytest_kspec.secretstores.stores import Secrets as Stores
from pytest_kspec.shown import printable

if TYPE_CHECKING:
    from pytest_kspec.storage.alerts import StoredAlerts
    from pytest_kspec.storage.engine import Store

WITHIN_S = 60.0
"""How long the end of a run may wait for all receivers."""


class Alerts:
    """address: a file with an AlertConfig; store: where the last run is known."""

    def __init__(
        self, address: str | None, *, kubeconfig: str | None = None, where: str = "", store: str = ""
    ) -> None:
        """Raises UsageError, SpecError for what cannot be sent. Connects to nothing."""
        if not address:
            raise UsageError("no file with an AlertConfig is named.", where=where)
        if not store:
            raise UsageError(
                "alerts need a store, which knows what the last run found.",
                where=where,
                fix="Give --kspec-store too." if "--kspec-" in where else "Give --store too.",
            )
        self._store, self._option, self._path = store, where, address
        self._plan = load_config(address)
        self._guard = guard_of_environment(loopback=True)
        self._secrets = Referenced(Stores())
        check_secrets(self._plan, self._secrets)

    @property
    def config(self) -> str:
        """The name of the configuration, by which the store knows what its receivers were told."""
        return self._plan.name

    def publish(self, result: ScanResult, files: Sequence[ReportFile]) -> Published:
        """Send what changed. What one receiver does not take is a problem; the others are sent theirs."""
        from pytest_kspec.storage import alerts as stored
        from pytest_kspec.storage.engine import open_store

        made = Published()
        with closing(open_store(self._store, option=self._option)) as store:
            stored.claim(store, self._plan.name, origin_of(self._path), _digest(self._path))
            with store.together():  # a connection for each question would take longer than the questions
                before = stored.load(store)
                ledger = self._ledger(store, before)
                _take(store, ledger, result, made)
            stored.save(store, _changed(ledger, before.alerts))
            now = datetime.now(UTC)
            _say(made, self._send(store, ledger, now), ledger)
            self._forget(store, ledger, before, now)
        return made

    def _ledger(self, store: Store, before: StoredAlerts) -> Ledger:
        """What is known of alerts, and what was told to the receivers of this configuration."""
        told = {
            (receiver, group): Told(at, tokens)
            for (config, receiver, group), (at, tokens) in before.told.items()
            if config == self._plan.name
        }
        return Ledger(read_facts(before.alerts.values(), store.address.shown), told)

    def _send(self, store: Store, ledger: Ledger, now: datetime) -> Sequence[Delivered]:
        """What is due; each that was taken is stored at once."""
        from pytest_kspec.storage import alerts as stored

        def delivered(one: Delivered) -> None:
            ledger.sent(one.made)
            name = (one.made.receiver, one.made.key)
            stored.save_told(store, self._plan.name, {name: _told(ledger, name)})

        return deliver_all(
            ledger.due(self._plan, now, at_once=True),
            self._plan,
            self._secrets,
            self._guard,
            within_s=WITHIN_S,
            on_delivered=delivered,
        )

    def _forget(self, store: Store, ledger: Ledger, before: StoredAlerts, now: datetime) -> None:
        """What ended long ago, unless another configuration has told it and not yet its end."""
        from pytest_kspec.storage import alerts as stored

        told = set(ledger.told)
        others = (
            key
            for (config, _, _), (_, tokens) in before.told.items()
            for key in tokens
            if config != self._plan.name
        )
        ledger.forget(now, others, keep=KEPT)
        stored.save(store, {}, set(before.alerts) - set(ledger.facts))
        still = {name: _told(ledger, name) for name in ledger.told}
        stored.save_told(store, self._plan.name, still, told - set(ledger.told))


def _take(store: Store, ledger: Ledger, result: ScanResult, made: Published) -> None:
    """Put what each cluster shows into the ledger, and say of which nothing is sent."""
    from pytest_kspec.storage import alerts as stored

    finished = _utc(result.finished_at)
    for cluster in _once(result.clusters):
        name = printable(cluster.name)
        if stored.is_other(store, cluster):  # which the store has refused: it ends no alert of others
            made.problems.append(f"alerts: the results of {name} are not stored, so no alert is sent")
            continue
        if stored.newest(store, cluster.id, cluster.spec_name) > finished:
            made.done.append(f"alerts: {name}: a newer result is stored; nothing is sent")
            continue
        seen = observe(cluster, finished)
        if any(alert.event == UNREACHABLE for alert in seen.active):
            seen = _known_as(seen, stored.known_as(store, cluster.name))
        ledger.take(seen)


def _once(clusters: Iterable[ClusterResult]) -> Iterable[ClusterResult]:
    """Each specification on each cluster once, as the store has them."""
    found: dict[tuple[str, str], ClusterResult] = {}
    for cluster in clusters:
        found.setdefault((cluster.id, cluster.spec_name), cluster)
    return found.values()


def _digest(path: str) -> str:
    """What a file that was moved is known by."""
    return hashlib.sha256(Path(path).read_bytes()).hexdigest()[:12] if Path(path).is_file() else ""


def _known_as(seen: Observation, identity: str) -> Observation:
    """What was seen of a cluster that does not answer, which had this identity ("": none) when it did."""
    if not identity:
        return seen
    alerts = (
        replace(alert, cluster_id=identity, labels={**alert.labels, "cluster_uid": identity})
        for alert in seen.active
    )
    return replace(seen, cluster_id=identity, active=tuple(alerts))


def _changed(ledger: Ledger, before: object) -> dict[str, dict[str, object]]:
    now = {key: fact.to_wire() for key, fact in ledger.facts.items()}
    assert isinstance(before, dict)
    return {key: data for key, data in now.items() if before.get(key) != data}


def _told(ledger: Ledger, name: tuple[str, str]) -> tuple[str, dict[str, str]]:
    told = ledger.told[name]
    return told.at, told.alerts


def _say(made: Published, sent: Sequence[Delivered], ledger: Ledger) -> None:
    for one in sent:
        if one.problem:
            made.problems.append(f"alerts: {one.problem}")
            continue
        counts = f"{len(one.made.firing)} active, {len(one.made.resolved)} resolved"
        left = f"; {one.made.left} are sent with the next run" if one.made.left else ""
        made.done.append(f"alerts: sent to {printable(one.made.receiver)}: {counts}{left}")
    if ledger.dropped:
        made.problems.append(f"alerts: {ledger.dropped} of the least urgent did not fit and are left out")
    if not sent:
        made.done.append("alerts: nothing changed since the last run")


def _utc(text: str) -> str:
    """RFC 3339 in UTC to the second, as the store has it."""
    moment = datetime.fromisoformat(text)
    return stamp((moment if moment.tzinfo else moment.replace(tzinfo=UTC)).astimezone(UTC))
