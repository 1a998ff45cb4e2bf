"""The schedulers, without processes: whenever workers die, each item runs once, or is the one a worker died in."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pytest_kspec.session.scheduling import make_scheduler


class Worker:
    """Runs an item when it knows the next one, or that none comes, as `xdist.remote` does."""

    def __init__(self, number: int) -> None:
        self.gateway = SimpleNamespace(id=f"gw{number}")
        self.queue: list[int] = []
        self.shutting_down = False

    def send_runtest_some(self, indices: list[int]) -> None:
        assert not self.shutting_down
        self.queue += indices

    def shutdown(self) -> None:
        self.shutting_down = True

    @property
    def ready(self) -> bool:
        return len(self.queue) > 1 or bool(self.queue and self.shutting_down)


def _silent(*words: object) -> None: ...


_LOG: Any = SimpleNamespace(**dict.fromkeys(("loadscopesched", "loadfilesched", "loadgroupsched"), _silent))


def _config(dist: str, workers: int) -> Any:
    values = {"dist": dist, "tx": ["popen"] * workers, "rsyncdir": []}
    return SimpleNamespace(
        getvalue=values.__getitem__, getoption=values.get, option=SimpleNamespace(loadscopereorder=True)
    )


@pytest.mark.parametrize("dist", ["loadscope", "loadfile", "loadgroup"])
@given(
    workers=st.integers(1, 3),
    groups=st.lists(st.integers(1, 4), min_size=1, max_size=6),
    data=st.data(),
)
def test_every_item_runs_once(dist: str, workers: int, groups: list[int], data: st.DataObject) -> None:
    scheduler: Any = make_scheduler(_config(dist, workers), _LOG)
    items = [f"spec.yaml::c{group}::r{n}" for group, size in enumerate(groups) for n in range(size)]
    up = [Worker(number) for number in range(workers)]
    for worker in up:
        scheduler.add_node(worker)
        scheduler.add_node_collection(worker, items)
    scheduler.schedule()
    ran: list[str] = []
    born = workers
    up = list(scheduler.nodes)
    while not scheduler.tests_finished:
        ready = [worker for worker in up if worker.ready]
        assert ready, "every worker waits for another item"
        worker = data.draw(st.sampled_from(ready))
        index = worker.queue.pop(0)
        ran.append(items[index])
        if data.draw(st.booleans()):
            up.remove(worker)
            assert scheduler.remove_node(worker) == items[index]
            up.append(replacement := Worker(born))
            born += 1
            scheduler.add_node(replacement)
            if data.draw(st.booleans()):  # another one may die before it has collected
                scheduler.add_node_collection(replacement, items)
                scheduler.schedule()
            else:
                assert scheduler.remove_node(replacement) is None
                up[-1] = Worker(born)
                scheduler.add_node(up[-1])
                scheduler.add_node_collection(up[-1], items)
                scheduler.schedule()
        else:
            scheduler.mark_test_complete(worker, index)
    ran += [items[index] for worker in up for index in worker.queue]  # xdist tells them all to finish now
    assert sorted(ran) == sorted(items)


def test_other_distributions_are_those_of_xdist() -> None:
    assert make_scheduler(_config("load", 1), _LOG) is None
