"""Texts that a terminal or a CI system obeys, and what of that is left in an output."""

from __future__ import annotations

import re

PAYLOADS = (
    "::stop-commands::x",
    "\n::set-env name=PATH::/tmp",
    "\r::error::x",
    "a\x85::add-mask::x",
    "a\u2028::error::x",
    "##[error]x",
    "##vso[task.setvariable variable=x]y",
    "##VSO[task.complete]",
    "##teamcity[buildStop]",
    "\x1b[0Ksection_start:1:x\r\x1b[0Kx",
    "\x1b]0;title\x07",
    "\x1b[2J",
    "\x9b31m",
    "a\u202eb",
    "a\u200bb",
    "a\u3164b",
    "a" + "\u0301" * 50,
    "tab\there\x00",
)
_COLOUR = re.compile(r"\x1b\[[0-9;]*m")


def obeyed(output: str, *, colours: bool = False) -> list[str]:
    """The lines that something obeys: commands, characters that nobody sees. colours: those are allowed."""
    found = []
    for line in output.split("\n"):
        if colours:
            line = _COLOUR.sub("", line)
        seen = line.replace("\t", " ")
        if (
            re.match(r"\s*::", line)
            or re.search(r"##[\w.-]*\[", line)
            or not seen.isprintable()
            or re.search(r"[\u034f\u115f\u1160\u17b4\u17b5\u2800\u3164\ufe00-\ufe0f\uffa0]", line)
            or re.search(r"[\u0300-\u036f]{3}", line)
        ):
            found.append(line)
    return found
