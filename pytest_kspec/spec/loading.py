"""Specification files: reading, finding, and where each key is.

A file that is not right in every detail is refused with all its problems at once; nothing that a user wrote
is ignored in silence: what this version does not evaluate is listed in `LoadedSpec.not_evaluated`.

What is loaded is the effective specification, with its template and its bases (`effective`).
"""

from __future__ import annotations

import glob
import json
import os
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from msgspec import Struct
from msgspec.structs import force_setattr, replace

import pytest_kspec
from pytest_kspec.errors import SpecError, UsageError
from pytest_kspec.files import open_named
from pytest_kspec.kube import fieldvalues, podfields
from pytest_kspec.regexes import regex
from pytest_kspec.shown import well_formed
from pytest_kspec.spec import layers
from pytest_kspec.spec.below import files_below
from pytest_kspec.spec.declared import SpecModel, key_of
from pytest_kspec.spec.document import (
    EXEMPTIONS_KIND,
    FILE_VERSION,
    FILE_VERSIONS,
    RESOURCE_VERSION,
    SPEC_KIND,
    SPEC_VERSIONS,
    ExemptionsDocument,
    SpecDocument,
    has_kind,
    require_kind,
    without_nulls,
)
from pytest_kspec.spec.exemption import Exemption
from pytest_kspec.spec.notes import NotEvaluated
from pytest_kspec.spec.operations import NOT_EVALUATED
from pytest_kspec.spec.problems import Problems, shown, suggest
from pytest_kspec.spec.sections import ClusterRef, ClusterSpecification
from pytest_kspec.spec.signers import with_files
from pytest_kspec.yamlfiles.reading import Document, KeyPath, parse_document, read_document

if TYPE_CHECKING:
    from pytest_kspec.spec.effective import Composed, Library

LONGEST_KEY = 200
TEMPLATE = "template:"
"""Before the name of a template, in the place of a path."""
SIGNATURES, REQUIRE_SIGNATURES = "workloads.images.signatures", "workloads.images.requireSignatures"
NOT_IN_RESOURCES = ("description", "version")
"""Keys of `metadata` that only files have."""
_NOT_IN_A_RESOURCE = (
    "not allowed in a custom resource: an API server rejects it. Use a file (kspec.dev/v1), or remove it."
)
_SUFFIXES = (".yaml", ".yml")
_PART = regex(r"[^.\[\]]+")


TARGET = "target:"


class LoadedSpec(Struct, frozen=True, eq=False):
    """A valid specification and the file that it came from.

    path:          as it was given
    version:       metadata.version, "" for a custom resource without one
    cluster_ref:   cluster to scan when none is named, or "": a --kspec-cluster reference; a path is relative
                   to the specification's folder, and `target:NAMESPACE/NAME` is a ClusterTarget
    checks:        paths of the check modules that the specification names, resolved
    not_evaluated: what it asks for and this version does not evaluate
    files:         every file that it is put together of, its own first, keys that it names included
    """

    name: str
    version: str
    path: str
    spec: ClusterSpecification
    cluster_ref: str
    checks: tuple[Path, ...]
    exemptions: list[Exemption]
    not_evaluated: tuple[NotEvaluated, ...]
    description: str
    labels: Mapping[str, str]
    files: tuple[str, ...]
    _document: Document
    _base: KeyPath = ("spec",)
    _sha256: str = ""

    def is_for(self, cluster: str) -> bool:
        """Whether it is for the cluster of this name: it names it, or none. One that selects clusters is a fleet's."""
        ref = self.cluster_ref
        if self.spec.cluster_selector is not None:
            return False
        return (
            not ref
            or ref == cluster
            or (ref.startswith(TARGET) and ref[len(TARGET) :].split("/")[-1] == cluster)
        )

    @property
    def own_cluster(self) -> str:
        """`cluster_ref`. Raises UsageError where it selects clusters: none of them alone is meant."""
        if self.spec.cluster_selector is not None:
            raise UsageError(
                "clusterSelector selects several clusters.",
                where=self.locate("clusterSelector"),
                fix="Use 'kspec fleet', or name one cluster with --cluster.",
            )
        return self.cluster_ref

    @property
    def sha256(self) -> str:
        """Digest of the file as it was read; "" if it was no file.

        Of several files (`files`) it is what `sha256sum FILE… | cut -c-64 | sha256sum` prints.
        """
        return self._sha256

    @property
    def tree(self) -> layers.Node:
        """The effective `spec:` part, in which every value knows its place."""
        return layers.read(self._document, self._base)

    def locate(self, key: str) -> str:
        """`file:line:column` of a key below `spec` ("network.disallowedPorts[0]") or its nearest ancestor.

        The file is that of the base or template that says it, where the specification does not say it itself.
        """
        return self._document.where(self._document.key_position(self._base + parse_key(key)))

    def get(self, key: str) -> Any:
        """The value at a key below `spec`, plain data or a model; None if it is not set or there is none."""
        value: Any = self.spec
        for part in parse_key(key):
            if isinstance(part, int):
                value = value[part] if isinstance(value, list) and part < len(value) else None
            elif isinstance(value, SpecModel):
                name = next((name for name in value.model_fields_set if key_of(name) == part), None)
                value = getattr(value, name) if name else None
            else:
                value = value.get(part) if isinstance(value, dict) else None
            if value is None:
                return None
        return value


