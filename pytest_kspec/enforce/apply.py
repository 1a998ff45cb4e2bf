"""Manifests → cluster: what would change, then server-side apply, then removal of what is no longer wanted.

Only objects with the labels of the specification are ever changed or removed. An object that has the name of one of
ours and neither our labels nor another sign that it is ours is somebody else's: an error, never overwritten.

What is certainly as it was applied is not asked about: a list says what every object holds and who wrote it, so only an
object that differs, or that others wrote to, costs a dry run.
"""

from __future__ import annotations

import difflib
from collections.abc import Iterator, Mapping, Sequence
from datetime import datetime
from typing import Any, Literal, NamedTuple

import msgspec

from pytest_kspec.audit import trail
from pytest_kspec.cluster.writing.write import FIELD_MANAGER, Writer
from pytest_kspec.enforce.engines import Engine
from pytest_kspec.enforce.manifests import to_yaml
from pytest_kspec.enforce.names import (
    NAME_ANNOTATION,
    REAPPLY_ANNOTATION,
    SPEC_LABEL,
    sealed,
    selector,
    spec_id,
)
from pytest_kspec.errors import (
    AccessDenied,
    Conflict,
    NotServed,
    Refused,
    SourceError,
    StillThere,
    Unreachable,
)
from pytest_kspec.kube import managedfields
from pytest_kspec.kube.objectdiff import FieldChange
from pytest_kspec.spec.loading import LoadedSpec

Object = dict[str, Any]
What = Literal["create", "change", "keep", "remove"]

CA_BUNDLE = "caBundle"
"""Of a webhook: written by the webhook itself, or by cert-manager."""


class Change(NamedTuple):
    """One object.

    diff:   lines of a unified diff of what the server would keep; empty unless it changes
    whole:  the object as it is to be put in the place of the present one, where an apply would leave what others added
    before: the object as it is; after: as the server would keep it; None where that is not known
    error:  why the server was not able to say it, or refuses it; only where errors are kept
    """

    what: What
    api_version: str
    kind: str
    name: str
    manifest: Object | None = None
    uid: str = ""
    namespace: str = ""
    diff: tuple[str, ...] = ()
    whole: Object | None = None
    before: Object | None = None
    after: Object | None = None
    error: SourceError | None = None

    @property
    def object(self) -> str:
        """Kind and name."""
        return f"{self.kind} {self.namespace}/{self.name}" if self.namespace else f"{self.kind} {self.name}"

    @property
    def spec(self) -> str:
        """The specification that it belongs to, by its marks; "" where it has none."""
        metadata = (self.manifest or self.before or {}).get("metadata", {})
        name = (metadata.get("annotations") or {}).get(NAME_ANNOTATION)
        return str(name or (metadata.get("labels") or {}).get(SPEC_LABEL) or "")


def existing(spec: LoadedSpec, engine: Engine, writer: Writer) -> list[Object]:
    """What this engine generated for the specification and is in the cluster. Raises SourceError.

    Of a kind that is not served there is nothing; NotServed where that is all of them.
    """
    found = []
    missing: list[NotServed] = []
    for api_version, kind in engine.KINDS:
        try:
            items = writer.list(api_version, kind, label_selector=selector(spec, engine.NAME))
        except NotServed as error:
            missing.append(error)
            continue
        found += [{**item, "apiVersion": api_version, "kind": kind} for item in items]
    if len(missing) == len(engine.KINDS):
        raise _not_served(missing[0], engine)
    return found


