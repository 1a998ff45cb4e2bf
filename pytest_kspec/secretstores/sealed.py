"""A secret in memory, which shows itself nowhere: not in a message, a traceback, an assertion or another process."""

from __future__ import annotations

import hmac
from typing import Any, NoReturn

from pytest_kspec.errors import Malformed

SHOWN = "<secret>"


class Sealed:
    """expires: Unix time, None where its store does not say. where: what it is called in errors."""

    __slots__ = ("_value", "expires", "where")

    def __init__(self, value: bytes, *, where: str = "", expires: float | None = None) -> None:
        self._value = value
        self.expires = expires
        self.where = where

    def reveal(self) -> bytes:
        """The secret. Do not keep it in a variable longer than needed."""
        return self._value

    def text(self) -> str:
        """The secret as text, without line breaks and spaces around it: tokens and URLs are often stored with one.

        Raises Malformed for what is empty or not UTF-8.
        """
        try:
            found = self._value.decode().strip()
        except UnicodeDecodeError:
            raise Malformed("the secret is not UTF-8 text.", where=self.where) from None
        if not found:
            raise Malformed("the secret is empty.", where=self.where)
        return found

    def __repr__(self) -> str:
        return SHOWN

    def __format__(self, spec: str) -> str:
        return SHOWN

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Sealed) and hmac.compare_digest(self._value, other._value)

    __hash__ = None  # type: ignore[assignment]

    def __reduce_ex__(self, protocol: Any) -> NoReturn:
        raise TypeError("a secret must not be passed to another process")
