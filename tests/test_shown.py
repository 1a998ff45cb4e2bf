from __future__ import annotations

import json
import logging
import re
import unicodedata
import xml.etree.ElementTree as ET

import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st

from pytest_kspec.audit.loglines import LogLines
from pytest_kspec.cli.quoted import requoted
from pytest_kspec.shown import Inert, inert, inert_json, inert_markup, printable
from tests.hostile.text import PAYLOADS, obeyed

COMMANDS = (
    ":",
    "::",
    "#",
    "##",
    "[",
    "##[error]",
    "##vso[x",
    "##VSO[",
    "##teamcity[",
    "a",
    " ",
    "\t",
    "\n",
    "\r",
)
UNSEEN = (
    "\x1b",
    "\x1b[31m",
    "\x1b[0K",
    "\x9b",
    "\u202e",
    "\u200b",
    "\u3164",
    "\ufe0f",
    "\u0301",
    "\x85",
    "é",
)
PIECES = st.sampled_from((*COMMANDS, *UNSEEN, "界"))
TEXT = st.lists(PIECES | st.characters(), max_size=12).map("".join)


@given(parts=st.lists(TEXT, max_size=6), colours=st.booleans())
def test_however_a_text_is_written_nothing_in_it_is_obeyed(parts: list[str], colours: bool) -> None:
    screen = Inert(colours=colours)
    written = "".join(screen.take(part) for part in parts)
    assert obeyed(written, colours=colours) == []


@given(text=TEXT)
def test_what_is_inert_stays(text: str) -> None:
    once = inert(text)
    assert inert(once) == once


def test_a_line_written_anew_by_pytest_begins_again() -> None:
    screen = Inert(colours=True, anew=True)
    assert screen.take("collecting ") == "collecting "
    assert screen.take("\x1b[1m\r::x\x1b[0m") == "\x1b[1m\r:\\x3ax\x1b[0m"
    assert screen.take("\x1b]9;4;1;50\x1b\\") == "\x1b]9;4;1;50\x1b\\"
    assert screen.take("x\r::y") == "x\\r::y"


@pytest.mark.parametrize(
    "text", ["a::b", "spec.yaml::prod::x", "std::", "[::1]:443", "# [x]", "## x", "a: b"]
)
def test_ordinary_text_stays_as_it_is(text: str) -> None:
    assert inert(text) == text


@given(text=TEXT)
def test_printable_text_is_one_line_that_a_reader_sees(text: str) -> None:
    shown = printable(text)
    assert shown.isprintable()
    stacked = 0
    for char in shown:
        stacked = stacked + 1 if unicodedata.combining(char) else 0
        assert stacked <= 2
        assert char not in "\u034f\u115f\u1160\u2800\u3164\ufe0f\uffa0\U000e0100"


@given(
    value=st.recursive(
        TEXT, lambda some: st.lists(some, max_size=3) | st.dictionaries(TEXT, some, max_size=3)
    )
)
def test_json_says_the_same(value: object) -> None:
    document = json.dumps(value, indent=1, ensure_ascii=False).encode("utf-8", "surrogatepass")
    written = inert_json(document)
    assert json.loads(written) == value
    assert obeyed(written.decode()) == []


@given(value=st.dictionaries(TEXT, TEXT | st.lists(TEXT, max_size=3) | st.integers(), max_size=4))
def test_yaml_says_the_same(value: dict[str, object]) -> None:
    encodable = json.loads(json.dumps(value).replace("\\ud", "x"))  # no half characters
    text = yaml.safe_dump(encodable, width=20)
    quoted = requoted(text)
    assert yaml.safe_load(quoted) == encodable
    assert inert(quoted) == quoted


@given(text=TEXT)
def test_xml_says_the_same(text: str) -> None:
    element = ET.Element("a")
    element.text = "".join(c for c in text if c == "\n" or c.isprintable())
    document = ET.tostring(element)
    written = inert_markup(document)
    assert ET.fromstring(written).text == ET.fromstring(document).text
    assert obeyed(written.decode()) == []


def test_scripts_in_html_keep_their_data() -> None:
    page = b'<p>\n::x ##[y]</p><script type="application/json">["##[error]"]</script>'
    written = inert_markup(page).decode()
    assert written == (
        '<p>\n:&#58;x ##&#91;y]</p><script type="application/json">["##\\u005berror]"]</script>'
    )


@pytest.mark.parametrize("payload", PAYLOADS)
def test_a_log_record_is_one_line(payload: str) -> None:
    record = logging.LogRecord("kspec", logging.ERROR, __file__, 1, "%s", (payload,), None)
    line = LogLines("%(message)s").format(record)
    assert "\n" not in line
    assert obeyed(line) == []


@pytest.mark.parametrize("start", ["##", "#", ":", ""])
def test_runs_of_colours_are_read_once(start: str) -> None:
    """200,000 of them: minutes, where each were tried with each other."""
    text = start + "\x1b[31m" * 200_000
    assert inert(f"{text}[error]", colours=True).endswith("\\x5berror]" if start == "##" else "[error]")


def test_blank_lines_are_read_once() -> None:
    blank = b"\n \t" * 200_000
    assert inert_markup(b"<a>" + blank + b"::x</a>").endswith(b":&#58;x</a>")


def test_every_payload_is_one() -> None:
    assert [payload for payload in PAYLOADS if not obeyed(payload) and not re.search(r"\s::", payload)] == []


@pytest.mark.parametrize("number", [1, 3, 64, 65, 400])
def test_json_says_the_same_however_many_characters_are_misleading(number: int) -> None:
    """A few are replaced one after the other, many in one pass."""
    odd = "".join(map(chr, range(0xE0100 - number, 0xE0100)))
    document = json.dumps({"a": f"{odd}é{odd}"}, ensure_ascii=False).encode()
    made = inert_json(document)
    assert json.loads(made) == json.loads(document)
    assert "é".encode() in made
    assert not set(odd) & set(made.decode())