def changes(
    spec: LoadedSpec,
    engine: Engine,
    manifests: Sequence[Object],
    writer: Writer,
    *,
    listed: Sequence[Object] | None = None,
    keep_errors: bool = False,
) -> list[Change]:
    """What has to be done, in the order in which it is done. Asks the server by dry run; writes nothing.

    listed:      what `existing` gave, where it was called already
    keep_errors: an error about one object is kept in its change, and the others are looked at all the same
    Raises Conflict where a name is taken by what is not ours, SourceError.
    """
    there = {_key(item): item for item in (existing(spec, engine, writer) if listed is None else listed)}
    usual: Usual = set()
    found = []
    for manifest in manifests:
        key = _key(manifest)
        current = there.pop(key, None)
        try:
            found.append(_change(spec, sealed(manifest), current, writer, usual))
        except SourceError as error:
            if isinstance(error, NotServed):
                raise _not_served(error, engine) from error
            if isinstance(error, Unreachable) or not keep_errors:
                raise
            what: What = "create" if current is None else "change"
            found.append(
                Change(what, *key[:3], sealed(manifest), namespace=key[3], before=current, error=error)
            )
    return [*found, *_removals(engine, there.values())]


def _not_served(error: NotServed, engine: Engine) -> NotServed:
    return NotServed(error.what, where=error.where, fix=engine.IF_NOT_SERVED)


Usual = set[tuple[str, str, bytes]]
"""(kind, path, value) that the server itself, or its webhooks, set beside what is wanted."""


def _change(
    spec: LoadedSpec, manifest: Object, current: Object | None, writer: Writer, usual: Usual
) -> Change:
    key = _key(manifest)
    if current is None:
        current = _unlabelled(spec, manifest, writer)
    if current is None:
        writer.apply(manifest, dry_run=True)
        return Change("create", *key[:3], manifest, namespace=key[3])
    if _is_as_applied(manifest, current, usual):
        return Change("keep", *key[:3], manifest, namespace=key[3], before=current, after=current)
    after, whole = _after(manifest, current, writer, usual)
    diff = tuple(_diff(current, after))
    what: What = "change" if diff else "keep"
    uid = current["metadata"].get("uid", "")
    return Change(what, *key[:3], manifest, uid, key[3], diff, whole, current, after)


def _is_as_applied(manifest: Object, current: Object, usual: Usual) -> bool:
    """Whether all that is wanted is there, and nobody holds more: then a dry run would say so, too."""
    if any(set_fields(manifest, current)):
        return False
    if not managedfields.entries(current):
        return False
    more = [item for entry in managedfields.entries(current) for item in _beyond(entry, manifest, current)]
    return all(_usual(manifest, *item) in usual for item in more)


def _beyond(entry: managedfields.Entry, manifest: Object, current: Object) -> Iterator[tuple[str, Any]]:
    """What this manager set beside what is wanted, but for what is always left to others."""
    for path, value in managedfields.beyond(entry, manifest, current):
        if not path.endswith(f".{CA_BUNDLE}"):
            yield path, value


def _usual(manifest: Object, path: str, value: Any) -> tuple[str, str, bytes]:
    return manifest["kind"], path, msgspec.json.encode(value, order="deterministic")


def _after(manifest: Object, current: Object, writer: Writer, usual: Usual) -> tuple[Object, Object | None]:
    """What the server would make of it, and the whole object if it has to be put there: an apply takes away nothing
    that others added, such as an action of a binding. Writes nothing.
    """
    held = managedfields.entries(current)
    more = [
        item
        for entry in held
        if (entry.manager, entry.operation) != (FIELD_MANAGER, "Apply")  # of which an apply takes away
        for item in _beyond(entry, manifest, current)
    ]
    suspected = [item for item in more if _usual(manifest, *item) not in usual]
    applied: Object | None = None
    try:
        applied = writer.apply(manifest, dry_run=True)
        if held and not suspected and not any(_differing(manifest, applied)):
            return applied, None
    except Refused:  # what is there and what is wanted may not stand together
        pass
    whole = _whole(manifest, current)
    after = writer.replace(whole, dry_run=True)
    for path, value in more:
        if _has(after, current, manifest, path, value):
            usual.add(_usual(manifest, path, value))
    if applied is not None and told(applied) == told(after):
        return applied, None
    return after, whole