def parse_key(key: str) -> KeyPath:
    """Key path of a text: `a.b[0]` is ("a", "b", 0)."""
    return tuple(int(part) if part.isdigit() else part for part in _PART.findall(key))


def load_spec(path: str | Path, library: Library | None = None) -> LoadedSpec:
    """Read a specification file, with its template and bases. Raises SpecError with every problem in `problems`.

    path: of a file, or `template:NAME` for the template alone, with its defaults
    library: where bases are found by name, beside the folder of the file
    """
    if is_template(path):
        return _load_template(str(path))
    return _load(read_document(path), library)


def is_template(path: str | Path) -> bool:
    """Whether what names a specification names a template, and no file."""
    return str(path).startswith(TEMPLATE)


def _load_template(path: str) -> LoadedSpec:
    """A built-in template by itself. No file is read for it: a name in the working directory may be anybody's."""
    from pytest_kspec.spec import effective, templates

    name, known = path.removeprefix(TEMPLATE), templates.builtin_names()
    if name not in known:
        raise SpecError(
            f"no built-in template is named {shown(name)}.{suggest(name, known)}",
            where=path,
            fix=f"Name one of {', '.join(known)}; a template of your own is used in a specification (policyTemplate).",
        )
    return _load(parse_document(_of_template(name), path), effective.Library(parts={}))


def _of_template(name: str) -> str:
    asked = {"name": name, "version": pytest_kspec.__version__}
    return json.dumps(
        {
            "apiVersion": FILE_VERSION,
            "kind": SPEC_KIND,
            "metadata": asked,
            "spec": {"policyTemplate": {"name": name}},
        },
        indent=1,
    )


def spec_from_text(text: str, path: str = "<text>", library: Library | None = None) -> LoadedSpec:
    """The same for the text of a whole document. Without a library no other file is read: it may be anybody's."""
    from pytest_kspec.spec import effective

    return _load(parse_document(text, path), library or effective.Library(parts={}))


def spec_from_part(
    part: str | Mapping[str, Any], name: str = "spec", path: str = "<spec>", library: Library | None = None
) -> LoadedSpec:
    """A specification of its `spec:` part alone, YAML text or plain data: for tests and custom resources.

    library: its `parts` are the bases by name; no file is read
    """
    from pytest_kspec.spec import effective

    library = library or effective.Library(parts={})
    given = parse_document(part, path) if isinstance(part, str) else Document(path, data=without_nulls(part))
    composed = effective.compose(given, (), library)
    problems = Problems(composed.document)
    spec = problems.validate(ClusterSpecification)
    _check_names(composed.document.data, "policyExemptions", (), problems)
    _check_fields(composed.document.data, (), problems)
    return _loaded(composed, problems.require(spec), (), library, name=name)


