"""From a notification to its receiver. Each receiver has a thread of its own: a slow one delays nothing."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterable
from dataclasses import dataclass

from pytest_kspec.alerts.guard import Guard
from pytest_kspec.alerts.http import NotDelivered, Patience
from pytest_kspec.alerts.ledger import Notification
from pytest_kspec.alerts.routing import Plan, Route
from pytest_kspec.alerts.secrets import Secrets
from pytest_kspec.alerts.sending import AlertSending, address
from pytest_kspec.errors import KspecError, SourceError
from pytest_kspec.extend.places import NOTIFIERS


@dataclass(frozen=True)
class Delivered:
    """What became of one message. problem: why it was not delivered, or ""; again_s: when the receiver wants more."""

    made: Notification
    problem: str = ""
    again_s: float | None = None


def deliver(made: Notification, plan: Plan, secrets: Secrets, guard: Guard, patience: Patience) -> None:
    """Send one message. Raises KspecError, without secrets."""
    route = next(one for one in plan.receivers if one.name == made.receiver)
    where = f"the notifier {route.name}"
    sending = AlertSending(made, route.receiver, plan.default, secrets, guard, patience, where)
    entry, send = NOTIFIERS.found(route.kind)
    try:
        send(sending)
    except KspecError:
        raise
    except Exception as error:
        if not entry.package:
            raise
        # The text of the error may hold what the notifier was given.
        what = f"its type {entry.name!r}, of the package {entry.package}, failed with {type(error).__name__}."
        raise SourceError(what, where=where) from error


def deliver_all(
    notifications: Iterable[Notification],
    plan: Plan,
    secrets: Secrets,
    guard: Guard,
    *,
    within_s: float,
    on_delivered: Callable[[Delivered], None],
) -> list[Delivered]:
    """Send all, receivers beside each other, for at most so long. What is not done then is a problem of its own.

    on_delivered: called in the thread of the receiver as soon as something was sent
    """
    deadline = time.monotonic() + within_s
    lanes: dict[str, list[Notification]] = {}
    for made in notifications:
        lanes.setdefault(made.receiver, []).append(made)
    done: list[Delivered] = []
    lock = threading.Lock()
    closed = False

    def finish(result: Delivered) -> None:
        with lock:
            if closed:
                return
            done.append(result)
            if not result.problem:
                on_delivered(result)

    def run(route: Route, lane: list[Notification]) -> None:
        for made in lane:
            finish(attempt(made, plan, secrets, guard, route, deadline))

    threads = [
        threading.Thread(target=run, args=(route, lanes[route.name]), daemon=True, name=f"kspec-{route.name}")
        for route in plan.receivers
        if route.name in lanes
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(max(0.0, deadline - time.monotonic()) + 0.5)
    with lock:
        closed = True
        sent = {(one.made.receiver, one.made.key) for one in done}
        for lane in lanes.values():
            for made in lane:
                if (made.receiver, made.key) not in sent:
                    what = f"the notifier {made.receiver}: it did not answer within {within_s:g} s."
                    done.append(Delivered(made, what))
    return done


def attempt(
    made: Notification, plan: Plan, secrets: Secrets, guard: Guard, route: Route, deadline: float
) -> Delivered:
    """One message with its retries. Raises nothing that concerns it alone."""
    receiver = route.receiver
    patience = Patience(receiver.retry_attempts, float(receiver.timeout_seconds), deadline)
    try:
        deliver(made, plan, secrets, guard, patience)
    except NotDelivered as error:
        return Delivered(made, str(error), error.again_s)
    except KspecError as error:
        return Delivered(made, str(error))
    return Delivered(made)


def check_secrets(plan: Plan, secrets: Secrets) -> None:
    """Read what each receiver refers to, as at the start of a run. Raises SourceError that names the receiver."""
    for route in plan.receivers:
        for field, default in (
            ("webhook_url_secret_ref", "url"),
            ("url_secret_ref", "url"),
            ("routing_key_secret_ref", "routingKey"),
            ("password_secret_ref", "password"),
            ("secret_ref", "token"),
        ):
            ref = getattr(route.receiver, field, None)
            if ref is not None:
                value = secrets.read(ref, default)
                if default == "url":
                    address(value, f"the notifier {route.name}")
        ref = getattr(route.receiver, "headers_secret_ref", None)
        if ref is not None:
            secrets.read_all(ref)
