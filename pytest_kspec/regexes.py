"""Regular expressions that are compiled when they are first used.

Compiling one takes half a millisecond, the modules of a scan have a hundred, and a run uses few of them. What others
wrote is never one of these: `kube.patterns` is the one way to those.
"""

from __future__ import annotations

import re
from typing import Any, AnyStr, cast


def regex(pattern: AnyStr, flags: re.RegexFlag | int = 0) -> re.Pattern[AnyStr]:
    """As `re.compile`, later. A wrong pattern raises at its first use; every one of ours has a test."""
    return cast("re.Pattern[AnyStr]", _Later(pattern, flags))


class _Later:
    """Looks like a compiled pattern, and becomes one: its methods are looked up here once only."""

    def __init__(self, pattern: str | bytes, flags: re.RegexFlag | int) -> None:
        self.pattern = pattern
        self._flags = flags

    def __getattr__(self, name: str) -> Any:
        """The method of the compiled pattern, which is here from now on."""
        if name.startswith("_"):
            raise AttributeError(name)
        found = getattr(re.compile(self.pattern, self._flags), name)
        self.__dict__[name] = found
        return found
