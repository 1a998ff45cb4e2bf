"""The fleet on a terminal and in a pipe; the screen with keys, and a terminal that is as before, however it ends."""

from __future__ import annotations

import asyncio
import json
import os
import pty
import select
import signal
import subprocess
import sys
import termios
import time
from pathlib import Path
from typing import Any, cast

import pytest
from msgspec.structs import replace
from textual.coordinate import Coordinate
from textual.widgets import DataTable, Static

from pytest_kspec.dashboard import terminal
from pytest_kspec.dashboard.screen import Watch
from pytest_kspec.dashboard.source import Answers, StoreSource
from pytest_kspec.errors import StoreError
from pytest_kspec.reports.shared.text import width_of
from pytest_kspec.reports.shared.words import STATES
from pytest_kspec.reports.terminal_parts import plain
from tests.cli.conftest import Kspec, run_kspec
from tests.reports.results import cluster, one, scan

from .conftest import stored

__all__ = ["run_kspec"]
KSPEC = Path(sys.executable).with_name("kspec")
WAIT_S = 60.0


@pytest.mark.parametrize("width", [40, 80, 96, 118, 120, 200])
def test_lines_fit_and_say_the_state_in_words(fleet_store: str, width: int) -> None:
    source = StoreSource(fleet_store)
    fleet = source.read(lambda store: terminal.look(store, ""))
    lines = terminal.lines(fleet, width, plain)
    source.close()
    if width >= 80:
        assert max(map(width_of, lines)) <= width
    rows = lines[3 : 3 + len(fleet.found.rows)]
    assert len(rows) == 51
    for row, line in zip(fleet.found.rows, rows, strict=True):
        assert terminal.MARKS[row.state] in line
        assert terminal.standing(row) in line
    assert lines[0].startswith("51 clusters, 51 resu")


def test_a_pipe_gets_a_table_without_colours(fleet_store: str, run_kspec: Kspec) -> None:
    done = run_kspec("dashboard", "--store", fleet_store)
    assert done.code == 0
    assert "\x1b" not in done.out
    assert "Not compliant" in done.out


def test_json_has_the_rows_of_the_api(fleet_store: str, run_kspec: Kspec) -> None:
    done = run_kspec("dashboard", "--store", fleet_store, "-o", "json", "--cluster-spec", "strict")
    document = json.loads(done.out)
    assert (document["clusters"], document["total"], len(document["results"])) == (51, 51, 51)
    assert set(document["counts"]) == set(STATES)
    assert run_kspec("dashboard", "--store", fleet_store, "--cluster-spec", "other").out.startswith(
        "0 clusters, 0 results"
    )


@pytest.mark.parametrize(
    ("words", "code", "says"),
    [
        (("--store", "none.db"), 2, "does not exist"),
        (("--store", "none.db", "--watch", "--interval", "0"), 4, "is not between 1 and"),
        (("--serve", "--store", "none.db", "--watch"), 4, "are for the terminal"),
        (("--serve", "--store", "none.db", "--no-auth", "--host", "0.0.0.0"), 4, "on loopback only"),
        (("--serve", "--store", "none.db", "--no-auth", "--tls-cert", "x"), 4, "must be given together"),
        (("--serve", "--store", "none.db", "--proxy-from", "nowhere"), 4, "nowhere"),
        (("--cluster", "nowhere"), 4, "nowhere"),
    ],
)
def test_usage(run_kspec: Kspec, words: tuple[str, ...], code: int, says: str) -> None:
    done = run_kspec("dashboard", *words)
    assert (done.code, says in done.err) == (code, True), done.err


def test_the_screen_shows_the_fleet_and_a_cluster(fleet_store: str) -> None:
    source = StoreSource(fleet_store)
    app = Watch(Answers(source), 3600)

    async def play() -> None:
        async with app.run_test(size=(80, 24)) as pilot:
            await app.workers.wait_for_complete()
            await pilot.pause()
            table = app.query_one("#fleet", DataTable)
            assert table.row_count == 51
            assert "51 clusters" in str(app.query_one("#summary", Static).content)
            await pilot.press("down", "enter")
            await app.workers.wait_for_complete()
            await pilot.pause()
            assert app.screen.query_one(DataTable).row_count == 60
            await pilot.press("escape", "q")

    asyncio.run(play())
    source.close()
    assert app.return_code == 0


