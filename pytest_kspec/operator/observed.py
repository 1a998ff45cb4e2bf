"""What the operator sees beside results of scans, as observations: ClusterTargets, corrections of drift, webhooks.

Each is made of what stands in the cluster now, so that the next leader comes to the same alerts.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping
from datetime import datetime

from pytest_kspec.alerts.alert import MOST_MEMBERS, Alert, Level
from pytest_kspec.alerts.ledger import stamp
from pytest_kspec.alerts.observe import Observation
from pytest_kspec.enforce.engines.webhook_state import State
from pytest_kspec.fleet.targets.credentials import Life, as_time
from pytest_kspec.reports.shared.text import plural

TARGET = frozenset(("CredentialExpiring",))
CORRECTIONS = frozenset(("RemediationPerformed",))
WEBHOOKS = frozenset(("CircuitBreakerTripped", "PolicyViolation"))

DAY_S = 86400.0
EXPIRING_S = 7 * DAY_S
"""Credentials are named when they have a week left."""

SHARE = 0.1
"""Credentials that live for less than ten weeks are named in the last tenth of their life: they are renewed at 80 %."""

_SHOWN = 5


def expires_soon(life: Life, now: datetime) -> Level | None:
    """How urgent it is that credentials end; None: it is not. Those that have ended are critical."""
    if life.expires is None:
        return None
    left = life.expires - now.timestamp()
    if life.seconds is not None and left > SHARE * life.seconds:
        return None
    if left <= DAY_S:
        return Level.CRITICAL
    return Level.WARNING if left <= EXPIRING_S else None


def of_target(namespace: str, name: str, life: Life, now: datetime, uid: str = "") -> Observation:
    """A ClusterTarget: whether its credentials end soon. uid: of its cluster, "" where it is not known."""
    alerts = []
    level = expires_soon(life, now)
    if level is not None and life.expires is not None:
        end = as_time(life.expires)
        has_ended = life.expires <= now.timestamp()
        members = ["soon", *(["within a day"] if level is Level.CRITICAL else []), *(["ended"] * has_ended)]
        alerts.append(
            Alert(
                "CredentialExpiring",
                level,
                name,
                target_id(namespace, name),
                "",
                f"{namespace}/{name}",
                f"The credentials for {name} {'expired' if has_ended else 'expire'} at {end}",
                "The cluster cannot be scanned without them. Renew the credentials to which the ClusterTarget refers; "
                "the operator reads them again.",
                {"cluster": name, "namespace": namespace, **({"cluster_uid": uid} if uid else {})},
                {"expires_at": end},
                frozenset(members),
                len(members),
            )
        )
    return Observation(name, target_id(namespace, name), "", stamp(now), tuple(alerts), judges=TARGET)


def no_target(namespace: str, name: str, now: datetime) -> Observation:
    """A ClusterTarget that is gone, or is not contacted any more."""
    return Observation(name, target_id(namespace, name), "", stamp(now), (), judges=TARGET)


def target_id(namespace: str, name: str) -> str:
    """By which alerts of a ClusterTarget are known: two of them may lead to one cluster, each with its credentials."""
    return f"target:{namespace}/{name}"


def of_corrections(
    cluster: str, cluster_id: str, spec: str, recent: Mapping[str, int], now: datetime
) -> Observation:
    """Policies of a specification that were corrected within the last hour. recent: object → how often."""
    alerts = []
    if recent:
        count = sum(recent.values())
        members = frozenset(
            f"{name} {number + 1}" for name, times in recent.items() for number in range(times)
        )
        alerts.append(
            Alert(
                "RemediationPerformed",
                Level.INFO,
                cluster,
                cluster_id,
                spec,
                "",
                f"{plural(count, 'correction')} of policies of {spec} on {cluster} within an hour",
                _listed(f"{name} was corrected {_times(times)}" for name, times in sorted(recent.items())),
                {"cluster": cluster, "cluster_uid": cluster_id, "spec": spec},
                {"event_count": count},
                frozenset(sorted(members)[:MOST_MEMBERS]),
                count,
            )
        )
    return Observation(cluster, cluster_id, spec, stamp(now), tuple(alerts), judges=CORRECTIONS)


def of_webhooks(cluster: str, uid: str, states: Mapping[str, State], now: datetime) -> Observation:
    """What replicas of the webhook say: an open circuit breaker, and what was denied within the last hour."""
    labels = {"cluster": cluster, "cluster_uid": uid}
    alerts = []
    if tripped := {replica: state for replica, state in states.items() if state.tripped}:
        lines = [
            f"{name}: {state.error_rate:.0%} of the evaluations failed" for name, state in tripped.items()
        ]
        alerts.append(
            Alert(
                "CircuitBreakerTripped",
                Level.CRITICAL,
                cluster,
                uid,
                "",
                "webhook",
                f"The circuit breaker of the webhook on {cluster} is open",
                "Requests are not evaluated: the failure policy of each specification decides.\n"
                + _listed(lines),
                labels,
                {"replicas": len(tripped)},
                frozenset(tripped),
                len(tripped),
            )
        )
    denied: dict[str, Counter[str]] = {}
    for state in states.values():
        for policy, checks in state.denied.items():
            denied.setdefault(policy, Counter()).update(checks)
    for policy, counts in sorted(denied.items()):
        alerts.append(
            Alert(
                "PolicyViolation",
                Level.WARNING,
                cluster,
                uid,
                "",
                policy,
                f"{policy} denied requests on {cluster} within an hour",
                _listed(f"{check}: {_times(count)}" for check, count in counts.most_common()),
                {**labels, "spec": policy},
                {"event_count": max(counts.values(), default=0)},
                frozenset(sorted(counts)[:MOST_MEMBERS]),
                len(counts),
            )
        )
    return Observation(cluster, uid, "", stamp(now), tuple(alerts), judges=WEBHOOKS)


def _times(count: int) -> str:
    return "once" if count == 1 else f"{count} times"


def _listed(lines: Iterable[str]) -> str:
    found = list(lines)
    more = [f"and {len(found) - _SHOWN} more"] if len(found) > _SHOWN else []
    return "\n".join([*found[:_SHOWN], *more])
