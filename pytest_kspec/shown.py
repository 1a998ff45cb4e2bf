r"""Text as terminals and logs may show it. What a cluster or a file holds is shown, never obeyed.

Terminals obey control characters. CI systems read commands from logs: `::` at the start of a line (GitHub), `##[` and
`##vso[` anywhere (Azure, GitHub), `##teamcity[`; those of GitLab and Travis contain control characters. What would be
obeyed is shown as an escape: `\x1b`, `:\x3a`, `##\x5b`.
"""

from __future__ import annotations

import re
import unicodedata

from pytest_kspec.regexes import regex

_STACKED = 2
"""Combining marks that one character may carry; more would be drawn over the lines around it."""
# Printable for Python, and yet nothing that a reader sees: fillers, joiners and variation selectors.
_BLANK = (
    "\u034f\u115f\u1160\u17b4\u17b5\u180b-\u180d\u180f\u2800\u3164\ufe00-\ufe0f\uffa0\U000e0100-\U000e01ef"
)
_UNSEEN = regex(f"[{_BLANK}]")
# What is neither of scripts that stack marks nor blank: texts of these need not be looked at character by character.
_PLAIN = regex(
    "[\x20-\x7e\xa1-\xac\xae-\u02ff\u0400-\u0482\u2010-\u2027\u2030-\u205e\u2100-\u27ff\u3000-\u30ff]*"
)
_COLOUR = r"\x1b\[[0-9;]{0,12}m"
# The last character of a command is its group; colours in it do not make it another one.
_AT_START = regex(rf"^(?:\s|{_COLOUR})*+:(?:{_COLOUR})*+(:)")
# Possessive: a run of colours is never tried in parts, which takes the square of its length.
_ANYWHERE = regex(rf"#(?:{_COLOUR})*+#(?:{_COLOUR})*+[\w.-]{{0,30}}+(?:{_COLOUR})*+(\[)")
# What pytest itself writes to a terminal: colours; a line anew; the progress that a terminal shows beside its title.
_OWN = regex(rf"({_COLOUR})")
_ANEW = regex(rf"(?:{_COLOUR})?\r")
_PROGRESS = regex(r"\x1b\]9;4;[0-9;]{0,8}\x1b\\")
_LOOK_BACK = 200


def printable(text: str) -> str:
    r"""The text with control, format, invisible and surrogate characters as `\x1b`, `\u202e`; line breaks too."""
    if text.isascii():
        return text if text.isprintable() else "".join(c if c.isprintable() else _escape(c) for c in text)
    if text.isprintable() and _PLAIN.fullmatch(text):
        return text
    shown: list[str] = []
    stacked = 0
    for char in text:
        stacked = stacked + 1 if unicodedata.combining(char) else 0
        if char.isprintable() and stacked <= _STACKED and not _UNSEEN.match(char):
            shown.append(char)
        else:
            shown.append(_escape(char))
    return "".join(shown)


def printable_lines(text: str) -> str:
    """The same for text of several lines."""
    return "\n".join(map(printable, text.split("\n")))


def _escape(char: str) -> str:
    if unicodedata.category(char) == "Zs":
        return " "
    return char.encode("unicode_escape", "surrogatepass").decode("ascii")


def well_formed(text: str) -> str:
    r"""The text as UTF-8 can hold it: a lone surrogate as its escape, `\ud800`. Files, stores and clusters need it."""
    return text if text.isascii() else text.encode("utf-8", "backslashreplace").decode()


def inert(text: str, *, colours: bool = False) -> str:
    """Text of several lines as it may be written: no line holds a command, and a terminal obeys nothing in it.

    colours: those that are in the text are ours
    """
    return Inert(colours=colours).take(text)