def test_requirements_with_one_title_can_be_told_apart(tmp_path: Path, run_kspec: Kspec) -> None:
    (result,) = one().clusters
    checks = tuple(
        replace(result.checks[0], id=f"rbac.forbiddenRules[{what}]", nodeid=what, title="Not granted")
        for what in ("core/secrets", "core/pods")
    )
    path = stored(tmp_path / "results.db", scan(replace(result, checks=checks)))
    app = Watch(Answers(StoreSource(path)), 3600)
    found: list[str] = []

    async def play() -> None:
        async with app.run_test(size=(80, 24)) as pilot:
            await app.workers.wait_for_complete()
            await pilot.pause()
            await pilot.press("enter")
            await app.workers.wait_for_complete()
            await pilot.pause()
            table = app.screen.query_one(DataTable)
            found.extend(str(table.get_cell_at(Coordinate(row, 3))) for row in range(table.row_count))

    asyncio.run(play())
    titles = ["Not granted [core/pods]", "Not granted [core/secrets]"]
    assert sorted(found) == titles
    said = run_kspec("dashboard", "--store", path).out
    assert all(f"{title}: 1 failed" in said for title in titles)


def test_each_key_that_is_shown_does_something(tmp_path: Path) -> None:
    """Below the fleet, too: `d` opens drift, and `r` reads what is shown again."""
    path = stored(tmp_path / "results.db", one())
    app = Watch(Answers(StoreSource(path)), 3600)

    async def play() -> None:
        async with app.run_test(size=(120, 30)) as pilot:

            async def press(key: str) -> set[str]:
                await pilot.press(key)
                await app.workers.wait_for_complete()
                await pilot.pause()
                return {one.binding.description for one in app.screen.active_bindings.values() if one.enabled}

            await app.workers.wait_for_complete()
            await pilot.pause()
            assert {"Drift", "Read again", "Back"} <= await press("enter")
            requirements = app.screen
            before = requirements.query_one(DataTable).row_count
            (result,) = one().clusters
            fewer = scan(replace(result, checks=result.checks[1:]))
            stored(Path(path), replace(fewer, finished_at="2026-11-24T07:00:00Z"))
            await press("r")
            assert requirements.query_one(DataTable).row_count == before - 1
            shown = await press("d")
            assert app.screen is not requirements
            assert "Drift" not in shown
            assert "no current difference" in str(app.screen.query_one("#problem", Static).content)
            await press("escape")
            assert app.screen is requirements

    asyncio.run(play())


class Away(StoreSource):
    """A store that cannot be read."""

    def read(self, ask: object) -> object:  # type: ignore[override]
        raise StoreError("[bold]connection[/bold] refused.")


def test_the_screen_says_that_the_store_is_away(tmp_path: Path) -> None:
    app = Watch(Answers(cast(Any, Away(str(tmp_path / "none.db")))), 3600)

    async def play() -> None:
        async with app.run_test(size=(80, 24)) as pilot:
            await pilot.pause(0.2)
            problem = app.query_one("#problem", Static)
            assert problem.has_class("shown")
            assert "[bold]connection[/bold] refused." in str(problem.content)

    asyncio.run(play())


def test_a_store_that_goes_while_it_is_watched_is_said(tmp_path: Path) -> None:
    """The screen goes on to show what it knew, with its age."""
    path = Path(stored(tmp_path / "results.db", one()))
    app = Watch(Answers(StoreSource(str(path))), 3600)

    async def play() -> None:
        async with app.run_test(size=(80, 24)) as pilot:
            await app.workers.wait_for_complete()
            await pilot.pause()
            rows = app.query_one("#fleet", DataTable).row_count
            path.unlink()
            await pilot.press("r")
            await app.workers.wait_for_complete()
            await pilot.pause()
            problem = str(app.query_one("#problem", Static).content)
            assert problem.startswith("Not the current state: the store does not exist. Read at 20")
            assert app.query_one("#fleet", DataTable).row_count == rows == 1

    asyncio.run(play())
    assert not path.exists()


