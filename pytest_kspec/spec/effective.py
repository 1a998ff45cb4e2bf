"""The effective specification: what a specification says together with its template and its bases.

Everything that reads a specification gets the effective one (`loading.load_spec` composes it): no scan, webhook or
generated policy can forget a base. Lowest first: bases, template, the specification itself.
"""

from __future__ import annotations

import hashlib
import os
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path
from typing import Any

from msgspec import Struct, field
from msgspec.structs import replace

from pytest_kspec.errors import SpecError
from pytest_kspec.spec import layers, merge, templates
from pytest_kspec.spec.document import (
    FILE_VERSIONS,
    NO_VALUE,
    SPEC_KIND,
    SPEC_VERSIONS,
    has_kind,
    require_kind,
    without_nulls,
)
from pytest_kspec.spec.layers import Node
from pytest_kspec.spec.notes import NotEvaluated
from pytest_kspec.spec.operations import PolicyInheritance, PolicyTemplate
from pytest_kspec.spec.problems import Problems, shown, suggest
from pytest_kspec.spec.signers import is_pem
from pytest_kspec.spec.templates import Template
from pytest_kspec.yamlfiles.reading import Document, KeyPath, Position, read_document

INHERITANCE, TEMPLATE = "policyInheritance", "policyTemplate"
_SUFFIXES = (".yaml", ".yml", ".json")
TEMPLATES_FOLDER = "templates"


class Library(Struct, frozen=True):
    """Where bases are found by name.

    files: specifications of this run; those in the folder of the specification are found without being named
    parts: name → `spec:` part as plain data, for custom resources. With it, no file is ever read: who may write a
           custom resource need not be allowed to read the files of the machine.
    """

    files: tuple[Path, ...] = ()
    parts: Mapping[str, Mapping[str, Any]] | None = None


class Composed(Struct, frozen=True):
    """files: every file that had a say and its digest, the specification's first; left_out: what is not inherited."""

    document: Document
    files: Mapping[str, str]
    left_out: tuple[NotEvaluated, ...] = ()

    @property
    def sha256(self) -> str:
        """Digest of the file; of several, what `sha256sum FILE… | cut -c-64 | sha256sum` prints; "" without files."""
        if len(self.files) == 1:
            return self.document.sha256
        digests = list(self.files.values())  # without paths, which depend on where a run starts
        return hashlib.sha256("".join(f"{d}\n" for d in digests).encode()).hexdigest() if all(digests) else ""


def compose(document: Document, base: KeyPath, library: Library) -> Composed:
    """The effective document of a specification. Raises SpecError for what is unknown, cyclic or contradictory.

    base: path of the `spec:` part in the document. What the result asks for is validated by the caller.
    """
    data = document.data
    for part in base:
        data = data.get(part) if isinstance(data, dict) else None
    if not isinstance(data, dict) or not (INHERITANCE in data or TEMPLATE in data):
        return Composed(document, {document.path: document.sha256})
    composer = _Composer(library)
    made = composer.effective(_Spec("", document, base), ())
    own = layers.replaced(document, base, made)
    own.problems.extend(composer.problems)
    return Composed(own, composer.files, tuple(composer.left_out))


class _Spec(Struct, frozen=True):
    """A specification that is not validated yet."""

    name: str
    document: Document
    base: KeyPath

    @property
    def folder(self) -> Path:
        return Path(self.document.path).parent

    @property
    def identity(self) -> tuple[str, str]:
        """Equal for one specification, whatever path it was reached by."""
        return (os.path.realpath(self.document.path), "" if self.base else self.name)