class Inert:
    """The same for text that comes in parts, which lines and commands may span."""

    def __init__(self, *, colours: bool = False, anew: bool = False) -> None:
        """anew: a part may begin with a carriage return, and what follows stands at the start of the line."""
        self._colours = colours
        self._anew = anew
        self._line = ""  # what stands on the line so far, its end only

    def take(self, part: str) -> str:
        """The next part, as it may be written."""
        if self._anew and _PROGRESS.fullmatch(part):
            return part
        again = _ANEW.match(part) if self._anew else None
        lines = part[again.end() if again else 0 :].split("\n")
        made = []
        for number, line in enumerate(lines):
            if number or again:
                self._line = ""
            made.append(self._within(line))
        return (again[0] if again else "") + "\n".join(made)

    def _within(self, text: str) -> str:
        if not text.isprintable() or not text.isascii():
            text = "".join(
                piece if number % 2 and self._colours else "\t".join(map(printable, piece.split("\t")))
                for number, piece in enumerate(_OWN.split(text))
            )
        before = len(self._line)
        line = self._line + text
        if ":" in line or "[" in text:
            # What stands already was looked at: a command ends in what is new.
            ends = [m.start(1) for m in _ANYWHERE.finditer(line) if m.start(1) >= before]
            if (start := _AT_START.match(line)) and start.start(1) >= before:
                ends.append(start.start(1))
            for end in sorted(ends, reverse=True):
                line = f"{line[:end]}\\x{ord(line[end]):02x}{line[end + 1 :]}"
        made = line[before:]
        # A line that is long already does not begin with a command; the rest of a long one is kept for its end.
        self._line = line if len(line) <= _LOOK_BACK else "…" + line[-_LOOK_BACK:]
        return made


_OF_JSON = regex(r"(##[\w.-]{0,30})\[")
_FEW = 64
_HARMLESS = bytes([*b"\n\r\t", *range(0x20, 0x7F)])


def inert_json(document: bytes) -> bytes:
    """A JSON document that says the same, with escapes where a log would be obeyed or a terminal misled."""
    if b"##" not in document and not document.translate(None, _HARMLESS):
        return document  # nearly all
    text = _OF_JSON.sub(r"\1\\u005b", document.decode("utf-8", "surrogatepass"))
    return _replaced(text, {c: _of_json(c) for c in _misleading(text)}).encode("utf-8")


def _misleading(text: str) -> list[str]:
    """Characters of a file that a terminal should not be given as they are."""
    odd = text.encode("utf-8", "surrogatepass").translate(None, _HARMLESS).decode("utf-8", "surrogatepass")
    return [c for c in set(odd) if printable(c) != c or unicodedata.combining(c)]


def _replaced(text: str, made: dict[str, str]) -> str:
    """Each of these characters as its escape. `translate` asks a table about every character of the text."""
    if len(made) > _FEW:
        return text.translate({ord(char): escape for char, escape in made.items()})
    for char, escape in made.items():
        text = text.replace(char, escape)
    return text


def _of_json(char: str) -> str:
    units = char.encode("utf-16-be", "surrogatepass").hex()
    return "".join(f"\\u{units[at : at + 4]}" for at in range(0, len(units), 4))


_OF_MARKUP = (regex(r"(##[\w.-]{0,30})\["), regex(r"^([^\S\n]*+:):", re.MULTILINE))
_SCRIPT = regex(r"(<script\b.*?</script>)", re.DOTALL)


def inert_markup(document: bytes) -> bytes:
    """The same for XML and HTML, by character references; in scripts, whose data is JSON, by its escapes."""
    text = document.decode("utf-8").replace("\r\n", "\n").replace("\r", "\n")  # as every parser reads them
    anywhere, at_start = _OF_MARKUP
    parts = _SCRIPT.split(text)
    for number, part in enumerate(parts):
        if number % 2:
            part = anywhere.sub(r"\1\\u005b", part)
            parts[number] = _replaced(part, {c: _of_json(c) for c in _misleading(part)})
        else:
            part = at_start.sub(r"\1&#58;", anywhere.sub(r"\1&#91;", part))
            parts[number] = _replaced(part, {c: f"&#{ord(c)};" for c in _misleading(part)})
    return "".join(parts).encode("utf-8")
