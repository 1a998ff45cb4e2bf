"""`kspec dashboard --watch` on a terminal, with Textual: a table that moves, and the requirements of a cluster.

The store is read in a thread of its own: a screen whose store hangs still scrolls and ends.
"""

from __future__ import annotations

import asyncio
import contextlib
import signal
from collections.abc import Callable, Iterable
from functools import partial
from typing import Any, ClassVar

from textual.app import App, ComposeResult
from textual.binding import BindingType
from textual.events import Resize
from textual.screen import Screen
from textual.widgets import DataTable, Footer, Static
from textual.worker import Worker, WorkerState

from pytest_kspec.dashboard.source import Answers, Away, Known
from pytest_kspec.dashboard.terminal import (
    DRIFT_HEADS,
    HEADS,
    MARKS,
    Fleet,
    aged,
    cells,
    drift_cells,
    fitted,
    look,
    minute,
    summary,
)
from pytest_kspec.errors import KspecError
from pytest_kspec.reports.shared.text import printable, told_apart
from pytest_kspec.reports.shared.words import VERDICTS
from pytest_kspec.results.verdict import Verdict
from pytest_kspec.storage import lasting, listing
from pytest_kspec.storage.cut import MOST_ROWS, Cut
from pytest_kspec.storage.rows import Listed, Standing


class Watch(App[None]):
    """The fleet, read again every `interval` seconds. spec: name of a specification, "" for all."""

    TITLE = "kspec dashboard"
    ENABLE_COMMAND_PALETTE = False
    BINDINGS: ClassVar[list[BindingType]] = [
        ("q", "quit", "Quit"),
        ("r", "again", "Read again"),
        ("d", "drift", "Drift"),
    ]
    CSS = """
    Screen { layout: vertical; }
    #summary, #where { height: auto; padding: 0 1; text-style: bold; }
    #problem { height: auto; padding: 0 1; display: none; text-style: reverse; }
    #problem.shown { display: block; }
    DataTable { height: 1fr; }
    """

    def __init__(self, answers: Answers, interval: float, spec: str = "") -> None:
        super().__init__()
        self._answers, self._interval, self._spec = answers, interval, spec
        self._rows: tuple[Standing, ...] = ()
        self._fits = 0  # the width for which names were cut
        self._reading: Worker[Any] | None = None

    def compose(self) -> ComposeResult:
        """One line of totals, one of problems, the table."""
        yield Static("reading …", id="summary", markup=False)
        yield Static("", id="problem", markup=False)
        yield DataTable(id="fleet", cursor_type="row", zebra_stripes=True)
        yield Footer()

    def on_mount(self) -> None:
        """Begin."""
        # A process that is told to end leaves the terminal as it was.
        for number in (signal.SIGTERM, signal.SIGHUP, signal.SIGINT):
            with contextlib.suppress(NotImplementedError, RuntimeError, ValueError):
                loop = asyncio.get_running_loop()
                loop.add_signal_handler(number, partial(self.exit, return_code=128 + number))
        table = self.query_one("#fleet", DataTable)
        table.add_columns(*HEADS)
        table.focus()
        self.set_interval(self._interval, self.action_again)
        self.action_again()

    def action_again(self) -> None:
        """Read, unless that is under way."""
        if self._reading is None or self._reading.is_finished:
            self._reading = self.run_worker(self._read, thread=True, exit_on_error=False)

    def _read(self) -> Known:
        return self._answers.get(("watch", self._spec), lambda store: look(store, self._spec))

    def on_worker_state_changed(self, event: Worker.StateChanged) -> None:
        """Show what was read, or why nothing was."""
        if event.worker is not self._reading:
            return
        if event.state is WorkerState.SUCCESS and event.worker.result is not None:
            self._show(event.worker.result)
        elif event.state is WorkerState.ERROR:
            error = event.worker.error
            if not isinstance(error, Away | KspecError) and error is not None:
                raise error
            self._say(f"Could not be read: {printable(str(error))}")

    def _show(self, known: Known) -> None:
        fleet: Fleet = known.value
        self.query_one("#summary", Static).update(
            f"{summary(fleet)} · read {known.as_of:%H:%M:%S} UTC, every {self._interval:g} s"
        )
        self._say(aged(known.as_of, known.problem) if known.problem else "")
        self._rows = fleet.found.rows
        self._fill(self.size.width)

    def on_resize(self, event: Resize) -> None:
        """Names are cut for another width."""
        if self._fits not in (0, event.size.width):
            self._fill(event.size.width)

    def _fill(self, width: int) -> None:
        table = self.query_one("#fleet", DataTable)
        place, offset = table.cursor_row, table.scroll_y
        # Anew: columns of a table grow with their rows, and never shrink.
        table.clear(columns=True)
        table.add_columns(*HEADS)
        self._fits = width
        for row in fitted(cells(self._rows), self._fits, 2 * table.cell_padding):
            table.add_row(*map(_plain, row))
        if self._rows:
            table.move_cursor(row=min(place, len(self._rows) - 1), animate=False)
            table.scroll_to(y=offset, animate=False)

    def _say(self, problem: str) -> None:
        widget = self.query_one("#problem", Static)
        widget.update(problem)
        widget.set_class(bool(problem), "shown")

    def on_data_table_row_selected(self, event: DataTable.RowSelected) -> None:
        """Enter: the requirements of this cluster."""
        if event.data_table.id == "fleet" and event.cursor_row < len(self._rows):
            self.push_screen(Requirements(self._answers, self._rows[event.cursor_row]))

    def action_drift(self) -> None:
        """What differs now, on all clusters."""
        self.push_screen(Drift(self._answers, self._spec))

    def check_action(self, action: str, parameters: tuple[object, ...]) -> bool | None:
        """No key is shown that does nothing."""
        return not (action == "drift" and isinstance(self.screen, Drift))


