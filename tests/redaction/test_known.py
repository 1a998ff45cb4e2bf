"""A secret that is known is not shown: whole, in parts, cut, and in the forms in which programs print it."""

from __future__ import annotations

import base64
import html
import json
from urllib.parse import quote, unquote

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pytest_kspec.redaction.known import without

TOKEN = "XyZ%2Fabc+DEF123ghi"
URL = f"https://bot:p%40ss~word@hooks.example.com/services/T0A1B2C3/B9Z8Y7X6/{TOKEN}?key=q-u-e-r-y&n=1#frag-ment"
PARTS = (
    URL, TOKEN, "T0A1B2C3", "B9Z8Y7X6", "p%40ss~word", "q-u-e-r-y", "frag-ment", "key=q-u-e-r-y&n=1",
    f"B9Z8Y7X6/{TOKEN}", f"/services/T0A1B2C3/B9Z8Y7X6/{TOKEN}",
)  # fmt: skip
FORMS = {
    "as it is": lambda text: text,
    "decoded": unquote,
    "encoded": lambda text: quote(text, safe=""),
    "encoded in lower case": lambda text: quote(text, safe="").lower(),
    "upper case": str.upper,
    "JSON": lambda text: json.dumps(text).strip('"'),
    "JSON of PHP": lambda text: text.replace("/", "\\/"),
    "HTML": html.escape,
    "literal": lambda text: repr(text)[1:-1],
}


@pytest.mark.parametrize("form", FORMS)
@pytest.mark.parametrize("part", PARTS)
def test_no_part_of_a_secret_url_is_left(part: str, form: str) -> None:
    shown = FORMS[form](part)
    said = without(f"no team: {shown}!", (URL,), "…")
    for text in (TOKEN, unquote(TOKEN), "T0A1B2C3", "B9Z8Y7X6", "p@ss", "p%40ss", "q-u-e-r-y", "frag-ment"):
        for one in (text, text.upper(), text.lower()):
            assert one not in said
    assert said.startswith("no team: "), "what is not secret is left"


@pytest.mark.parametrize(
    ("secret", "echoed"),
    [
        ("Bearer abcDEF-123456", "abcDEF-123456"),
        ("GenieKey token=abcDEF-123456", "abcDEF-123456"),
        ("Basic " + base64.b64encode(b"bot:pa55 word").decode(), "pa55 word"),
        ("pa55-word", base64.b64encode(b"pa55-word").decode()),
        ("\0bot\0pa55-word", base64.b64encode(b"\0bot\0pa55-word").decode()),
    ],
)
def test_what_a_header_or_a_login_holds(secret: str, echoed: str) -> None:
    assert without(f"wrong: {echoed} (401)", (secret,), "…") == "wrong: … (401)"


@pytest.mark.parametrize("cut", [TOKEN[:14], TOKEN[4:], TOKEN[3:16]])
def test_a_token_that_is_cut(cut: str) -> None:
    assert without(f"unknown token {cut}.", (URL,), "…") == "unknown token …."


def test_words_of_a_message_stay() -> None:
    url = "https://hooks.example.com/services/webhook/alerts/T0A1B2C3?a=b"
    text = "services are down: no webhook for alerts at hooks.example.com"
    assert without(text, (url,), "…") == text


@given(st.text(max_size=60), st.lists(st.text(max_size=80), max_size=4))
def test_it_ends_and_leaves_no_whole_secret(text: str, secrets: list[str]) -> None:
    made = without(text + "".join(secrets), secrets, "…")
    assert all(one not in made for one in secrets if len(one) >= 4 and "…" not in one)
