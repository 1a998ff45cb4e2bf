"""Writes `pytest_kspec/kube/podfields.txt`: every field of a Pod with its type, from the API as Go types.

The facts are taken from k8s.io/api and k8s.io/apimachinery (Go modules), where field names are JSON tags:

    go mod download -json k8s.io/api@v0.37.2            # "Dir" names the folder
    go mod download -json k8s.io/apimachinery@v0.37.2
    python tools/podfields.py API_DIR APIMACHINERY_DIR v1.37
"""

from __future__ import annotations

import re
import sys
from pathlib import Path

OUTPUT = Path(__file__).resolve().parent.parent / "pytest_kspec" / "kube" / "podfields.txt"
ROOTS = ("PodSpec", "Container")
SCALARS = {
    "bool": "bool",
    "int32": "int",
    "int64": "int",
    "string": "string",
    "byte": "string",
    "UID": "string",
    "Time": "string",
    "Quantity": "quantity",
    "IntOrString": "intorstring",
    "FieldsV1": "object",
}
_TYPE = re.compile(r"^type (\w+) (struct \{|map\[\w+\][\w.]+|\w+)", re.M)
_FIELD = re.compile(r'^\t(?:(\w+)\s+)?([\w.*\[\]]+)\s+`[^`]*json:"([\w]*)(?:,([\w]+))?', re.M)


def read(*folders: Path) -> dict[str, str]:
    """Go type name → its body (struct) or its underlying type."""
    found: dict[str, str] = {}
    for source in folders:
        text = source.read_text(encoding="utf-8")
        for match in _TYPE.finditer(text):
            name, kind = match.groups()
            if kind.startswith("struct"):
                kind = text[match.end() : text.index("\n}", match.end())]
            found.setdefault(name, kind)
    return found


def compact(go: str, types: dict[str, str]) -> str:
    """A Go type as our notation: bool, int, string, quantity, intorstring, []T, {}T or a struct's name."""
    go = go.removeprefix("*")
    if go.startswith("[]"):
        inner = go[2:]
        return "string" if inner == "byte" else "[]" + compact(inner, types)
    if go.startswith("map["):
        return "{}" + compact(go[go.index("]") + 1 :], types)
    go = go.rpartition(".")[2]
    if go in SCALARS:
        return SCALARS[go]
    body = types[go]
    return go if "\n" in body else compact(body, types)


def fields(name: str, types: dict[str, str]) -> dict[str, str]:
    """JSON name → type of one struct, embedded ones taken in."""
    found: dict[str, str] = {}
    for _, go, json, _ in _FIELD.findall(types[name]):
        if json:
            found[json] = compact(go, types)
        else:
            found.update(fields(go.rpartition(".")[2].removeprefix("*"), types))
    return found


def main(api: str, machinery: str, version: str) -> None:
    """Write the table."""
    types = read(Path(api) / "core/v1/types.go", Path(machinery) / "pkg/apis/meta/v1/types.go")
    done: dict[str, dict[str, str]] = {}
    todo = list(ROOTS)
    while todo:
        name = todo.pop(0)
        if name in done:
            continue
        done[name] = fields(name, types)
        todo += [t for t in (v.lstrip("[]{}") for v in done[name].values()) if t[:1].isupper()]
    lines = [f"# Fields of a Pod in Kubernetes {version}. Written by tools/podfields.py from k8s.io/api."]
    for name in (*ROOTS, *sorted(set(done) - set(ROOTS))):
        lines.append(" ".join([name, *(f"{field}:{kind}" for field, kind in sorted(done[name].items()))]))
    OUTPUT.write_text("\n".join(lines) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main(*sys.argv[1:])