def _load(given: Document, library: Library | None) -> LoadedSpec:
    from pytest_kspec.spec import effective

    if not _is_meant(given.data):
        require_kind(given, SPEC_KIND, SPEC_VERSIONS)
    library = library or effective.Library()
    composed = effective.compose(given, ("spec",), library)
    document = composed.document
    problems = Problems(document)
    found = problems.validate(SpecDocument)
    header = document.data.get("metadata")
    if (
        document.data.get("apiVersion") == FILE_VERSION
        and isinstance(header, dict)
        and "version" not in header
    ):
        problems.add(("metadata", "version"), "required key is missing.", at_key=True)
    if document.data.get("apiVersion") == RESOURCE_VERSION and isinstance(header, dict):
        for key in header.keys() & set(NOT_IN_RESOURCES):
            problems.add(("metadata", key), _NOT_IN_A_RESOURCE, at_key=True)
    _check_names(document.data.get("spec"), "policyExemptions", ("spec",), problems)
    _check_fields(document.data.get("spec"), ("spec",), problems)
    valid = problems.require(found)
    metadata = valid.metadata
    return _loaded(
        composed,
        valid.spec,
        ("spec",),
        library,
        name=metadata.name,
        version=metadata.version or "",
        description=metadata.description,
        labels=metadata.labels,
    )


def _loaded(
    composed: Composed,
    spec: ClusterSpecification,
    base: KeyPath,
    library: Library,
    *,
    name: str,
    version: str = "",
    description: str = "",
    labels: Mapping[str, str] | None = None,
) -> LoadedSpec:
    document = composed.document
    folder = Path(document.path).parent
    spec, composed = _with_key_files(spec, composed, base, None if library.parts is not None else folder)
    for index, exemption in enumerate(spec.policy_exemptions):
        exemption.located(document.where(document.key_position((*base, "policyExemptions", index))))
    loaded = LoadedSpec(
        name=name,
        version=version,
        path=document.path,
        spec=spec,
        cluster_ref=_cluster_ref(spec, folder),
        checks=tuple(folder / check for check in spec.checks),
        exemptions=list(spec.policy_exemptions),
        not_evaluated=(),
        description=description,
        labels=labels or {},
        files=tuple(composed.files),
        _document=document,
        _base=base,
        _sha256=composed.sha256,
    )
    left_out = [
        NotEvaluated(key, reason, loaded.locate(key))
        for key, reason in NOT_EVALUATED.items()
        if loaded.get(key)
    ]
    if loaded.get(SIGNATURES) and not loaded.get(REQUIRE_SIGNATURES):
        reason = f"it has no effect without {REQUIRE_SIGNATURES}: true"
        left_out.append(NotEvaluated(SIGNATURES, reason, loaded.locate(SIGNATURES)))
    force_setattr(loaded, "not_evaluated", (*left_out, *composed.left_out))
    return loaded


def _with_key_files(
    spec: ClusterSpecification, composed: Composed, base: KeyPath, folder: Path | None
) -> tuple[ClusterSpecification, Composed]:
    """With the keys that lie in files beside it: they are part of what it says. Raises SpecError."""
    images = spec.workloads.images if spec.workloads else None
    if spec.workloads is None or images is None or not images.signatures:
        return spec, composed
    problems = Problems(composed.document)
    signers, files = with_files(
        images.signatures,
        folder,
        lambda key, what: problems.add((*base, "workloads", "images", *parse_key(key)), what),
    )
    problems.require(spec)
    if not files:
        return spec, composed
    images = images.model_copy(update={"signatures": signers})
    workloads = spec.workloads.model_copy(update={"images": images})
    composed = replace(composed, files={**composed.files, **files})
    return spec.model_copy(update={"workloads": workloads}), composed


def _cluster_ref(spec: ClusterSpecification, folder: Path) -> str:
    ref = spec.cluster_ref
    if ref is None:
        return ""
    if isinstance(ref, ClusterRef):
        return f"{TARGET}{ref.namespace}/{ref.name}" if ref.namespace else f"{TARGET}{ref.name}"
    return str(folder / ref) if "/" in ref and os.path.exists(folder / ref) else ref


