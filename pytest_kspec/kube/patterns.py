"""Regular expressions that a specification, or whoever wrote it, gives: RE2, so that none of them can hang.

`(a+)+b` costs Python's `re` time that doubles with each character. RE2 needs time in proportion to the text. It is
what CEL uses too (in Go), so that a pattern means the same in a scan and in a policy of the API server. Every pattern
that is not written in our own source goes through this module.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any

from pytest_kspec.errors import Malformed
from pytest_kspec.regexes import regex

if TYPE_CHECKING:
    from re2 import _Regexp

MAX_LENGTH = 1000
"""Characters of a pattern."""
MAX_PROGRAM = 2000
"""Instructions of a compiled pattern: `\\p{Lu}+` has 795, `a{1000}` 1004. With MAX_TEXT it bounds the time: 0.5 s."""
MAX_TEXT = 64 << 10
"""Characters of a text; Kubernetes' names have 253."""
_MAX_MEMORY = 1 << 20

# Of the C++ library only: it matches a byte, in the middle of a character too. CEL does not have it.
_BYTE = regex(r"(?:[^\\]|\\[^C])*+\\C", re.DOTALL)
_HINTS = (
    ("invalid perl operator: (?=", "look-ahead is not supported"),
    ("invalid perl operator: (?!", "look-ahead is not supported"),
    ("invalid perl operator: (?<=", "look-behind is not supported"),
    ("invalid perl operator: (?<!", "look-behind is not supported"),
    ("invalid named capture group: (?<=", "look-behind is not supported"),
    ("invalid named capture group: (?<!", "look-behind is not supported"),
    ("invalid perl operator: (?>", "atomic groups are not supported, and not needed"),
    ("invalid perl operator: (?(", "conditions are not supported"),
    ("invalid perl operator: (?P", "backreferences are not supported"),
    ("invalid escape sequence: \\Z", "the end of the text is written \\z"),
    ("bad repetition operator: ++", "possessive quantifiers are not supported, and not needed"),
    ("bad repetition operator: *+", "possessive quantifiers are not supported, and not needed"),
    ("bad repetition operator: ?+", "possessive quantifiers are not supported, and not needed"),
    ("pattern too large", "it is too large when compiled"),
)


class Pattern:
    """One regular expression in the syntax of RE2. Raises ValueError that says why it cannot be one."""

    __slots__ = ("_regex", "text")

    def __init__(self, text: str) -> None:
        self.text = text
        self._regex = _compile(text)

    def fullmatch(self, text: str) -> bool:
        """Whether it matches the whole text. Raises Malformed for a text of more than MAX_TEXT characters."""
        return self._regex.fullmatch(_bounded(text)) is not None

    def search(self, text: str) -> bool:
        """Whether it matches somewhere in the text. Raises Malformed for a text of more than MAX_TEXT characters."""
        return self._regex.search(_bounded(text)) is not None

    def __repr__(self) -> str:
        return f"Pattern({self.text!r})"

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Pattern) and other.text == self.text

    def __hash__(self) -> int:
        return hash(self.text)

    def __reduce__(self) -> tuple[Any, ...]:
        return Pattern, (self.text,)  # results cross processes


def _compile(text: str) -> _Regexp[str]:
    shown = text if len(text) <= 80 else f"{text[:80]}…"
    if len(text) > MAX_LENGTH:
        raise ValueError(
            f"{shown!r} has {len(text)} characters; a regular expression has at most {MAX_LENGTH}."
        )
    import re2  # 10 ms, for specifications that have patterns only

    options = re2.Options()
    options.log_errors = False  # it would write to stderr
    options.never_capture = True
    options.max_mem = _MAX_MEMORY
    try:
        regex = re2.compile(text, options)
    except re2.error as error:
        raise ValueError(f"{shown!r} is not a regular expression (RE2 syntax): {_reason(error)}.") from error
    except UnicodeEncodeError as error:
        raise ValueError(f"{shown!r} is not a regular expression: half of a surrogate pair.") from error
    if _BYTE.match(text):
        raise ValueError(f"{shown!r} is not a regular expression (RE2 syntax): \\C is not supported.")
    size = max(regex.programsize, regex.reverseprogramsize)
    if size > MAX_PROGRAM:
        raise ValueError(
            f"{shown!r} is too large: {size} instructions when compiled, at most {MAX_PROGRAM} are allowed. "
            "Repetitions such as {1,500} and classes such as \\p{L} multiply."
        )
    return regex


def _reason(error: Exception) -> str:
    raw = error.args[0] if error.args else ""
    text = raw.decode("utf-8", "replace") if isinstance(raw, bytes) else str(raw)
    if re.fullmatch(r"invalid escape sequence: \\[1-9]", text):
        return f"{text} (backreferences are not supported)"
    hint = next((hint for start, hint in _HINTS if text.startswith(start)), "")
    return f"{text} ({hint})" if hint else text


def _bounded(text: str) -> str:
    if len(text) > MAX_TEXT:
        raise Malformed(
            f"a text of {len(text)} characters is too long to be compared with a regular expression "
            f"(at most {MAX_TEXT})."
        )
    return text if text.isascii() else text.encode("utf-8", "surrogatepass").decode("utf-8", "replace")
