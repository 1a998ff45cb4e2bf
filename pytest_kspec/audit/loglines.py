"""How the webhook's log lines are written: one line a message, whatever a request or an error holds."""

from __future__ import annotations

import logging

from pytest_kspec.shown import inert, printable


class LogLines(logging.Formatter):
    """A message is a line; a traceback after it has its own. Neither holds a command of a terminal or a CI system."""

    def formatMessage(self, record: logging.LogRecord) -> str:
        """The message, its line breaks as escapes."""
        return printable(super().formatMessage(record))

    def format(self, record: logging.LogRecord) -> str:
        """The whole record."""
        return inert(super().format(record))
