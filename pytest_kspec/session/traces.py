"""A session or command in a process that goes on afterwards leaves it as it was, whatever it or the code of users did.

What cannot be put back (threads, open files, what was changed inside other modules) ends with the process: the
commands that run for long, and `kspec scan` itself, give such code a process of its own.
"""

from __future__ import annotations

import locale
import logging
import os
import signal
import socket
import sys
import threading
import time
import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from typing import Any

from pytest_kspec.plan import importing

_HOOKS = ("excepthook", "unraisablehook", "displayhook")
_STREAMS = ("stdin", "stdout", "stderr")
_LISTS = ("path", "meta_path", "path_hooks", "argv")


@contextmanager
def put_back() -> Iterator[None]:
    """Afterwards are as before: modules of checks, environment, folder, streams, import paths and hooks, warnings,
    loggers, signals and timers, locale, and limits that Python has.
    """
    undo = [_modules(), _environment(), _interpreter(), _logging(), _signals(), _others()]
    try:
        with warnings.catch_warnings():
            yield
    finally:
        for step in reversed(undo):
            step()


def _modules() -> Callable[[], None]:
    before = importing.imported()

    def undo() -> None:
        importing.forget()
        sys.modules.update(before)

    return undo


def _environment() -> Callable[[], None]:
    before = dict(os.environ)
    try:
        folder = os.getcwd()
    except OSError:  # it was removed
        folder = ""

    def undo() -> None:
        if dict(os.environ) != before:
            for name in os.environ.keys() - before.keys():
                del os.environ[name]
            os.environ.update(before)
            if hasattr(time, "tzset"):
                time.tzset()
        with suppress(OSError):  # it was removed meanwhile
            if folder:
                os.chdir(folder)

    return undo


def _interpreter() -> Callable[[], None]:
    values = {name: getattr(sys, name) for name in (*_HOOKS, *_STREAMS)}
    lists = {name: list(getattr(sys, name)) for name in _LISTS}
    in_threads = threading.excepthook
    depth, interval = sys.getrecursionlimit(), sys.getswitchinterval()

    def undo() -> None:
        for name, value in values.items():
            setattr(sys, name, value)
        for name, items in lists.items():
            if getattr(sys, name) != items:
                getattr(sys, name)[:] = items
        threading.excepthook = in_threads
        sys.setrecursionlimit(depth)
        sys.setswitchinterval(interval)

    return undo


def _logging() -> Callable[[], None]:
    def all_loggers() -> dict[str, logging.Logger]:
        known = logging.root.manager.loggerDict
        return {"": logging.root, **{k: v for k, v in known.items() if isinstance(v, logging.Logger)}}

    def state(one: logging.Logger) -> dict[str, Any]:
        return {name: getattr(one, name) for name in ("level", "propagate", "disabled")}

    before = {
        name: (state(one), list(one.handlers), list(one.filters)) for name, one in all_loggers().items()
    }
    threshold = logging.root.manager.disable
    unused: tuple[dict[str, Any], list[Any], list[Any]] = (state(logging.Logger("")), [], [])

    def undo() -> None:
        for name, one in all_loggers().items():
            ours = name == "kspec" or name.startswith("kspec.")
            if name not in before and not ours:
                continue  # of a module that was imported meanwhile, which may have set it up
            values, handlers, filters = before.get(name, unused)
            if state(one) != values:
                one.setLevel(values["level"])  # this also forgets what was decided by the other level
                one.propagate, one.disabled = values["propagate"], values["disabled"]
            one.handlers[:], one.filters[:] = handlers, filters
        logging.disable(threshold)

    return undo


def _signals() -> Callable[[], None]:
    if threading.current_thread() is not threading.main_thread():
        return lambda: None  # only the main thread could have changed them
    before = {number: signal.getsignal(number) for number in signal.valid_signals()}
    timers = [
        getattr(signal, name)
        for name in ("ITIMER_REAL", "ITIMER_VIRTUAL", "ITIMER_PROF")
        if hasattr(signal, name)
    ]
    idle = [timer for timer in timers if signal.getitimer(timer) == (0.0, 0.0)]

    def undo() -> None:
        for timer in idle:
            signal.setitimer(timer, 0)
        for number, handler in before.items():
            if handler is not None and signal.getsignal(number) != handler:  # None: of code in C
                signal.signal(number, handler)

    return undo


def _others() -> Callable[[], None]:
    words = locale.setlocale(locale.LC_ALL)
    mask = os.umask(0o077)
    os.umask(mask)
    timeout_s = socket.getdefaulttimeout()

    def undo() -> None:
        if locale.setlocale(locale.LC_ALL) != words:
            locale.setlocale(locale.LC_ALL, words)
        os.umask(mask)
        socket.setdefaulttimeout(timeout_s)

    return undo