def _whole(manifest: Object, current: Object) -> Object:
    """The object as wanted, with what others may add to it: labels, annotations, the certificate of a webhook."""
    metadata = {key: value for key, value in current["metadata"].items() if key != "managedFields"}
    for key in ("labels", "annotations"):
        metadata[key] = {**(metadata.get(key) or {}), **manifest["metadata"].get(key, {})}
    whole = {**current, **manifest, "metadata": metadata}
    for extra in current.keys() - manifest.keys() - {"status"}:
        del whole[extra]
    bundles = {
        one.get("name"): (one.get("clientConfig") or {}).get(CA_BUNDLE)
        for one in current.get("webhooks") or ()
    }
    if any(bundles.values()):
        whole["webhooks"] = [
            {**one, "clientConfig": {**one["clientConfig"], CA_BUNDLE: bundles[one["name"]]}}
            if bundles.get(one["name"])
            else one
            for one in whole["webhooks"]
        ]
    return whole


def _has(after: Object, current: Object, manifest: Object, path: str, value: Any) -> bool:
    """Whether the server itself gives this value at this path, where nothing is wanted."""
    for entry in managedfields.entries(current):
        if (path, value) in managedfields.beyond(entry, manifest, after):
            return True
    return False


def removals(spec: LoadedSpec, engine: Engine, writer: Writer) -> list[Change]:
    """All that is there, to be removed."""
    return _removals(engine, existing(spec, engine, writer))


def differences(
    objects: Sequence[Object], wanted: Sequence[Sequence[Object]]
) -> dict[tuple[str, str], tuple[str, ...]]:
    """(kind, name) → what is there otherwise than wanted: one text each; an object that is as wanted has none.

    wanted: manifests of each mode; an object may be as any of them. Metadata is not compared, nor what a server adds.
    """
    there = {_key(item): item for item in objects}
    meant: dict[tuple[str, str, str, str], list[Object]] = {}
    for manifests in wanted:
        for manifest in manifests:
            meant.setdefault(_key(manifest), []).append(manifest)
    found = {}
    for key in sorted(there.keys() | meant.keys()):
        if key not in there:
            text: tuple[str, ...] = ("missing",)
        elif key not in meant:
            text = ("no longer required",)
        else:
            differing = [sorted(field.path for field in _differing(one, there[key])) for one in meant[key]]
            best = min(differing, key=len)
            text = (f"differs from what would be applied now: {', '.join(best[:3])}",) if best else ()
        if text:
            found[key[1], key[2]] = text
    return found


def outdated(objects: Sequence[Object], now: datetime) -> list[str]:
    """Moments that have passed at which these objects had to be made again, as they are written there."""
    ends = {(item["metadata"].get("annotations") or {}).get(REAPPLY_ANNOTATION) for item in objects}
    return sorted(end for end in ends if end and datetime.fromisoformat(end) <= now)


def set_fields(manifest: Object, there: Object) -> Iterator[FieldChange]:
    """Fields that the manifest sets and that are otherwise there, labels and annotations too."""
    yield from _marks_differ(manifest, there)
    yield from _differing(manifest, there)


def _differing(wanted: Object, there: Object) -> Iterator[FieldChange]:
    for field in wanted.keys() - {"apiVersion", "kind", "metadata"}:
        yield from _not_in(wanted[field], there.get(field), field)


def _marks_differ(wanted: Object, there: Object) -> Iterator[FieldChange]:
    """The same of labels and annotations."""
    for key in ("labels", "annotations"):
        yield from _not_in(wanted["metadata"].get(key) or {}, there["metadata"].get(key), f"metadata.{key}")


def _not_in(wanted: Any, there: Any, path: str) -> Iterator[FieldChange]:
    """Fields at which something wanted is not there; what the server adds to a map is no difference."""
    if isinstance(wanted, dict) and isinstance(there or {}, dict):
        for key, value in wanted.items():
            step = f"[{key}]" if "." in key or "/" in key else f".{key}"
            yield from _not_in(value, (there or {}).get(key), f"{path}{step}")
    elif isinstance(wanted, list) and isinstance(there, list) and len(wanted) == len(there):
        for index, value in enumerate(wanted):
            yield from _not_in(value, there[index], f"{path}[{index}]")
    elif wanted != there and (wanted or there):
        yield FieldChange(path, wanted, there)


