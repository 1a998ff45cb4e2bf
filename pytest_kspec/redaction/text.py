"""Credentials in a text: what is said to be one, and what looks like one.

Said: `--password x`, `PASSWORD=x`, `"token": "x"`, `Authorization: Bearer x`, `https://user:x@host`. What is taken out
is replaced by REDACTED; the rest of the text stays as it is, and a text without credentials is the same object.
"""

from __future__ import annotations

import re
from functools import lru_cache

from pytest_kspec.redaction.formats import KNOWN, SHORTEST, private_in_base64, random
from pytest_kspec.redaction.marker import REDACTED
from pytest_kspec.redaction.names import Says, says
from pytest_kspec.regexes import regex

_TAIL = ".:!?)]}>"  # what may stand behind a value
_NO_SECRET_WORDS = """
true false yes no on off none null nil unset default always never required optional enabled disabled
set string int bool object empty undefined <nil> <none> <redacted> *** **** ***** ****** redacted
"""
_NO_SECRET = frozenset(_NO_SECRET_WORDS.split())
_REFERENCE = regex(
    r"\$(?:\([^()]*\)|\{[^{}]*\}|[A-Z_][A-Z0-9_]*)|\{\{[^{}]*\}\}|\*+"
    r"|<(?:your|my|the|set|some|none|nil|redacted|hidden|secret|password|token)[\w .-]*>"
)
_DULL = regex(r"[-+]?[\d.,:]+[a-zA-Z%]{0,2}|\.{0,2}/[\w./@-]*|[-+=/*.:,;|&]*")
_PLAIN_WORD = regex(r"[A-Z]?[a-z]+|[A-Z]+(?:,[A-Z]+)*")
_PORT = regex(r":\d{1,5}(?:[/?#]|$)")

