"""What credentials look like, wherever they stand: tokens of known services, private keys, random letters.

The formats are those of detect-secrets' detectors and some newer ones; a test compares the two. Each begins at a word's
beginning and its parts are bounded, or possessive: no text takes more than linear time.
"""

from __future__ import annotations

import base64
import binascii
import re

from pytest_kspec.regexes import regex

_TOKENS = (
    r"(?:A3T[A-Z0-9]|ABIA|ACCA|AKIA|ASIA)[0-9A-Z]{12,}",  # AWS: access keys
    r"gh[pousr]_[A-Za-z0-9_]{20,}",  # GitHub
    r"github_pat_\w{20,}",
    r"gl(?:pat|dt|ft|soat|rt|imt|ptt|agent|oas|cbt|ffct)-[\w-]{12,}",  # GitLab
    r"GR1348941[\w-]{20,}",
    r"(?i:xox[a-z])-[\w-]{3,}",  # Slack
    r"xapp-[\w-]{10,}",
    r"(?i:https://hooks\.slack\.com/services/)[\w/]{5,}",
    r"eyJ[\w=-]{10,2000}+\.[\w=-]{2,}+(?:\.[\w.+/=-]*+)?",  # JSON Web Tokens
    r"[rs]k_(?:live|test)_[0-9a-zA-Z]{16,}",  # Stripe
    r"SG\.[\w-]{22}\.[\w-]{43}",  # SendGrid
    r"npm_\w{30,}",
    r"pypi-[\w-]{32,}",
    r"sk-[\w-]{20,}",  # OpenAI, Anthropic
    r"AIza[\w-]{35}",  # Google
    r"ya29\.[\w-]{20,}",
    r"hv[sbr]\.[\w-]{20,}",  # Vault
    r"do[opr]_v1_[a-f0-9]{32,}",  # DigitalOcean
    r"dckr_[a-z]{3}_[\w-]{20,}",  # Docker Hub
    r"shp(?:at|ca|pa|ss)_[a-fA-F0-9]{32}",  # Shopify
    r"gl(?:c|sa)_[\w+/=]{30,}",  # Grafana
    r"AGE-SECRET-KEY-1[A-Z0-9]{20,}",
    r"sq0[a-z]{3}-[\w\\-]{22,}",  # Square
    r"[MNO][\w-]{23,25}\.[\w-]{6}\.[\w-]{27,}",  # Discord
    r"\d{8,10}:[\w-]{35}(?![\w-])",  # Telegram
    r"(?:AC|SK)[a-z0-9]{32}(?![A-Za-z0-9])",  # Twilio
    r"[0-9a-z]{32}-us[0-9]{1,2}(?![0-9])",  # Mailchimp
    r"AKC[a-zA-Z0-9]{10,}",  # Artifactory
    r"(?i:https://(?:\w{1,20}\.)?discord(?:app)?\.com/api/webhooks/)\d{5,20}/[\w-]{20,}",
    r"(?i:https://[\w-]{1,80}\.webhook\.office\.com/webhookb2/)[\w@/-]{20,}",  # Microsoft Teams
    r"NR(?:AK|AA|II|IQ|RA)-[\w-]{20,}",  # New Relic
    r"dapi[a-f0-9]{32}(?:-\d)?",  # Databricks
    r"key-[a-f0-9]{32}(?![a-f0-9])",  # Mailgun
    r"pul-[a-f0-9]{40}",  # Pulumi
    r"lin_api_\w{20,}",  # Linear
    r"pscale_(?:tkn|pw|oauth)_[\w.-]{20,}",  # PlanetScale
    r"fig[dou]_[\w-]{20,}",  # Figma
    r"sntry[su]_[\w+/=-]{20,}",  # Sentry
    r"ATATT3[\w=-]{20,}",  # Atlassian
    r"hf_[A-Za-z]{30,}",  # Hugging Face
    r"dp\.(?:pt|st|ct|sa|scim|audit)\.[\w.-]{20,}",  # Doppler
    r"[A-Za-z0-9]{14}\.atlasv1\.[\w=-]{40,}",  # Terraform Cloud
    r"\$(?:1|5|6|y|2[abxy]|apr1|argon2(?:id|i|d)|scrypt)\$[\w./$=,+-]{16,}",  # a password's hash, of crypt
    r"AP[\dA-F](?=[A-Z]*[a-z0-9])[a-zA-Z0-9]{8,}",
    r"(?:BEGIN (?:[A-Z0-9]+ ){0,3}PRIVATE KEY|PuTTY-User-Key-File-)[\s\S]*?"  # to the end of the key, or of the text
    r"(?:-----END (?:[A-Z0-9]+ ){0,3}PRIVATE KEY(?: BLOCK)?-----|\Z)",
)
KNOWN = regex(r"(?<![A-Za-z0-9])(?:" + "|".join(_TOKENS) + ")")
SHORTEST = 8
"""Characters of the shortest of these."""

