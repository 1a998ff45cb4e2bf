"""YAML whose strings are in double quotes, where escapes can say what a log must not read."""

from __future__ import annotations

import math
import re

import yaml

_OF_YAML = re.compile(r"(##[\w.-]{0,30})\[")


class _Quoting(yaml.SafeDumper):
    def ignore_aliases(self, data: object) -> bool:
        return True


_Quoting.add_representer(
    str, lambda dumper, text: dumper.represent_scalar("tag:yaml.org,2002:str", text, style='"')
)


def requoted(text: str) -> str:
    """The same documents. Comments are lost. A text that is no YAML (it has colours) comes back as it is."""
    try:
        documents = list(yaml.load_all(text, Loader=yaml.CSafeLoader))
    except yaml.YAMLError:
        return text  # nothing that a program reads
    dumped = yaml.dump_all(
        documents, Dumper=_Quoting, sort_keys=False, width=math.inf, allow_unicode=False, explicit_start=True
    )
    return _OF_YAML.sub(r"\1\\x5b", dumped).rstrip("\n")