_NAME = regex(
    r"(?<![\w$.-])(-{0,2}[A-Za-z_][\w./-]*+)"
    r"(\\{0,8}[\"'\]]{0,2}[ \t]{0,3}(?:=>|:=|==?|:(?!//))[ \t]{0,3})",
)
_VALUE = regex(
    r"((?:(?:bearer|basic|digest|negotiate|token|apikey)[ \t]+)?)"
    r"(\\{0,8}\"(?:[^\"\\]|\\(?!\"))*+|\\{0,8}'[^']*+|[^\s\"',;&|<>]++)",
    re.IGNORECASE,
)
_QUERY = regex(r"[?&;]([\w.\[\]-]{1,80})=")
_QUERY_VALUE, _QUERY_PART = regex(r"[^&#\s\"';]++"), regex(r"[^?&#\s\"';]++")
_OPTION = regex(r"(?<![\w-])(--?[A-Za-z][\w-]{0,80}+)([ \t]+)(\"[^\"]++|'[^']++|[^\s\"'-][^\s\"']*+)")
_SCHEME = regex(r"\b(bearer|basic|negotiate)([ \t]+)([\w+/=.~-]{6,}+)", re.IGNORECASE)
_BARE_USER = regex(
    r"(?:(?<![\w/:@.+-])|(?<=(?<![\w:/])//))(?!mailto:|email:|e-mail:|contact:|maintainer:|sip:|xmpp:|acct:)([\w.+-]{1,64}):([^\s:@/\"'(){}]{1,256})@"
    r"(?=[\w\[(])(?!sha\d+:)"
)
_ORACLE = regex(
    r"(\bjdbc:oracle:\w{1,16}:|\b(?:sqlplus|sqlldr|rman|expdp|impdp)[ \t]{1,3}(?:-\w{1,8}[ \t]{1,3}){0,4}|\buserid=)"
    r"([\w$#]{1,128})/([^\s@/\"']{1,256}|\"[^\"]{1,256}\")(?=@)"
)
_TOKEN_USER = regex(r"(?=[^\d]{0,64}\d)(?=[^A-Za-z]{0,64}[A-Za-z])[\w~-]{16,}")
"""The user of an address without a password, where it is a token: of Sentry, of a Git server."""
_NAMED_VALUE = regex(
    r"((?:name|key)\\{0,8}[\"']\s?:\s?\\{0,8}[\"']([\w./-]+)\\{0,8}[\"'],[\s+-]{0,40}+\\{0,8}[\"']value\\{0,8}[\"']\s?:\s?\\{0,8}[\"'])"
    r"([^\"'\\]+)",
    re.IGNORECASE,
)
_VALUE_NAMED = regex(
    r"(value\\{0,8}[\"']\s?:\s?\\{0,8}[\"'])([^\"'\\]+)(\\{0,8}[\"'],[\s+-]{0,40}+\\{0,8}[\"'](?:name|key)\\{0,8}[\"']\s?:\s?\\{0,8}[\"']([\w./-]+))",
    re.IGNORECASE,
)
_LINE = regex(r"^([ \t-]*)([\w.-]{2,80})(:[ \t]+)(?![|>][-+]?$)([^\s\"'{\[#][^\n]*)$", re.MULTILINE)
_CLIENTS = regex(r"\b(?:mysql|mariadb|mysqldump|mysqladmin|sqlcmd)\w*\b")
_QUOTED = r"((?<=\")[^\"\n]{1,256}|(?<=')[^'\n]{1,256}"
"""Behind a quote the whole of what it encloses, with its spaces."""
_OF_CLIENTS = regex(
    r"(\b(?:(?:sqlcmd|bcp|isql|tsql|mosquitto_(?:pub|sub))\b[^\n;|&]{0,200}?[ \t]-P\s{0,8}"
    r"|openssl\b[^\n;|&]{0,200}?[ \t]-[kK]\s{1,8}"
    r"|rabbitmqctl\b[^\n;|&]{0,200}?[ \t](?:add_user|change_password|authenticate_user)[ \t]+\S{1,128}\s{1,8}"
    r"|(?:machine\s{1,8}\S{1,128}|default)\s{1,8}login\s{1,8}\S{1,128}\s{1,8}password\s{1,8})[\"']?)"
    + _QUOTED
    + r"|[^\s\"';|&]{1,256})"
)
"""Words of which only the program before them says that they are a password; the last one is a line of netrc."""
_ELEMENT = regex(r"(<([A-Za-z][\w.:-]{1,80})>\s{0,40})([^<>\s][^<>]{0,1000})(?=</)")
_PIPED = regex(
    r"(\b(?:echo|printf)[ \t]+(?:-\w[ \t]+)?[\"']?)" + _QUOTED + r"|[^\s|\"']{1,256})"
    r"(?=[\"']?[ \t]{0,3}\|[^|;&\n]{0,200}password-stdin)"
)
_GLUED = regex(r"(?<!\S)-p(?=[^\s-])([^\s\"']+)")


def redact(text: str, *, entropy: bool = True) -> str:
    """The text without credentials. entropy: also what is not known but looks random."""
    return _redact(text, entropy) if len(text) > 3 else text


def redact_formats(text: str) -> str:
    """The text without passwords in URLs and credentials of known formats: whatever else it says of some stays."""
    made = _without_userinfo(text) if "://" in text and "@" in text else text
    return KNOWN.sub(REDACTED, made)


def redact_named(name: str, value: str, *, weak: bool = True) -> str:
    """The value of something that has a name. weak: names that many harmless things have count too (`key`, `auth`)."""
    said = says(name)
    if (said is Says.CREDENTIAL or (weak and said is Says.MAYBE)) and not harmless(value, said, words=False):
        return REDACTED
    return redact(value)


def harmless(value: str, said: Says, *, words: bool = True) -> bool:
    """Whether the value of a name that says so is none for sure: nothing, a reference to it, true or false.

    words: where the name only may say so, a plain word is none
    """
    value = value.strip()
    if (
        not value
        or value.rstrip(_TAIL) == REDACTED.rstrip(_TAIL)
        or value.lower() in _NO_SECRET
        or _REFERENCE.fullmatch(value)
    ):
        return True
    if said is not Says.MAYBE:
        return False
    return bool(_DULL.fullmatch(value) or (words and _PLAIN_WORD.fullmatch(value)))


