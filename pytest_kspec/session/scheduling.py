"""The schedulers of pytest-xdist that group items, for workers that die: each death costs the item that ran, no more.

xdist 3.8 queues a dead worker's groups again as they were: the item that killed it runs again, and a group that was
done already keeps the next worker waiting for ever for items that never come. This corrects the queues that the classes
document (`workqueue`, `assigned_work`, `registered_collections`); how work is grouped stays theirs.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import pytest
from xdist.scheduler import LoadFileScheduling, LoadGroupScheduling, LoadScopeScheduling

if TYPE_CHECKING:
    from xdist.remote import Producer
    from xdist.workermanage import WorkerController

ENOUGH = 2
"""Items a worker needs: it runs one only when it knows the next."""


class _Surviving(LoadScopeScheduling):
    def remove_node(self, node: WorkerController) -> str | None:
        """Take back what a worker has not finished. Returns the item that it died in; that one is not run again."""
        crashed: str | None = None
        for scope, unit in self.assigned_work.pop(node).items():
            pending = [nodeid for nodeid, completed in unit.items() if not completed]
            if crashed is None and pending:
                crashed = pending.pop(0)
            if pending:
                self.workqueue.setdefault(scope, {}).update(dict.fromkeys(pending, False))
        if self.collection is None:
            # Nothing is distributed yet: who has collected waits for the one that replaces it.
            self.registered_collections.pop(node, None)
            return None
        for other in self.nodes:
            self._reschedule(other)
        return crashed

    def unfinished(self, node: WorkerController) -> bool:
        """Whether a worker has more to run."""
        return self._pending_of(self.assigned_work.get(node, {})) > 0

    def add_node_collection(self, node: WorkerController, collection: Sequence[str]) -> None:
        """Note what a worker collected. One that replaces another and collects something else gets no work."""
        if node not in self.assigned_work:
            return  # when it was ready, nothing was left, and it was told to end; work came back since
        super().add_node_collection(node, collection)
        if node not in self.registered_collections:
            self.config.hook.pytest_collectreport(
                report=pytest.CollectReport(
                    nodeid=node.gateway.id,
                    outcome="failed",
                    longrepr=f"worker {node.gateway.id} collected different items than the other workers",
                    result=[],
                )
            )
            node.shutdown()

    def _reschedule(self, node: WorkerController) -> None:
        """Give a worker groups until it has enough to go on, or nothing is left."""
        if node.shutting_down or node not in self.registered_collections:
            return
        while self.workqueue and self._pending_of(self.assigned_work[node]) <= ENOUGH:
            self._assign_work_unit(node)
        if not self.workqueue and self._pending_of(self.assigned_work[node]) < ENOUGH:
            node.shutdown()  # it runs its last item


class _ByScope(_Surviving):
    pass


class _ByFile(_Surviving, LoadFileScheduling):
    pass


class _ByGroup(_Surviving, LoadGroupScheduling):
    pass


_SCHEDULERS = {"loadscope": _ByScope, "loadfile": _ByFile, "loadgroup": _ByGroup}


def make_scheduler(config: pytest.Config, log: Producer) -> LoadScopeScheduling | None:
    """The scheduler of this `--dist`; None where xdist's own loses nothing."""
    made = _SCHEDULERS.get(config.getvalue("dist"))
    return made(config, log) if made is not None else None
