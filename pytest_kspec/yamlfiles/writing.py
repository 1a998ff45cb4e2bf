"""How values are written as YAML, so that the same values are read again."""

from __future__ import annotations

import yaml

from pytest_kspec.regexes import regex

_BREAKS = regex("[\x85\u2028\u2029]")


def has_breaks(text: str) -> bool:
    """Whether it holds line breaks of Unicode. YAML reads those as its own, but for escapes in double quotes."""
    return not text.isascii() and _BREAKS.search(text) is not None


class Dumper(yaml.SafeDumper):
    """Writes characters as they are (with `allow_unicode`) where they stay what they are."""


def _text(dumper: yaml.SafeDumper, text: str) -> yaml.ScalarNode:
    return dumper.represent_scalar("tag:yaml.org,2002:str", text, style='"' if has_breaks(text) else None)


Dumper.add_representer(str, _text)
