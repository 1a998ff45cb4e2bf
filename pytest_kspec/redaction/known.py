"""Secrets that are known, taken out of what others say: whole, in parts, and as programs print them."""

from __future__ import annotations

import base64
import binascii
import html
import re
from collections.abc import Iterable, Iterator
from urllib.parse import parse_qsl, quote, quote_plus, unquote, unquote_plus, urlsplit

SHORTEST = 4
"""Characters of a part that is taken out: shorter ones stand in many words."""

_RUN = 12
"""Characters in a row that no text has by accident: an answer may quote the beginning of a token, or its end."""

_PLAIN = {
    *(
        "alert",
        "alerts",
        "events",
        "enqueue",
        "hook",
        "hooks",
        "integration",
        "integrations",
        "notify",
        "services",
    ),
    *("webhook", "webhooks", "application/json", "basic", "bearer", "http", "https", "token"),
}
"""Parts of paths and headers that are not secrets, and that messages need."""


def without(text: str, secrets: Iterable[str], mask: str) -> str:
    """The text with this in the place of each secret, of its parts, and of each run of 12 characters of one."""
    values = {part for secret in secrets for part in _parts(secret)}
    found = {form for value in values for form in forms(value) if len(form) >= SHORTEST}
    for form in sorted(found, key=lambda form: (-len(form), form)):
        if len(form) <= len(text):
            text = re.sub(re.escape(form), lambda _: mask, text, flags=re.IGNORECASE)
    for value in sorted(one for one in values if len(one) > _RUN and "://" not in one):
        text = _without_runs(text, value, mask)
    return text


def forms(value: str) -> set[str]:
    """As libraries print it: as it is, percent-encoded and decoded, as a literal, in JSON, in HTML, in base64."""
    plain = unquote(value, errors="surrogateescape")
    escapes = "surrogateescape"
    literal = repr(value)[1:-1]
    return {
        value,
        plain,
        unquote_plus(value),
        quote(value, errors=escapes),
        quote(plain, safe="", errors=escapes),
        quote(value, safe="", errors=escapes),
        quote_plus(value, errors=escapes),
        literal,
        value.replace("/", "\\/"),
        html.escape(value),
        base64.b64encode(value.encode("utf-8", "surrogateescape")).decode(),
    }


def _parts(secret: str) -> Iterator[str]:
    """A secret and what may be shown of it alone: words of a header, user and password, of a URL all but its host."""
    yield secret
    words = secret.split()
    if len(words) > 1:
        for word in words:
            if _is_telling(word):
                yield from _parts(word)
                yield from filter(_is_telling, word.partition("=")[2:])
        if words[0].lower() == "basic":
            yield from _pair(words[1])
    if "://" not in secret:
        return
    try:
        url = urlsplit(secret)
        userinfo = (url.username or "", url.password or "")
        query = [value for _, value in parse_qsl(url.query)]
    except ValueError:
        return
    rest = secret.partition("://")[2].partition("/")[2]
    texts = (*userinfo, *query, url.fragment, url.query, rest, url.path, *re.split(r"[/;,:]", url.path))
    yield from filter(_is_telling, texts)


def _is_telling(part: str) -> bool:
    return len(part) >= SHORTEST and part.lower().strip("/") not in _PLAIN


def _pair(encoded: str) -> Iterator[str]:
    """What `Basic` credentials hold."""
    try:
        pair = base64.b64decode(encoded, validate=True).decode()
    except (binascii.Error, ValueError):
        return
    yield pair
    yield pair.partition(":")[2]


def _without_runs(text: str, value: str, mask: str) -> str:
    """Without what the two have in common, where that is long enough."""
    at = 0
    while at + _RUN <= len(value):
        place = text.find(value[at : at + _RUN])
        if place < 0:
            at += 1
            continue
        length = _RUN
        while value[at + length : at + length + 1] == text[place + length : place + length + 1] != "":
            length += 1
        text = text[:place] + mask + text[place + length :]
    return text