class Part(Screen[None]):
    """One table below the fleet, read when it is opened and when that is asked for.

    where: the line above it; heads: of its columns; nothing: what is said where there are no rows
    """

    where = ""
    nothing = "There is nothing to show."
    heads: tuple[str, ...] = ()
    BINDINGS: ClassVar[list[BindingType]] = [
        ("escape", "app.pop_screen", "Back"),
        ("q", "app.quit", "Quit"),
        ("r", "again", "Read again"),
    ]
    _reading: Worker[Known] | None = None

    def compose(self) -> ComposeResult:
        """A line of where, and the table."""
        yield Static(self.where, id="where", markup=False)
        yield Static("", id="problem", markup=False)
        yield DataTable(cursor_type="row", zebra_stripes=True)
        yield Footer()

    def on_mount(self) -> None:
        """Begin."""
        table = self.query_one(DataTable)
        table.add_columns(*self.heads)
        table.focus()
        self.action_again()

    def action_again(self) -> None:
        """Read, unless that is under way."""
        if self._reading is None or self._reading.is_finished:
            self._reading = self.run_worker(self.read, thread=True, exit_on_error=False)

    def read(self) -> Known:
        """What is shown, in a thread of its own."""
        raise NotImplementedError

    def rows(self, found: Listed[Any]) -> Iterable[tuple[str, ...]]:
        """The texts of it."""
        raise NotImplementedError

    def on_worker_state_changed(self, event: Worker.StateChanged) -> None:
        """Show what was read, or why nothing was."""
        problem = self.query_one("#problem", Static)
        if event.state is WorkerState.SUCCESS and event.worker.result is not None:
            known: Known = event.worker.result
            table = self.query_one(DataTable)
            place = table.cursor_row
            table.clear(columns=True)  # columns of a table grow with their rows, and never shrink
            table.add_columns(*self.heads)
            for row in self.rows(known.value):
                table.add_row(*map(_plain, row))
            if table.row_count:
                table.move_cursor(row=min(place, table.row_count - 1), animate=False)
            said = [aged(known.as_of, known.problem)] if known.problem else []
            if left := known.value.total - len(known.value.rows):
                said.append(f"{left:,} more are not shown.")
            if not known.value.total:
                said.append(self.nothing)
            problem.update(" ".join(said))
            problem.set_class(bool(said), "shown")
        elif event.state is WorkerState.ERROR:
            problem.update(f"Could not be read: {printable(str(event.worker.error))}")
            problem.add_class("shown")


class Requirements(Part):
    """Requirements of one result, errors and failures first."""

    heads = ("VERDICT", "SEVERITY", "FINDINGS", "REQUIREMENT", "REASON")

    def __init__(self, answers: Answers, row: Standing) -> None:
        super().__init__()
        self._answers, self._row = answers, row
        self.where = f"{printable(row.cluster)} · {printable(row.spec)} · {minute(row.finished_at)} UTC"

    def read(self) -> Known:
        """All of them."""
        row = self._row
        return self._answers.get(
            ("watch", row.cluster_id, row.spec),
            lambda store: listing.requirement_results(
                store, cluster_id=row.cluster_id, spec=row.spec, cut=Cut(1, MOST_ROWS)
            ),
        )

    def rows(self, found: Listed[Any]) -> Iterable[tuple[str, ...]]:
        """The verdict in words, too."""
        titles = told_apart((one.title, one.check) for one in found.rows)
        for one, title in zip(found.rows, titles, strict=True):
            yield (
                f"{MARKS[one.verdict]} {VERDICTS[Verdict(one.verdict)]}",
                one.severity,
                f"{one.findings:,}",
                printable(title),
                printable(one.reason),
            )


class Drift(Part):
    """Differences that are present, the most severe first. spec: name of a specification, "" for all."""

    heads = DRIFT_HEADS
    nothing = "The store has no current difference."

    def __init__(self, answers: Answers, spec: str) -> None:
        super().__init__()
        self._answers, self._spec = answers, spec
        self.where = "Drift"

    def read(self) -> Known:
        """Those that are present."""
        return self._answers.get(
            ("watch", "drift", self._spec),
            lambda store: lasting.drift(store, spec=self._spec, state="present", cut=Cut(1, MOST_ROWS)),
        )

    def rows(self, found: Listed[Any]) -> Iterable[tuple[str, ...]]:
        """As in the table of the command."""
        return drift_cells(found.rows)


def _plain(text: str) -> Any:
    """Text that is no markup, whatever brackets it has."""
    from rich.text import Text

    return Text(text)


def watch(answers: Answers, interval: float, spec: str, done: Callable[[], None] = lambda: None) -> int:
    """Run until the user or a signal ends it; the exit code. The terminal is as before, whatever happens."""
    app = Watch(answers, interval, spec)
    try:
        app.run()
    finally:
        done()
    return app.return_code or 0