def _check_fields(data: Any, base: KeyPath, problems: Problems) -> None:
    """Container keys that no Kubernetes Pod has, and values that the field can never have."""
    for part in ("workloads", "containers"):
        data = data.get(part) if isinstance(data, dict) else None
    for rules in ("required", "forbidden"):
        entries = data.get(rules) if isinstance(data, dict) else None
        for index, entry in enumerate(entries if isinstance(entries, list) else ()):
            key = entry.get("key") if isinstance(entry, dict) else None
            if not isinstance(key, str) or not key.strip():
                continue
            field = podfields.pod_field(key)
            path = (*base, "workloads", "containers", rules, index)
            if field is None:
                near = podfields.suggest(key) if len(key) <= LONGEST_KEY else None
                hint = f" Did you mean {near!r}?" if near else ""
                problems.add((*path, "key"), f"{shown(key)} is not a field of a Kubernetes Pod.{hint}")
            else:
                for where, text in fieldvalues.problems(
                    field, fieldvalues.readable(entry), required=rules == "required"
                ):
                    problems.add((*path, *where), f"{text}.")


def _check_names(parent: Any, key: str, base: KeyPath, problems: Problems) -> None:
    """Exemptions of one document have different names; looked at even where other keys are wrong."""
    entries = parent.get(key) if isinstance(parent, dict) else None
    seen: dict[str, int] = {}
    for index, entry in enumerate(entries if isinstance(entries, list) else ()):
        name = entry.get("name") if isinstance(entry, dict) else None
        if isinstance(name, str) and seen.setdefault(name, index) != index:
            problems.add(
                (*base, key, index, "name"), f"{shown(name)} is already the name of {key}[{seen[name]}]."
            )


def _is_meant(data: Any) -> bool:
    """It is a specification, though its kind or version is written wrong: one error more among the others."""
    if not isinstance(data, dict) or not isinstance(data.get("spec"), dict):
        return False
    if "kind" not in data:
        return data.get("apiVersion") in SPEC_VERSIONS
    return data["kind"] == SPEC_KIND or bool(suggest(data["kind"], [SPEC_KIND]))


def load_exemption_file(path: str | Path) -> list[Exemption]:
    """Read a file of `kind: Exemptions`. Raises SpecError with every problem."""
    document = read_document(path)
    require_kind(document, EXEMPTIONS_KIND, FILE_VERSIONS)
    problems = Problems(document)
    found = problems.validate(ExemptionsDocument)
    _check_names(document.data, "exemptions", (), problems)
    return [
        exemption.located(document.where(document.key_position(("exemptions", index))))
        for index, exemption in enumerate(problems.require(found).exemptions)
    ]


def find_specs(paths: Sequence[str]) -> list[Path]:
    """A file and a template are taken as given, a folder gives the specifications in it, a pattern its matches.

    Sorted, each once. Raises UsageError for an argument that gives none, SpecError for a file of a folder that cannot
    be read.
    """
    found: set[Path] = set()
    for given in paths:
        path = Path(given)
        if is_template(given):
            found.add(path)
        elif os.path.isdir(path):
            inside = [p for p in files_below(path) if p.suffix in _SUFFIXES and _is_one(p)]
            if not inside:
                raise UsageError(
                    f"no specification (kind: {SPEC_KIND}) in this folder.",
                    where=given,
                    fix="Use a file or another folder.",
                )
            found.update(inside)
        elif os.path.exists(path):
            found.add(path)
        else:
            matches = [Path(p) for p in glob.glob(given, recursive=True) if os.path.isfile(p)]
            if not matches:
                raise UsageError(
                    "the specification does not exist.",
                    where=given,
                    fix="Use a file, a folder or a glob pattern.",
                )
            found.update(matches)
    for path in found:
        if well_formed(str(path)) != str(path):
            raise UsageError(
                "the name of this specification is not UTF-8 text.", where=str(path), fix="Rename the file."
            )
    return sorted(found)


def _is_one(path: Path) -> bool:
    """Whether a file of a folder is a specification. Raises SpecError where nobody can tell: it may be one."""
    if os.path.isdir(path) or path.name.startswith(".#"):  # a link to a folder; the lock of an editor
        return False
    try:
        open_named(path).close()
    except OSError as error:
        raise SpecError(
            f"could not be read: {error.strerror}.",
            where=str(path),
            fix="Make it readable, or move it out of the folder.",
        ) from error
    return is_spec_file(path)


def is_spec_file(path: Path) -> bool:
    """Whether a YAML file says `kind: ClusterSpecification`, be it valid or not."""
    return has_kind(path, SPEC_KIND)
