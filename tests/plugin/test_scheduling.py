"""xdist's controller itself with our schedulers, and workers that die at any moment, events in any order.

Each item runs once or is the one that a worker died in, and the run ends. Only processes are left out.
"""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any, cast

import pytest
from hypothesis import Phase, given, settings
from hypothesis import strategies as st
from xdist.dsession import DSession
from xdist.workermanage import WorkerController

from pytest_kspec.session.scheduling import make_scheduler


def _silent(*words: object, **more: object) -> None: ...


_LOG: Any = SimpleNamespace(**dict.fromkeys(("loadscopesched", "loadfilesched", "loadgroupsched"), _silent))


class Worker(WorkerController):
    """What `xdist.remote` does, step by step; `events` are on their way to the controller, in order."""

    def __init__(self, number: int, items: list[str]) -> None:
        self.gateway: Any = SimpleNamespace(id=f"gw{number}", spec=SimpleNamespace())
        self.items = items
        self.log: Any = _silent
        self.workeroutput = {"exitstatus": 0, "shouldfail": False, "shouldstop": False}
        self.events: list[tuple[str, dict[str, Any]]] = []
        self.queue: list[int] = []
        self.steps = ["ready", "collect"]
        self.ended = False
        self._down = self._shutdown_sent = False

    def sendcommand(self, name: str, **kwargs: Any) -> None:
        if name == "runtests":
            self.queue += kwargs["indices"]

    @property
    def can_step(self) -> bool:
        ready = bool(self.steps) or len(self.queue) > 1 or self._shutdown_sent
        return ready and not self.ended

    def step(self, ran: list[str]) -> None:
        if self.steps:
            step = self.steps.pop(0)
            more: dict[str, object] = {"workerinfo": {}} if step == "ready" else {"ids": self.items}
            self._tell({"ready": "workerready", "collect": "collectionfinish"}[step], **more)
        elif self.queue:
            index = self.queue.pop(0)
            ran.append(self.items[index])
            self._tell("runtest_protocol_complete", item_index=index, duration=0)
        else:
            self.ended = True
            self._tell("workerfinished")

    def die(self, ran: list[str]) -> None:
        self.ended = True
        if not self.steps and (len(self.queue) > 1 or (self.queue and self._shutdown_sent)):
            ran.append(self.items[self.queue[0]])
        self._tell("errordown", error="gone")

    def _tell(self, name: str, **more: Any) -> None:
        self.events.append((name, {"node": self, **more}))


class Controller(DSession):
    def __init__(self, dist: str, workers: int, items: list[str]) -> None:
        values = {"dist": dist, "tx": ["popen"] * workers, "rsyncdir": [], "maxfail": 0}
        hooks = dict.fromkeys(
            (
                *("pytest_testnodeready", "pytest_testnodedown", "pytest_collectreport"),
                *("pytest_xdist_node_collection_finished", "pytest_runtest_logreport"),
            ),
            _silent,
        )
        config: Any = SimpleNamespace(
            getvalue=values.__getitem__,
            getoption=values.get,
            option=SimpleNamespace(loadscopereorder=True, debug=False, maxworkerrestart="1000"),
            hook=SimpleNamespace(**hooks),
            pluginmanager=SimpleNamespace(getplugin=_silent),
        )
        self.crashed: list[str] = []
        config.hook.pytest_handlecrashitem = lambda crashitem, **_: self.crashed.append(crashitem)
        super().__init__(config)
        self.sched = make_scheduler(config, _LOG)
        self._session = cast("Any", SimpleNamespace())
        self.items = items
        self.all: list[Worker] = []
        for _ in range(workers):
            self._clone_node(None)

    def _clone_node(self, node: Any) -> Worker:
        self.all.append(worker := Worker(len(self.all), self.items))
        self._active_nodes.add(worker)
        return worker

    def hear(self, worker: Worker) -> None:
        event = worker.events.pop(0)
        if event[0] in ("workerfinished", "errordown"):
            worker._down = True
        self.queue.put(event)
        self.loop_once()


@pytest.mark.parametrize("dist", ["loadscope", "loadfile", "loadgroup"])
@settings(max_examples=80, phases=[Phase.explicit, Phase.generate])  # shrinking takes minutes
@given(
    workers=st.integers(1, 3),
    groups=st.lists(st.integers(1, 4), min_size=1, max_size=4),
    deaths=st.integers(0, 8),
    data=st.data(),
)
def test_workers_may_die_at_any_moment(
    dist: str, workers: int, groups: list[int], deaths: int, data: st.DataObject
) -> None:
    items = [f"spec.yaml::c{group}::r{n}" for group, size in enumerate(groups) for n in range(size)]
    controller = Controller(dist, workers, items)
    ran: list[str] = []
    while not controller.session_finished:
        moves: list[tuple[str, Worker]] = []
        for worker in controller.all:
            moves += [("step", worker)] if worker.can_step else []
            moves += [("hear", worker)] if worker.events else []
            moves += [("die", worker)] if deaths and not worker.ended else []
        assert any(what != "die" for what, _ in moves), "everybody waits"
        what, worker = data.draw(st.sampled_from(moves))
        if what == "hear":
            controller.hear(worker)
        elif what == "step":
            worker.step(ran)
        else:
            deaths -= 1
            worker.die(ran)
    # A worker that died before its first item is taken to have died in it.
    assert sorted({*ran, *controller.crashed}) == sorted(items)
    assert len(set(ran)) == len(ran)


def test_other_distributions_are_those_of_xdist() -> None:
    config: Any = SimpleNamespace(getvalue={"dist": "load"}.__getitem__)
    assert make_scheduler(config, _LOG) is None
