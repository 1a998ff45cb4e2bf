"""Catalogs of compliance frameworks: controls, the built-in checks that answer them, what a person must look at.

Here alone it says which built-in check answers which control. The YAML files in `catalogs/` are what people edit.
Parsing them takes up to a tenth of a second, so that they are compiled to `catalogs.json`, which runs read in half
a millisecond and which a test keeps fresh: `python -m pytest_kspec.frameworks.catalog` (`make docs`).
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping
from functools import cache
from pathlib import Path
from typing import Any

import msgspec

from pytest_kspec import typed
from pytest_kspec.extend.places import FRAMEWORKS
from pytest_kspec.extend.registry import Entry

FOLDER = Path(__file__).parent / "catalogs"
COMPILED = Path(__file__).parent / "catalogs.json"


class CheckRef(msgspec.Struct, frozen=True, omit_defaults=True):
    """A check that answers a control, and what the specification must ask of it.

    check: id of a check, or what ids start with ("workloads.containers", "podSecurity.standard")
    asks:  the least that must be asked for (`asks_for`); None: anything
    """

    check: str
    asks: Any = None

    def __str__(self) -> str:
        return self.check if self.asks is None else f"{self.check}: {flow(self.asks)}"


class CatalogControl(msgspec.Struct, frozen=True, omit_defaults=True):
    """One control.

    checks: each entry must be asked for and pass; an entry is one check or several of which one is enough
    also:   counted where they are asked for
    manual: what a person must look at. With checks: these answer the control in part only.
    """

    id: str
    title: str
    checks: tuple[tuple[CheckRef, ...], ...] = ()
    also: tuple[CheckRef, ...] = ()
    manual: str = ""

    @property
    def refs(self) -> Iterator[CheckRef]:
        """All checks that are named."""
        for entry in self.checks:
            yield from entry
        yield from self.also

    @property
    def coverage(self) -> str:
        """How far checks answer it: "full", "partial" or "manual"."""
        return "manual" if not self.checks else "partial" if self.manual else "full"


class Catalog(msgspec.Struct, frozen=True, omit_defaults=True):
    """A framework. complete: it has every control, else those that a cluster bears on. aliases: other names of it."""

    id: str
    name: str
    version: str
    publisher: str
    document: str
    date: str
    complete: bool
    aliases: tuple[str, ...]
    controls: tuple[CatalogControl, ...]

    @property
    def source(self) -> str:
        """Document and publisher, as reports show them."""
        return f"{self.document} ({self.publisher})"

    def control(self, control_id: str) -> CatalogControl | None:
        """The control of this id, or None."""
        return _by_id(self.id).get(control_id)

    def is_called(self, name: str, revision: str = "") -> bool:
        """Whether a specification means it: by id, name or alias, and no other revision."""
        if slug(name) not in {self.id, slug(self.name), slug(f"{self.name} {self.version}"), *self.aliases}:
            return False
        asked, has = re.findall(r"\d+", revision), re.findall(r"\d+", self.version)
        return asked == has[: len(asked)]


def built_in() -> list[Catalog]:
    """Ours, sorted by id."""
    return typed.from_json(COMPILED.read_bytes(), list[Catalog])


def catalogs() -> Mapping[str, Catalog]:
    """All catalogs by id, sorted: ours, and those of installed packages. Raises UsageError for a broken one."""
    return _catalogs(tuple(FRAMEWORKS.installed()))


@cache
def _catalogs(installed: tuple[Entry, ...]) -> Mapping[str, Catalog]:
    found: dict[str, Catalog] = {catalog.id: catalog for catalog in FRAMEWORKS.load("built-in")()}
    for entry in installed:
        make = FRAMEWORKS.load_entry(entry)
        try:
            made = _read_catalog(make(), entry.name)
        except Exception as error:  # whatever code of others raises is about this package
            raise FRAMEWORKS.broken(entry, f"{type(error).__name__}: {error}") from error
        if made.id in found:
            raise FRAMEWORKS.broken(entry, f"there is a framework {made.id!r} already")
        found[made.id] = made
    return dict(sorted(found.items()))


def _by_id(catalog_id: str) -> Mapping[str, CatalogControl]:
    return _controls(tuple(FRAMEWORKS.installed()), catalog_id)


@cache
def _controls(installed: tuple[Entry, ...], catalog_id: str) -> Mapping[str, CatalogControl]:
    return {control.id: control for control in _catalogs(installed)[catalog_id].controls}


def _named() -> Mapping[str, tuple[tuple[str, str, CheckRef], ...]]:
    return _named_in(tuple(FRAMEWORKS.installed()))


@cache
def _named_in(installed: tuple[Entry, ...]) -> Mapping[str, tuple[tuple[str, str, CheckRef], ...]]:
    """What refs name → catalog id, control id, ref."""
    found: dict[str, list[tuple[str, str, CheckRef]]] = {}
    for catalog in _catalogs(installed).values():
        for control in catalog.controls:
            for ref in control.refs:
                found.setdefault(ref.check, []).append((catalog.id, control.id, ref))
    return {name: tuple(entries) for name, entries in found.items()}


def refs_to(check_id: str) -> tuple[tuple[str, str, CheckRef], ...]:
    """Catalog id, control id and ref of each place where catalogs name this check, in their order."""
    named = _named()
    return tuple(entry for name in names_of(check_id) for entry in named.get(name, ()))


def find_catalog(name: str, revision: str = "") -> Catalog | None:
    """The catalog that somebody means."""
    return next((c for c in catalogs().values() if c.is_called(name, revision)), None)


def controls_of(refs: Iterable[tuple[str, str, CheckRef]]) -> dict[str, tuple[str, ...]]:
    """Catalog id → control ids in the order of the catalog, each once; catalogs sorted."""
    wanted: dict[str, set[str]] = {}
    for catalog, control, _ in refs:
        wanted.setdefault(catalog, set()).add(control)
    return {name: tuple(id for id in _by_id(name) if id in ids) for name, ids in sorted(wanted.items())}


def names_of(item: str) -> Iterator[str]:
    """The ids and beginnings that mean this check or requirement: `a.b[c]` is called `a.b[c]`, `a.b` and `a`."""
    yield item
    base = item.partition("[")[0]
    if base != item:
        yield base
    while "." in base:
        base = base.rpartition(".")[0]
        yield base


def asks_for(value: Any, least: Any) -> bool:
    """Whether what a specification says (plain data) asks for at least this.

    A number: as much or more. A list: all of these. A mapping: each key so; other keys do not matter, but for
    `orUnset`, which asks for less. Text: the same, or the wildcard `*`; booleans also as text. Levels of the Pod
    Security Standards: as strict or stricter.
    """
    if least is None:
        return True
    if isinstance(least, Mapping):
        if not isinstance(value, Mapping) or (value.get("orUnset") and not least.get("orUnset")):
            return False
        return all(asks_for(value.get(key), part) for key, part in least.items())
    if isinstance(least, list | tuple):
        return isinstance(value, list | tuple) and set(least) <= set(value)
    if isinstance(least, bool):
        return str(value).lower() == str(least).lower()
    if isinstance(least, int):
        return isinstance(value, int) and not isinstance(value, bool) and value >= least
    if least in _STRICTNESS:
        return value in _STRICTNESS and _STRICTNESS.index(value) >= _STRICTNESS.index(least)
    return value in (least, "*")


_STRICTNESS = ("baseline", "restricted")


def plain_value(value: Any) -> Any:
    """What a specification says at a key, with the names of keys as they are written.

    As `model_dump(by_alias=True)`, without pydantic.
    """
    if (by_key := getattr(value, "by_key", None)) is not None:
        return {key: plain_value(part) for key, part in by_key().items()}
    if isinstance(value, list):
        return [plain_value(part) for part in value]
    return value


def flow(value: Any) -> str:
    """Plain data as one line of YAML."""
    if isinstance(value, Mapping):
        return "{" + ", ".join(f"{key}: {flow(part)}" for key, part in value.items()) + "}"
    if isinstance(value, list | tuple):
        return "[" + ", ".join(map(flow, value)) + "]"
    if isinstance(value, str):
        return value if re.fullmatch(r"[A-Za-z][\w./-]*", value) else f'"{value}"'
    return str(value).lower()


def slug(text: str) -> str:
    """`NIST SP 800-53` is `nist-sp-800-53`."""
    return re.sub(r"[^a-z0-9.]+", "-", text.lower()).strip("-")


def compile_catalogs(folder: Path = FOLDER) -> bytes:
    """The YAML files of a folder as JSON. Raises ValueError, naming file and control, for what is wrong."""
    found = [
        _read_catalog(path.read_text(encoding="utf-8"), path.name) for path in sorted(folder.glob("*.yaml"))
    ]
    lines = (msgspec.json.encode(catalog) for catalog in sorted(found, key=lambda c: c.id))
    return b"[\n" + b",\n".join(lines) + b"\n]\n"


def _read_catalog(text: str, where: str) -> Catalog:
    """The YAML of one. Raises ValueError, naming the control, for what is wrong; what yaml raises."""
    import yaml

    data = yaml.load(text, Loader=yaml.CSafeLoader)
    for control in data["controls"]:
        control["checks"] = [_entry(entry) for entry in control.get("checks", ())]
        control["also"] = [ref for entry in control.get("also", ()) for ref in _entry(entry)]
        unknown = control.keys() - {"id", "title", "checks", "also", "manual"}
        if unknown or not (control["checks"] or control.get("manual")):
            raise ValueError(
                f"{where}: {control.get('id')}: unknown keys {unknown}, or no checks and no manual"
            )
    try:
        made = typed.convert(data, Catalog)
    except msgspec.ValidationError as error:
        raise ValueError(f"{where}: {error}") from error
    ids = [control.id for control in made.controls]
    if len(set(ids)) < len(ids):
        raise ValueError(f"{where}: two controls have one id")
    return made


def _entry(entry: Any) -> list[dict[str, Any]]:
    """A check id, or a mapping of ids to what must be asked for: one of them is enough."""
    if isinstance(entry, str):
        return [{"check": entry}]
    return [{"check": check, "asks": asks} for check, asks in entry.items()]


if __name__ == "__main__":
    COMPILED.write_bytes(compile_catalogs())