class _Composer(Struct):
    library: Library
    files: dict[str, str] = field(default_factory=dict)
    left_out: list[NotEvaluated] = field(default_factory=list)
    problems: list[tuple[Position, KeyPath, str]] = field(default_factory=list)
    _made: dict[tuple[str, str], Node] = field(default_factory=dict)

    def effective(self, spec: _Spec, chain: tuple[tuple[_Spec, str], ...]) -> Node:
        """The part with its template and bases. chain: who inherits from whom, and where it says so."""
        known = self._made.get(spec.identity)
        if known is not None:
            return known
        self.files[spec.document.path] = spec.document.sha256
        own = layers.read(spec.document, spec.base)
        if own.get(TEMPLATE) is not None:
            own = self._with_template(spec, own)
        if own.get(INHERITANCE) is not None:
            own = self._with_bases(spec, own, chain)
        own = own.without(TEMPLATE, INHERITANCE)
        self._made[spec.identity] = own
        return own

    def _with_template(self, spec: _Spec, own: Node) -> Node:
        problems = Problems(spec.document, (*spec.base, TEMPLATE))
        name = problems.require(problems.validate(PolicyTemplate)).name
        template = self._template(spec, own, name)
        asked = own.value[TEMPLATE]
        made = templates.instantiate(template, asked)
        if not template.path.startswith("<"):
            self.files[template.path] = template.sha256
            made = _moved(made, Path(template.path).parent, spec.folder)
        return merge.overlay(made, own)

    def _template(self, spec: _Spec, own: Node, name: str) -> Template:
        at = own.value[TEMPLATE].value["name"].at
        if self.library.parts is None and _is_path(name):
            return templates.template_of(_read(spec.folder / name, at, templates.TEMPLATE_KIND))
        others = self._templates_beside(spec) if self.library.parts is None else []
        found = templates.find_template(name, others)
        if found is None:
            known = [*templates.builtin_names(), *(template.name for template in others)]
            hint = suggest(name, known) or f" Known: {', '.join(known)}."
            raise SpecError(
                f"spec.policyTemplate.name: no template has the name {shown(name)}.{hint}",
                where=layers.place(at),
                fix=f"Put your own templates in the folder of the specification or in {TEMPLATES_FOLDER}/, "
                "or use the path of the file.",
            )
        return found

    def _templates_beside(self, spec: _Spec) -> list[Template]:
        found: dict[str, Template] = {}
        for folder in (spec.folder, spec.folder / TEMPLATES_FOLDER):
            for path in _yaml_files(folder, templates.TEMPLATE_KIND):
                template = templates.template_of(_read(path, None, templates.TEMPLATE_KIND))
                other = found.setdefault(template.name, template)
                if template.name in templates.builtin_names():
                    what = f"metadata.name: {shown(template.name)} is the name of a built-in template."
                    raise SpecError(what, where=template.path, fix="Choose another name.")
                if other is not template:
                    what = f"metadata.name: {shown(template.name)} is also the name of {other.path}."
                    raise SpecError(what, where=template.path, fix="Choose another name.")
        return list(found.values())

    def _with_bases(self, spec: _Spec, own: Node, chain: tuple[tuple[_Spec, str], ...]) -> Node:
        problems = Problems(spec.document, (*spec.base, INHERITANCE))
        asked = problems.require(problems.validate(PolicyInheritance))
        names = own.value[INHERITANCE].get("basePolicies")
        bases: list[Node] = []
        for index, name in enumerate(asked.base_policies):
            at = names.value[index].at if names is not None else own.value[INHERITANCE].at
            found = self._base(spec, name, at)
            links = (*chain, (spec, layers.place(at)))
            self._refuse_cycle(found, links)
            part = self.effective(found, links)
            self._note(found, part)
            bases.append(_moved(part.without(*merge.NOT_INHERITED), found.folder, spec.folder))
        conflicts: list[str] = []
        made = merge.combine(
            bases,
            own,
            asked.merge_strategy,
            lambda at, text: conflicts.append(f"{layers.place(at)}: {text}"),
        )
        if conflicts:
            raise SpecError("bases contradict each other.", problems=tuple(conflicts))
        return made

    def _refuse_cycle(self, found: _Spec, links: tuple[tuple[_Spec, str], ...]) -> None:
        starts = [spec.identity for spec, _ in links]
        if found.identity not in starts:
            return
        cycle = links[starts.index(found.identity) :]
        steps = " → ".join(f"{spec.document.path} (at {where})" for spec, where in cycle)
        raise SpecError(
            f"spec.policyInheritance.basePolicies: a cycle: {steps} → {found.document.path}.",
            where=cycle[-1][1],
            fix="Remove one of these.",
        )

    def _base(self, spec: _Spec, name: str, at: Position) -> _Spec:
        parts = self.library.parts
        if parts is not None:
            if name in parts:
                return _Spec(name, Document(f"<{name}>", data=without_nulls(parts[name])), ())
            raise _unknown(name, at, parts, "Name a ClusterSpecification of this cluster.")
        by_path = _is_path(name)
        document = _read(spec.folder / name, at, SPEC_KIND) if by_path else self._named(spec, name, at)
        if not isinstance(document.data.get("spec"), dict):
            raise SpecError("spec: required key is missing.", where=document.path)
        if document.path not in self.files:
            nulls = [path for path in document.nulls if path[0] == "spec"]
            self.problems += [
                (layers.located(document, p), path, text) for p, path, text in document.problems
            ]
            self.problems += [
                (layers.located(document, document.key_position(path)), path, NO_VALUE) for path in nulls
            ]
        return _Spec(name, document, ("spec",))

    def _named(self, spec: _Spec, name: str, at: Position) -> Document:
        """By metadata.name, among the specifications of the run and those in the same folder."""
        paths = {os.path.realpath(path): path for path in self.library.files}
        for path in _yaml_files(spec.folder, SPEC_KIND):
            paths.setdefault(os.path.realpath(path), path)
        found: list[Document] = []
        known: set[str] = set()
        for path in paths.values():
            try:
                document = read_document(path, named=True)
            except SpecError:
                continue  # it is reported where it is asked for itself
            metadata = document.data.get("metadata") if isinstance(document.data, dict) else None
            called = metadata.get("name") if isinstance(metadata, dict) else None
            known.add(str(called))
            if called == name:
                found.append(document)
        if not found:
            raise _unknown(name, at, known, "Put it in the same folder, scan both, or use its path.")
        if len(found) > 1:
            places = " and ".join(sorted(document.path for document in found))
            raise SpecError(
                f"spec.policyInheritance.basePolicies: {shown(name)} is the name of {places}.",
                where=layers.place(at),
                fix="Use the path of one of them.",
            )
        require_kind(found[0], SPEC_KIND, SPEC_VERSIONS)
        return found[0]

    def _note(self, base: _Spec, part: Node) -> None:
        for key in merge.NOT_INHERITED:
            node = part.get(key)
            if node is None or key in (
                "clusterRef",
                "clusterSelector",
            ):  # each specification has its cluster: nothing to wonder about
                continue
            where = layers.place(node.key_at)
            if all(left.location != where for left in self.left_out):
                reason = f"not inherited from {base.name}: each specification must have its own"
                self.left_out.append(NotEvaluated(key, reason, where))


