"""Work in a process of its own, whose answer comes back.

The library for object stores runs threads, which a process that is forked afterwards does not have: it would wait for
them for ever. A worker therefore never uses it itself, and so can fork for each cluster.
"""

from __future__ import annotations

import os
import pickle
import signal
import traceback
from collections.abc import Callable
from typing import TypeVar

from pytest_kspec.errors import KspecError, StoreError
from pytest_kspec.fleet.child import end_with_parent
from pytest_kspec.supervised import ending

T = TypeVar("T")


def apart(work: Callable[[], T]) -> T:
    """What it returns, as a copy.

    Raises KspecError as it does, StoreError where its process is ended, and RuntimeError for any other exception.
    """
    reads, writes = os.pipe()
    parent = os.getpid()
    pid = os.fork()
    if not pid:
        code = 1
        try:
            signal.signal(signal.SIGTERM, signal.SIG_IGN)  # what the worker is told is for the worker
            signal.signal(signal.SIGINT, signal.SIG_IGN)
            end_with_parent(parent)
            os.close(reads)
            with os.fdopen(writes, "wb") as out:
                out.write(_answer(work))
            code = 0
        finally:
            os._exit(code)
    os.close(writes)
    with os.fdopen(reads, "rb") as answers:
        content = answers.read()
    status = os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])
    if not content:
        raise StoreError(f"the process that uses the store {ending(status)}.")
    done, value = pickle.loads(content)
    if done:
        answer: T = value
        return answer
    if isinstance(value, str):
        raise RuntimeError(value)
    kind, what, where, fix = value
    raise kind(what, where=where, fix=fix)


def _answer(work: Callable[[], object]) -> bytes:
    try:
        return pickle.dumps((True, work()))
    except KspecError as error:
        return pickle.dumps((False, (type(error), error.what, error.where, error.fix)))
    except Exception as error:  # noqa: BLE001 - a fault of kspec, for which waiting for the store is no use
        return pickle.dumps(
            (False, "".join(traceback.format_exception(error)))
        )  # not all of them can be pickled