@lru_cache(maxsize=1 << 15)
def _redact(text: str, entropy: bool) -> str:
    made = text
    if "://" in made and "@" in made:
        made = _without_userinfo(made)
    if "@" in made and ":" in made:
        made = _BARE_USER.sub(_user, made)
    if "@" in made and "/" in made:
        made = _ORACLE.sub(rf"\1\2/{REDACTED}", made)
    if "=" in made or ":" in made:
        if "value" in made:
            made = _VALUE_NAMED.sub(_value_named, _NAMED_VALUE.sub(_named_value, made))
        if "\n" in made or made[:1].isalpha():
            made = _LINE.sub(_line, made)
        made = _pairs(made)
        if "?" in made or "&" in made:
            made = _queries(made)
    if " " in made or "\t" in made:
        if "-" in made:
            made = _OPTION.sub(_option, made)
            if "password-stdin" in made:
                made = _PIPED.sub(_piped, made)
            if "-p" in made and _CLIENTS.search(made):
                made = _GLUED.sub(f"-p{REDACTED}", made)
        made = _OF_CLIENTS.sub(_piped, made)
        made = _SCHEME.sub(_scheme, made)
    if "</" in made:
        made = _ELEMENT.sub(_element, made)
    if len(made) >= SHORTEST:
        made = KNOWN.sub(REDACTED, made)
        if private_in_base64(made):
            made = REDACTED
        if entropy:
            made = _without(made, random(made))
    return text if made == text else made


def _without(text: str, spans: list[tuple[int, int]]) -> str:
    for start, end in reversed(spans):
        text = text[:start] + REDACTED + text[end:]
    return text


def _without_userinfo(text: str) -> str:
    """Passwords in URLs, also those that hold `/`, `@` or `#` as they are."""
    parts: list[str] = []
    at = 0
    for word in re.finditer(r"[^\s\"'<>`]+", text):
        found = word[0]
        start = found.find("://")
        if start < 0 or "@" not in found:
            continue
        # Several addresses may stand in one word.
        pieces = re.split(r"(?<=[,;|])(?=[a-zA-Z][\w+.-]{0,20}://)", found)
        parts += [text[at : word.start()], "".join(map(_url, pieces))]
        at = word.end()
    return "".join([*parts, text[at:]])


def _url(url: str) -> str:
    scheme, found, rest = url.partition("://")
    user, at, host = rest.rpartition("@")
    if not found or not at:
        return url
    authority = (re.match(r"[^/?#]*", rest) or [""])[0]
    colon = authority.find(":")
    if "@" not in authority and (colon < 0 or _PORT.match(rest, colon)):
        return url  # http://host:8080/a@b and https://host/a@b are paths; //user:a/b@host is a password with a slash
    if colon >= 0:
        end = rest.find("?", rest.index("@"))
        user, at, host = rest[: end if end > 0 else None].rpartition("@")
        host += rest[end:] if end > 0 else ""
    name, colon_found, password = user.partition(":")
    if not colon_found and scheme.rpartition("=")[2] in ("http", "https") and _TOKEN_USER.fullmatch(name):
        return f"{scheme}://{REDACTED}@{host}"
    if not colon_found or not password or password == REDACTED:
        return url
    return f"{scheme}://{name}:{REDACTED}@{host}"


def _user(match: re.Match[str]) -> str:
    return match[0] if match[2] == REDACTED else f"{match[1]}:{REDACTED}@"


def _pairs(text: str) -> str:
    """`name=value`, `name: value`, `"name": "value"`, where the name is that of a credential."""
    parts: list[str] = []
    at = 0
    for match in _NAME.finditer(text):
        name, between = match.groups()
        said = says(name.rpartition("/")[2])
        if said is Says.NOTHING or match.start() < at:
            continue
        if "=" not in between and text[match.start() - 1 : match.start()] in (":", "/"):
            continue  # a part of an address, or of the name of an object
        if between == ":" and "/" in name:
            continue  # an image and its tag
        value = _VALUE.match(text, match.end())
        if value is None:
            continue
        quote = re.match(r"\\{0,8}[\"']", value[2])
        inner = value[2][quote.end() :] if quote else value[2]
        if harmless(inner.rstrip("\\"), said) or (not quote and not value[1] and _is_prose(between, inner)):
            continue
        slashes = inner[len(inner.rstrip("\\")) :] if quote else ""
        parts += [text[at : match.end()], value[1], quote[0] if quote else "", REDACTED, slashes]
        at = value.end()
    return "".join([*parts, text[at:]]) if parts else text