LONG = {"cluster": "arn:aws:eks:eu-central-1:123456789012:cluster/" + "prod-" * 12, "spec": "baseline-" * 12}


@pytest.mark.parametrize("size", [(80, 24), (200, 50)])
def test_long_names_leave_room_for_state_and_score(tmp_path: Path, size: tuple[int, int]) -> None:
    made = scan(cluster(LONG["cluster"], spec_name=LONG["spec"]), cluster("a", spec_name="b"))
    app = Watch(Answers(StoreSource(stored(tmp_path / "results.db", made))), 3600)

    async def play() -> None:
        async with app.run_test(size=size) as pilot:
            await app.workers.wait_for_complete()
            await pilot.pause()
            table = app.query_one("#fleet", DataTable)
            columns = table.ordered_columns
            assert sum(column.get_render_width(table) for column in columns[:6]) <= size[0]
            texts = {str(cell) for at in range(table.row_count) for cell in table.get_row_at(at)[:2]}
            assert {"a", "b"} <= texts, "short names are whole"
            assert any(text.startswith("arn:") and "…" in text for text in texts)
            await pilot.resize_terminal(300, 50)
            await pilot.pause()
            assert {LONG["cluster"], LONG["spec"]} <= {
                str(cell) for at in range(table.row_count) for cell in table.get_row_at(at)[:2]
            }

    asyncio.run(play())


def read_until(master: int, text: bytes, seen: bytes = b"") -> bytes:
    """What the terminal was sent, up to this."""
    deadline = time.monotonic() + WAIT_S
    while text not in seen:
        assert time.monotonic() < deadline, seen[-2000:]
        if select.select([master], [], [], 0.2)[0]:
            try:
                seen += os.read(master, 65536)
            except OSError:  # the last process that had it is gone
                assert text in seen, seen[-2000:]
    return seen


BROKEN = (
    "import sys\nfrom pytest_kspec.dashboard import screen\n"
    "def fail(*_): raise RuntimeError('a fault of ours')\n"
    "screen.cells = fail\n"
    "from pytest_kspec.cli.main import main\nsys.exit(main(sys.argv[1:]))\n"
)


@pytest.mark.parametrize("how", ["sigterm", "exception"])
def test_the_terminal_is_as_before(fleet_store: str, how: str, tmp_path: Path) -> None:
    master, slave = pty.openpty()
    before = termios.tcgetattr(slave)
    script = tmp_path / "broken.py"
    script.write_text(BROKEN)
    start = [str(KSPEC)] if how == "sigterm" else [sys.executable, str(script)]
    environ = {key: value for key, value in os.environ.items() if key != "CI"} | {"TERM": "xterm-256color"}
    process = subprocess.Popen(
        [*start, "dashboard", "--store", fleet_store, "--watch", "--interval", "3600"],
        stdin=slave, stdout=slave, stderr=slave, env=environ,
    )  # fmt: skip
    try:
        seen = read_until(master, b"\x1b[?1049h")
        if how == "sigterm":
            seen = read_until(master, b"51 clusters", seen)
            assert termios.tcgetattr(slave) != before
            process.send_signal(signal.SIGTERM)
        seen = read_until(master, b"\x1b[?1049l", seen)
        deadline = time.monotonic() + WAIT_S
        while process.poll() is None:
            assert time.monotonic() < deadline
            if select.select([master], [], [], 0.1)[0]:
                seen += os.read(master, 65536)
        assert process.returncode == {"sigterm": 128 + signal.SIGTERM, "exception": 1}[how]
        assert termios.tcgetattr(slave) == before
        assert b"\x1b[?25h" in seen, "the cursor is shown again"
    finally:
        process.kill()
        process.wait(WAIT_S)
        os.close(master)
        os.close(slave)
