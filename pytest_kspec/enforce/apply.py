"""Manifests → cluster: what would change, then server-side apply, then removal of what is no longer wanted.

Only objects with the labels of the specification are ever changed or removed. An object that has the name of one of
ours and not our labels is somebody else's: an error, never overwritten.
"""

from __future__ import annotations

import difflib
from collections.abc import Iterator, Mapping, Sequence
from typing import Any, Literal, NamedTuple

from pytest_kspec.cluster.writing.write import Writer
from pytest_kspec.enforce.engines import Engine
from pytest_kspec.enforce.manifests import to_yaml
from pytest_kspec.enforce.names import NAME_ANNOTATION, SPEC_LABEL, selector
from pytest_kspec.errors import Conflict, NotServed, Refused
from pytest_kspec.spec.loading import LoadedSpec

Object = dict[str, Any]
What = Literal["create", "change", "keep", "remove"]


class Change(NamedTuple):
    """One object.

    diff:  lines of a unified diff of what the server would keep; empty unless it changes
    whole: the object as it is to be put in the place of the present one, where an apply would leave what others added
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

    @property
    def object(self) -> str:
        """Kind and name."""
        return f"{self.kind} {self.namespace}/{self.name}" if self.namespace else f"{self.kind} {self.name}"


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


def changes(spec: LoadedSpec, engine: Engine, manifests: Sequence[Object], writer: Writer) -> list[Change]:
    """What has to be done, in the order in which it is done. Asks the server by dry run; writes nothing.

    Raises Conflict where a name is taken by what is not ours, SourceError.
    """
    there = {_key(item): item for item in existing(spec, engine, writer)}
    try:
        return _changes(spec, engine, manifests, there, writer)
    except NotServed as error:
        raise _not_served(error, engine) from error


def _not_served(error: NotServed, engine: Engine) -> NotServed:
    return NotServed(error.what, where=error.where, fix=engine.IF_NOT_SERVED)


def _changes(
    spec: LoadedSpec,
    engine: Engine,
    manifests: Sequence[Object],
    there: dict[tuple[str, str, str, str], Object],
    writer: Writer,
) -> list[Change]:
    found = []
    for manifest in manifests:
        key = _key(manifest)
        current = there.pop(key, None)
        if current is None:
            _refuse_foreign(spec, manifest, writer)
            writer.apply(manifest, dry_run=True)
            found.append(Change("create", *key[:3], manifest, namespace=key[3]))
            continue
        after, whole = _after(manifest, current, writer)
        diff = tuple(_diff(current, after))
        what: What = "change" if diff else "keep"
        found.append(Change(what, *key[:3], manifest, namespace=key[3], diff=diff, whole=whole))
    return [*found, *_removals(engine, there.values())]


def _after(manifest: Object, current: Object, writer: Writer) -> tuple[Object, Object | None]:
    """What the server would make of it, and the whole object if it has to be put there: an apply takes away nothing
    that others added, such as an action of a binding. Writes nothing.
    """
    try:
        after = writer.apply(manifest, dry_run=True)
        if not any(_differing(manifest, after)):
            return after, None
    except Refused:  # what is there and what is wanted may not stand together
        pass
    metadata = {key: value for key, value in current["metadata"].items() if key != "managedFields"}
    for key in ("labels", "annotations"):
        metadata[key] = {**(metadata.get(key) or {}), **manifest["metadata"].get(key, {})}
    whole = {**current, **manifest, "metadata": metadata}
    return writer.replace(whole, dry_run=True), whole


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
            differing = [sorted(_differing(one, there[key])) for one in meant[key]]
            best = min(differing, key=len)
            text = (f"differs from what would be applied now: {', '.join(best[:3])}",) if best else ()
        if text:
            found[key[1], key[2]] = text
    return found


def _differing(wanted: Object, there: Object) -> Iterator[str]:
    for field in wanted.keys() - {"apiVersion", "kind", "metadata"}:
        yield from _not_in(wanted[field], there.get(field), field)


def _not_in(wanted: Any, there: Any, path: str) -> Iterator[str]:
    """Paths at which something wanted is not there; what the server adds to a map is no difference."""
    if isinstance(wanted, dict) and isinstance(there or {}, dict):
        for key, value in wanted.items():
            yield from _not_in(value, (there or {}).get(key), f"{path}.{key}")
    elif isinstance(wanted, list) and isinstance(there, list) and len(wanted) == len(there):
        for index, value in enumerate(wanted):
            yield from _not_in(value, there[index], f"{path}[{index}]")
    elif wanted != there and (wanted or there):
        yield path


def carry_out(planned: Sequence[Change], writer: Writer) -> Iterator[Change]:
    """Do it; each change comes back when it is done. Raises SourceError: what came before stays done."""
    for change in planned:
        if change.what == "change" and change.whole is not None:
            writer.replace(change.whole)
        elif change.what in ("create", "change") and change.manifest is not None:
            writer.apply(change.manifest)
        elif change.what == "remove":
            writer.delete(
                change.api_version, change.kind, change.name, namespace=change.namespace, uid=change.uid
            )
        yield change


def _removals(engine: Engine, objects: Any) -> list[Change]:
    """In the reverse order of their kinds: a binding goes before its policy."""
    order = {kind: -index for index, kind in enumerate(engine.KINDS)}
    found = [
        Change("remove", *key[:3], uid=item["metadata"].get("uid", ""), namespace=key[3])
        for item in objects
        for key in (_key(item),)
    ]
    return sorted(found, key=lambda c: (order[(c.api_version, c.kind)], c.namespace, c.name))


def _key(item: Mapping[str, Any]) -> tuple[str, str, str, str]:
    metadata = item["metadata"]
    return item["apiVersion"], item["kind"], metadata["name"], metadata.get("namespace", "")


def _refuse_foreign(spec: LoadedSpec, manifest: Object, writer: Writer) -> None:
    """An object of this name that our labels do not find is not ours."""
    metadata = manifest["metadata"]
    found = writer.find(
        manifest["apiVersion"], manifest["kind"], metadata["name"], namespace=metadata.get("namespace", "")
    )
    if found is not None:
        owner = (found["metadata"].get("annotations") or {}).get(NAME_ANNOTATION)
        label = (found["metadata"].get("labels") or {}).get(SPEC_LABEL)
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
    old, new = (to_yaml([_told(item)]).splitlines() for item in (before, after))
    for line in difflib.unified_diff(old, new, lineterm="", n=0):
        if not line.startswith(("---", "+++", "@@")):
            yield line


def _told(item: Object) -> Object:
    """What we write of an object."""
    metadata = item.get("metadata") or {}
    kept = {key: metadata[key] for key in ("labels", "annotations") if metadata.get(key)}
    rest = {k: v for k, v in item.items() if k not in ("apiVersion", "kind", "metadata", "status")}
    return {"metadata": kept, **rest}