def carry_out(planned: Sequence[Change], writer: Writer) -> Iterator[Change]:
    """Do it; each change comes back when it is done. Raises SourceError: what came before stays done.

    StillThere once all was done, where finalizers keep what is removed. AccessDenied where the cluster is a target to
    which no policies may be applied; to remove them is always allowed.
    """
    if any(change.what in ("create", "change") for change in planned):
        check_allowed(writer)
    held: StillThere | None = None
    for change in planned:
        if change.what == "keep":
            yield change
            continue
        said = f"{change.what} {change.object}"
        try:
            where = trail.about(writer.source)
            with trail.recorded(
                "enforcement", change.what, said, spec=change.spec, resource=change.object, **where
            ):
                _carry_out(change, writer)
        except StillThere as error:
            held = held or error
            continue
        yield change
    if held is not None:
        raise held


def _carry_out(change: Change, writer: Writer) -> None:
    if change.what == "change" and change.whole is not None:
        writer.replace(change.whole)
    elif change.what in ("create", "change") and change.manifest is not None:
        writer.apply(change.manifest)
    elif change.what == "remove":
        place = (change.api_version, change.kind, change.name)
        writer.delete(*place, namespace=change.namespace, uid=change.uid, at_once=True)


def check_allowed(writer: Writer) -> None:
    """Raises AccessDenied where no policies may be applied to this cluster."""
    if refusal := writer.source.no_policies:
        raise AccessDenied(refusal, where=writer.source.name, fix="Allow it with 'kspec cluster enable'.")


def _removals(engine: Engine, objects: Any) -> list[Change]:
    """In the reverse order of their kinds: a binding goes before its policy."""
    order = {kind: -index for index, kind in enumerate(engine.KINDS)}
    found = [
        Change("remove", *key[:3], uid=item["metadata"].get("uid", ""), namespace=key[3], before=item)
        for item in objects
        for key in (_key(item),)
    ]
    return sorted(found, key=lambda c: (order[(c.api_version, c.kind)], c.namespace, c.name))


def _key(item: Mapping[str, Any]) -> tuple[str, str, str, str]:
    metadata = item["metadata"]
    return item["apiVersion"], item["kind"], metadata["name"], metadata.get("namespace", "")


def _unlabelled(spec: LoadedSpec, manifest: Object, writer: Writer) -> Object | None:
    """The object of this name that lost our labels. Raises Conflict where it is not ours."""
    metadata = manifest["metadata"]
    found = writer.find(
        manifest["apiVersion"], manifest["kind"], metadata["name"], namespace=metadata.get("namespace", "")
    )
    if found is None:
        return None
    owner = (found["metadata"].get("annotations") or {}).get(NAME_ANNOTATION)
    label = (found["metadata"].get("labels") or {}).get(SPEC_LABEL)
    applied = any(entry.manager == FIELD_MANAGER for entry in managedfields.entries(found))
    if owner == spec.name or (applied and owner is None and label in (None, spec_id(spec.name))):
        return found
    whose = (
        f"it belongs to the specification {owner or label}"
        if owner or label
        else "it was not created by kspec"
    )
    raise Conflict(
        f"{manifest['kind']} {metadata['name']} already exists, and {whose}.",
        where=writer.source.name,
        fix=f"Remove or rename it, or give the specification {spec.name} another name.",
    )


def _diff(before: Object, after: Object) -> Iterator[str]:
    old, new = (to_yaml([told(item)]).splitlines() for item in (before, after))
    for line in difflib.unified_diff(old, new, lineterm="", n=0):
        if not line.startswith(("---", "+++", "@@")):
            yield line


def told(item: Object) -> Object:
    """What we write of an object."""
    metadata = item.get("metadata") or {}
    kept = {key: metadata[key] for key in ("labels", "annotations") if metadata.get(key)}
    rest = {k: v for k, v in item.items() if k not in ("apiVersion", "kind", "metadata", "status")}
    return {"metadata": kept, **rest}