def _is_prose(between: str, value: str) -> bool:
    """`token: invalid` of a message, where `token: hunter2` is none."""
    if ":" not in between or not between.endswith((" ", "\t")) or "=" in between:
        return False
    return bool(_PLAIN_WORD.fullmatch(value.rstrip(".!?:"))) or bool(re.fullmatch(r"\d{1,3}", value))


def _named_value(match: re.Match[str]) -> str:
    made = redact_named(match[2], match[3])
    return match[0] if made == match[3] else match[1] + made


def _value_named(match: re.Match[str]) -> str:
    made = redact_named(match[4], match[2])
    return match[0] if made == match[2] else match[1] + made + match[3]


def _line(match: re.Match[str]) -> str:
    """`password: correct horse` on a line of its own, as in YAML; a sentence after a colon is none."""
    indent, name, between, value = match.groups()
    said = says(name)
    if said is not Says.CREDENTIAL or harmless(value, said) or value.startswith("\\"):
        return match[0]
    if "\n" not in match.string and len(value.split()) > 3:
        return match[0]
    if _PLAIN_WORD.fullmatch(value) and "\n" not in match.string:
        return match[0]
    return f"{indent}{name}{between}{REDACTED}"


def _queries(text: str) -> str:
    """`?name=value&name=value`. An address may be the value of a query itself, and have one, at any depth."""
    parts: list[str] = []
    at = place = 0
    while name := _QUERY.search(text, place):
        place = name.end()
        said = says(name[1])
        known = _QUERY_VALUE.match(text, place) if said is not Says.NOTHING else None
        if known is not None and not harmless(known[0], said, words=False):
            value, made = known[0], REDACTED
        else:
            part = _QUERY_PART.match(text, place)
            value = part[0] if part is not None else ""
            made = redact(value)
        if made != value:
            parts += [text[at:place], made]
            at = place + len(value)
        place += len(value)
    return "".join([*parts, text[at:]]) if parts else text


def _option(match: re.Match[str]) -> str:
    name, between, value = match.groups()
    quote = value[0] if value[0] in "\"'" else ""
    made = option_value(name, value[len(quote) :])
    return match[0] if made == value[len(quote) :] else f"{name}{between}{quote}{made}"


def _element(match: re.Match[str]) -> str:
    made = redact_named(match[2].rpartition(":")[2], match[3], weak=False)
    return match[0] if made == match[3] else match[1] + made


def _piped(match: re.Match[str]) -> str:
    return match[0] if harmless(match[2], Says.CREDENTIAL) else f"{match[1]}{REDACTED}"


def _scheme(match: re.Match[str]) -> str:
    value = match[3]
    if _PLAIN_WORD.fullmatch(value.rstrip(".")):
        return match[0]
    return f"{match[1]}{match[2]}{REDACTED}"


def option_value(option: str, value: str) -> str:
    """The word after an option of a command line."""
    name = option.lstrip("-")
    if option in ("-p", "-a", "-w", "-W"):
        plain = _DULL.fullmatch(value) or "/" in value or "=" in value or (":" in value and "@" not in value)
        return redact(value) if plain or harmless(value, Says.CREDENTIAL) or len(value) < 3 else REDACTED
    if option in ("-u", "--user", "-U", "--proxy-user") and ":" in value and not _DULL.fullmatch(value):
        user, _, password = value.partition(":")
        return f"{user}:{REDACTED}" if password and not harmless(password, Says.CREDENTIAL) else value
    said = says(name)
    if said is Says.NOTHING or harmless(value, said):
        return redact(value)
    return REDACTED