def _unknown(name: str, at: Position, known: Iterable[str], fix: str) -> SpecError:
    what = f"spec.policyInheritance.basePolicies: no specification has the name {shown(name)}."
    return SpecError(what + suggest(name, sorted(known)), where=layers.place(at), fix=fix)


def _is_path(name: str) -> bool:
    return "/" in name or name.endswith(_SUFFIXES)


def _read(path: Path, at: Position | None, kind: str) -> Document:
    versions = SPEC_VERSIONS if kind == SPEC_KIND else FILE_VERSIONS
    if at is not None and not os.path.exists(path):
        raise SpecError(f"the file {os.path.normpath(path)} does not exist.", where=layers.place(at))
    document = read_document(os.path.normpath(path), named=at is not None)
    require_kind(document, kind, versions)
    return document


def _yaml_files(folder: Path, kind: str) -> list[Path]:
    if not os.path.isdir(folder):
        return []
    return [p for p in sorted(folder.iterdir()) if p.suffix in _SUFFIXES and has_kind(p, kind)]


def _moved(part: Node, folder: Path, to: Path) -> Node:
    """Paths of check modules, keys and trusted roots are relative to the folder of the file that names them."""
    if folder == to:
        return part

    def moved(node: Node) -> Node:
        if isinstance(node.value, list):
            return replace(node, value=[moved(entry) for entry in node.value])
        if not isinstance(node.value, str) or is_pem(node.value):
            return node
        return replace(node, value=os.path.relpath(folder / node.value, to))

    def signers(entries: Node) -> Node:
        if not isinstance(entries.value, list):
            return entries
        return replace(
            entries,
            value=[_changed(_changed(e, moved, "publicKeys"), moved, "trustedRoot") for e in entries.value],
        )

    return _changed(_changed(part, moved, "checks"), signers, "workloads", "images", "signatures")


def _changed(node: Node, change: Callable[[Node], Node], key: str, *below: str) -> Node:
    """The same with another value at this path, if there is one."""
    found = node.get(key)
    if found is None:
        return node
    made = _changed(found, change, *below) if below else change(found)
    return replace(node, value={**node.value, key: made})
