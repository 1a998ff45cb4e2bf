"""Manifests as YAML text that people can read: CEL in blocks, one document an object."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

import yaml

from pytest_kspec.yamlfiles.writing import Dumper, has_breaks

_BLOCK = 60  # texts longer than this are blocks


class _Dumper(Dumper):
    """Long texts as literal blocks, never folded: CEL stays on its line."""

    def ignore_aliases(self, data: Any) -> bool:
        """The same metadata of a policy and its binding is written twice."""
        return True


def _text(dumper: yaml.SafeDumper, text: str) -> yaml.ScalarNode:
    style = '"' if has_breaks(text) else "|" if len(text) > _BLOCK else None
    return dumper.represent_scalar("tag:yaml.org,2002:str", text, style=style)


_Dumper.add_representer(str, _text)


def to_yaml(manifests: Iterable[Mapping[str, Any]]) -> str:
    """YAML documents; the same manifests are the same text."""
    return yaml.dump_all(
        [dict(manifest) for manifest in manifests],
        Dumper=_Dumper,
        sort_keys=False,
        allow_unicode=True,
        width=1 << 30,
        explicit_start=True,
    )
