"""A secret shows itself nowhere."""

from __future__ import annotations

import copy
import json
import logging
import pickle
import traceback

import pytest

from pytest_kspec.errors import Malformed
from pytest_kspec.secretstores.sealed import Sealed

CANARY = b"c4n4ry-5ecret"


def test_it_is_not_shown(caplog: pytest.LogCaptureFixture) -> None:
    sealed = Sealed(CANARY, where="kubernetes:a/b#c")
    shown = [repr(sealed), str(sealed), f"{sealed}", f"{sealed!r:>40}", f"{[sealed]}", "%s" % sealed]  # noqa: UP031
    logging.getLogger("x").warning("%s %r", sealed, {"a": sealed})
    try:
        raise ValueError(sealed)
    except ValueError as error:
        shown += traceback.TracebackException.from_exception(error, capture_locals=True).format()
    assert CANARY.decode() not in "".join([*shown, caplog.text])
    with pytest.raises(AssertionError) as failed:
        assert sealed == Sealed(b"another")
    assert CANARY.decode() not in str(failed.value)


def test_it_goes_to_no_other_process() -> None:
    sealed = Sealed(CANARY)
    for go in (pickle.dumps, copy.copy, copy.deepcopy, json.dumps, vars):
        with pytest.raises(TypeError):
            go(sealed)


def test_it_is_what_was_put_in() -> None:
    assert Sealed(CANARY).reveal() == CANARY
    assert Sealed(b" " + CANARY + b"\r\n").text() == CANARY.decode()
    assert Sealed(CANARY) == Sealed(CANARY) != Sealed(b"")
    for wrong in (b"", b" \r\n", b"\xff\xfe"):
        with pytest.raises(Malformed):
            Sealed(wrong).text()
