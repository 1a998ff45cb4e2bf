"""The kinds that an operator looks after: the one list of them. Each has a module, and one maker here."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial

from pytest_kspec.enforce.engines import webhook
from pytest_kspec.operator import alerting, drifting, reconcile, targets
from pytest_kspec.operator.board import Board
from pytest_kspec.operator.controller import Controller, Given
from pytest_kspec.operator.drifthistory import DriftHistory
from pytest_kspec.operator.lease import Elector
from pytest_kspec.operator.reconcile import Settings


def controllers(settings: Settings, elector: Elector | None = None) -> list[Callable[[Given], Controller]]:
    """Makers of all controllers, for `service.Options`."""
    history = DriftHistory(settings.fleets.store)
    if elector is not None:
        history = DriftHistory(settings.fleets.store, lambda: elector.fencing_token, lambda: elector.leads)
    board = Board()
    return [
        partial(reconcile.controller, settings=settings, board=board, history=history),
        partial(alerting.controller, board=board, webhooks=webhook.service_of(settings.options)[0]),
        partial(targets.controller, board=board),
        partial(drifting.controller, settings=settings, board=board, history=history),
    ]