_RUNS = regex(r"[A-Z]+|[a-z]+|[0-9]+")
_LONG = regex(r"(?<![A-Za-z0-9+/=_-])(?:SHA\d+:|sha\d+[-:])?[A-Za-z0-9+=_-]{20,}(?:/[A-Za-z0-9+=_-]+)*")
_SOLID = regex(r"[A-Za-z0-9+]{20,}")
_MEAN_RUN = 2.6
_PEM, _PEM_BASE64, _SSH_PUBLIC, _DER = "-----BEGIN ", "LS0tLS1CRUdJTi", "AAAA", "MI"
_INNER_SEQUENCE = 0x30


def random(text: str) -> list[tuple[int, int]]:
    """Where in the text letters and digits stand that no person wrote: (start, end) of each.

    Hexadecimal digits are digests and UUIDs, never this; neither are certificates and public keys.
    """
    if len(text) < 20:
        return []
    return [
        match.span()
        for match in _LONG.finditer(text)
        if any(_looks_random(part) for part in _SOLID.findall(match[0])) and not _public(text, match)
    ]


def _looks_random(part: str) -> bool:
    """Capitals, small letters and digits, which change more often than words do: 1.6 a run if by chance."""
    if part.isalpha() or part.isdigit() or part.islower() or part.isupper():
        return False
    runs = _RUNS.findall(part[:400])
    if len({run[0].isdigit() + 2 * run[0].isupper() for run in runs}) < 3:
        return False
    return sum(map(len, runs)) / len(runs) < _MEAN_RUN


def _public(text: str, match: re.Match[str]) -> bool:
    """Whether it is a certificate, a request for one, a public key, or a digest that says that it is one."""
    word = match[0]
    if word.lower().startswith("sha") and re.match(r"(?i)sha\d+[-:]", word):
        return True
    if word.startswith(_SSH_PUBLIC):
        return True
    if word.startswith(_PEM_BASE64):
        return b"PRIVATE" not in _decoded(word[:96])
    if word.startswith(_DER):
        # A certificate, a request and a public key begin with a sequence; a private key with its version.
        head = _decoded(word[:16])
        return len(head) > 4 and head[4 if head[1] == 0x82 else 3] == _INNER_SEQUENCE
    # Inside a certificate of several lines.
    begins = text.rfind(_PEM, 0, match.start())
    if begins < 0:
        return False
    return "PRIVATE" not in text[begins : begins + 60] and text.find("-----END", begins, match.start()) < 0


def _decoded(text: str) -> bytes:
    try:
        return base64.b64decode(text[: len(text) // 4 * 4])
    except (binascii.Error, ValueError):
        return b""


def private_in_base64(text: str) -> bool:
    """Whether a text is a private key in PEM that was encoded once more."""
    return text.startswith(_PEM_BASE64) and b"PRIVATE" in _decoded(text[:96])
