"""Which names (of fields, variables, options, headers, keys) are those of credentials."""

from __future__ import annotations

from enum import IntEnum
from functools import lru_cache

from pytest_kspec.regexes import regex


class Says(IntEnum):
    """What a name says of its value. MAYBE: it is a credential unless it is a number, a path or a plain word."""

    NOTHING = 0
    MAYBE = 1
    CREDENTIAL = 2


LONGEST = 256
_WORDS = regex(r"[A-Z]+(?![a-z])|[A-Z]?[a-z]+|[A-Z]+|\d+")
_WITHIN = regex(
    r"passw(?:or)?d|passwort|passphrase|passcode|contrase|secret|token|credential|apikey|accesskey|privatekey|encryptionkey"
    r"|signingkey|masterkey|accountkey|sharedkey|authkey|keydata|connectionstring|connstr|authorization(?!modes?$)"
)
_STRONG = frozenset(
    {
        "pass",
        "pwd",
        "pw",
        "passwd",
        "creds",
        "cred",
        "jwt",
        "dsn",
        "bearer",
        "psk",
        "otp",
        "pat",
        "sas",
        "sig",
    }
    | {"signature", "passkey", "keytab", "webhookurl", "requirepass", "masterauth", "sshkey", "hmackey"}
)
_WEAK = frozenset(
    {"key", "keys", "auth", "cookie", "cookies", "salt", "pin", "private", "session", "userinfo"}
)
_ENDS = ("pass", "pwd", "jwt")
# What the last word says it is instead.
_ABOUT_WORDS = """
file files filename path paths dir directory folder mount name names ref refs reference namespace
mode modes type types ttl expiry expiration expires expired lifetime seconds minutes hours days
period timeout interval enabled enable disabled disable required policy policies algorithm
algorithms alg length size count issuer issuers audience audiences host hosts hostname port ports
class provider providers version backend store manager prefix suffix format kind group groups url
uri urls endpoint endpoints server selector generation template templates service method methods
status reviews review requests cleaner controller operator validator webhook lookup cache user
username role roles account usages scheme realm domain engine driver rotation plugin plugins quota
rate rates percent percentage ratio total totals score threshold limit limits retries attempts
"""
_ABOUT = frozenset(_ABOUT_WORDS.split())
_ABOUT_ENDS = ("file", "path", "dir", "filename", "url", "uri", "ref")


_OBJECTS = frozenset({("tls", "secret"), ("pull", "secret"), ("ca", "secret")})
"""Names of Secret objects: `--tls-secret NAMESPACE/NAME`, `imagePullSecret`."""


@lru_cache(maxsize=8192)
def says(name: str) -> Says:
    """What the name says: `DB_PASSWORD`, `--api-key`, `example.com/authToken`, `X-Auth-Token`, `PGPASSWORD`."""
    words = [word.lower() for word in _WORDS.findall(name[-LONGEST:])]
    while words and words[-1].isdigit():
        words.pop()
    if not words:
        return Says.NOTHING
    squashed = "".join(words)
    strong = bool(_WITHIN.search(squashed)) or not _STRONG.isdisjoint(words) or squashed.endswith(_ENDS)
    if _about(words[-1]) or tuple(words[-2:]) in _OBJECTS:
        return Says.NOTHING
    if strong:
        return Says.CREDENTIAL
    return Says.MAYBE if not _WEAK.isdisjoint(words) or squashed.endswith("key") else Says.NOTHING


def is_about(name: str) -> bool:
    """Whether the name is that of something about a credential, or beside it: `tokenUrl`, `name`, `username`."""
    words = _WORDS.findall(name[-LONGEST:])
    return bool(words) and _about(words[-1].lower())


def _about(word: str) -> bool:
    return word in _ABOUT or word.endswith(_ABOUT_ENDS)
