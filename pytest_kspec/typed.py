"""Reading of data into types, by msgspec: the one way where a type is named at the call.

msgspec learns a type when it is first used. Another thread that uses the type meanwhile crashes the process (0.22
follows a pointer that is not set yet), so types are learned one after the other. Decoders that are made while their
module is imported need none of this: nobody else has the types of a module before its import has ended.
"""

from __future__ import annotations

import threading
from typing import Any, TypeVar, overload

import msgspec

T = TypeVar("T")

_LEARNING = threading.Lock()
_known: set[Any] = set()


@overload
def from_json(content: bytes | bytearray | memoryview | str | msgspec.Raw, form: type[T]) -> T: ...
@overload
def from_json(content: bytes | bytearray | memoryview | str | msgspec.Raw, form: Any) -> Any: ...
def from_json(content: Any, form: Any) -> Any:
    """Raises msgspec.DecodeError (ValidationError for another type), RecursionError, UnicodeDecodeError."""
    _learn(form)
    return msgspec.json.decode(content, type=form)


@overload
def from_msgpack(content: bytes, form: type[T]) -> T: ...
@overload
def from_msgpack(content: bytes, form: Any) -> Any: ...
def from_msgpack(content: bytes, form: Any) -> Any:
    """Raises msgspec.DecodeError."""
    _learn(form)
    return msgspec.msgpack.decode(content, type=form)


@overload
def convert(data: Any, form: type[T]) -> T: ...
@overload
def convert(data: Any, form: Any) -> Any: ...
def convert(data: Any, form: Any) -> Any:
    """Of plain data. Raises msgspec.ValidationError, RecursionError."""
    _learn(form)
    return msgspec.convert(data, form)


def _learn(form: Any) -> None:
    if form not in _known:
        with _LEARNING:
            msgspec.json.Decoder(form)
            _known.add(form)
