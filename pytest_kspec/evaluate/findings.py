"""The collector that checks report to. It applies exemptions itself: no check author can forget them.

A rule is evaluated once for each distinct pod shape; what it finds is reported once an owner, with a count.
"""

from __future__ import annotations

from collections.abc import Callable, Hashable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from operator import itemgetter
from typing import Any, NamedTuple

from msgspec import Struct
from msgspec.structs import replace

from pytest_kspec.errors import KspecError, Malformed, NotApplicable, NotServed, without_credentials
from pytest_kspec.evaluate.unheard import COPIES
from pytest_kspec.evaluate.violations import (
    distinct,
    finding_of,
    in_object,
    judge_pod,
    judge_service,
    several,
)
from pytest_kspec.kube.reference import CLUSTER, ResourceRef
from pytest_kspec.kube.resources import (
    AUTOMOUNT,
    CONTAINER_LISTS,
    NamedNamespace,
    PodShape,
    Resource,
    Resources,
    Workload,
)
from pytest_kspec.results.annotated import AnnotationMatcher, annotations_of
from pytest_kspec.results.exemptions import ExemptionMatcher
from pytest_kspec.results.finding import AppliedExemption, Finding, safe_fix, told
from pytest_kspec.results.order import finding_key
from pytest_kspec.results.verdict import NOTHING_TO_EXAMINE, Verdict
from pytest_kspec.rules.base import Rule, ServiceRule, Violation
from pytest_kspec.rules.repair.repair import in_template, repair

NOT_LOOKED = (
    "the check evaluated nothing: it did not read {}. "
    "If there is nothing to evaluate, call findings.skip(reason)."
)
_AUTOMOUNT = f"spec.{AUTOMOUNT[0]}"
_POD_PATHS = tuple(f"spec.{name}[" for name in CONTAINER_LISTS)  # what Container.path gives

Owners = list[tuple[ResourceRef, list[Workload]]]


class Groups(NamedTuple):
    """Workloads by shape, then by owner. `malformed`: those whose shape no rule can judge as a whole."""

    sound: list[tuple[PodShape, Owners]]
    malformed: list[tuple[PodShape, Owners]]


class Grouping:
    """Workloads by shape and owner; kept as long as a cluster's inventory: most checks ask for the same."""

    def __init__(self) -> None:
        self._cache: dict[int, tuple[Sequence[Workload], Groups]] = {}

    def of(self, workloads: Sequence[Workload]) -> Groups:
        """In the order of the first of each."""
        items = workloads.items if isinstance(workloads, Resources) else workloads
        known = self._cache.get(id(items))
        if known is not None and known[0] is items:
            return known[1]
        shapes: dict[int, tuple[PodShape, dict[tuple[ResourceRef, str], list[Workload]]]] = {}
        for workload in items:
            shape = workload.shape
            entry = shapes.get(id(shape))
            if entry is None:
                entry = shapes[id(shape)] = (shape, {})
            entry[1].setdefault((workload.owner, workload.place), []).append(workload)
        groups = Groups([], [])
        for shape, owners in shapes.values():
            by_owner = [(owner, members) for (owner, _), members in owners.items()]
            (groups.malformed if shape.malformed else groups.sound).append((shape, by_owner))
        if len(items) > 64:
            self._cache[id(items)] = (items, groups)
        return groups


def _by_account(
    sound: list[tuple[PodShape, Owners]], mounting: Mapping[tuple[str, str], bool]
) -> Iterator[tuple[PodShape, Owners]]:
    """Pods that leave `automountServiceAccountToken` unset, apart by what their ServiceAccount says."""
    for shape, owners in sound:
        if not mounting or shape.spec.get(AUTOMOUNT[0]) is not None:
            yield shape, owners
            continue
        name = shape.spec.get("serviceAccountName") or shape.spec.get("serviceAccount") or "default"
        split: dict[bool | None, Owners] = {}
        for owner, members in owners:
            parts: dict[bool | None, list[Workload]] = {}
            for member in members:
                parts.setdefault(mounting.get((member.namespace, str(name))), []).append(member)
            for says, some in parts.items():
                split.setdefault(says, []).append((owner, some))
        for says, some_owners in split.items():
            yield (shape if says is None else shape.mounting(says)), some_owners


class _Group(Struct):
    """One violation of a rule at one owner: its template, its pods, or both."""

    violation: Violation
    owner: ResourceRef
    exemption: AppliedExemption | None
    message: str = ""
    in_pod: bool = True  # the path is one of the pod, in a template to be prefixed
    template: Workload | None = None
    first_pod: Workload | None = None
    pods: int = 0
    rule: Rule | None = None
    fix: Any = None  # given by the check, or made of the rule
    fixed: bool = False

    def add(self, members: Sequence[Workload]) -> None:
        for member in members:
            if not member.is_pod:
                self.template = member
                continue
            self.pods += 1
            if self.first_pod is None or member.name < self.first_pod.name:
                self.first_pod = member

    def finding(self) -> Finding:
        shown = self.template or self.first_pod
        assert shown is not None
        return finding_of(
            shown.ref,
            self.owner,
            shown.path_of(self.violation.path) if self.in_pod else self.violation.path,
            self.violation,
            self.message,
            max(self.pods, 1),
            self.exemption,
            self._fix(shown),
        )

    def _fix(self, shown: Workload) -> Any:
        """Of what is kept somewhere: a template, or a pod that nothing controls. Other pods are only made."""
        if self.exemption is not None or (shown.is_pod and self.owner != shown.ref):
            return None
        if not shown.patchable:
            return None
        if self.rule is not None and not self.fixed:
            patch = repair(self.rule, self.violation, shown.shape)
            self.fix = in_template(shown.template_path, patch) if patch else None
            self.fixed = True
        return self.fix


class Findings:
    """What one check found on one cluster; the fixture `findings`."""

    def __init__(
        self,
        matcher: ExemptionMatcher,
        grouping: Grouping | None = None,
        knows: Callable[[Finding], bool] | None = None,
        covers: Callable[[ResourceRef], bool] | None = None,
        mounting: Callable[[], Mapping[tuple[str, str], bool]] | None = None,
        annotated: AnnotationMatcher | None = None,
    ) -> None:
        """`covers`: whether an object is in the scope of the specification; what is said of others does not count.

        mounting: `automountServiceAccountToken` of ServiceAccounts that set it, asked for when a rule depends on it
        """
        self._mounting = mounting
        self._matcher = matcher
        self._annotated = annotated
        self._covers = covers
        self._knows = knows
        self._grouping = grouping or Grouping()
        self._single: dict[tuple[Any, ...], Finding] = {}
        self._groups: dict[tuple[Any, ...], _Group] = {}
        self._errors: list[str] = []
        self._skip = ""
        self._asked = False
        self._offered: dict[str, None] = {}
        self._looked = False
        self._examined: dict[int, tuple[Any, int]] = {}

    def add(
        self,
        resource: Resource | ResourceRef | None,
        *,
        path: str = "",
        actual: Any = None,
        expected: str = "",
        message: str = "",
        container: str = "",
        fix: Mapping[str, Any] | None = None,
    ) -> None:
        """Report one violation.

        resource: the object, or None for the cluster itself
        path: path of the field in the object, with containers by name: "spec.containers[app].image"
        actual: the value found, as JSON-like data; expected: the expected value, as text
        message: one line; if empty, it is made from path, actual and expected
        container: name of the container, if the violation is about one
        fix: a strategic merge patch of `resource` that removes the violation, or a whole object to create; None if this
             needs a manual decision

        Equal violations of the pods and templates of one owner become one finding with a count.
        """
        self.looked()
        if isinstance(resource, Workload):
            violation = Violation(path, actual, str(expected), container)
            kind = resource.ref.kind
            text = told(kind, path, actual, str(expected), " ".join(message.split())).message
            self._add_members(violation, resource.owner, [resource], text, fix=safe_fix(fix))
            return
        labels: Mapping[str, str] = {}
        if isinstance(resource, Resource):
            ref, owner = resource.ref, resource.owner
            if not isinstance(resource, NamedNamespace):  # no exemption is by labels that nobody knows
                labels = resource.labels
        else:
            ref = owner = resource or CLUSTER
        if self._covers is not None and not self._covers(ref):
            return
        actual, expected, message = told(ref.kind, path, actual, str(expected), " ".join(message.split()))
        key = (ref, path, repr(actual), expected, message)
        if key in self._single:
            return
        exemption = self._matcher.match(ref, owner, labels, container) if self._matcher else None
        if exemption is None and self._annotated is not None and isinstance(resource, Resource):
            exemption = self._annotated.match(annotations_of(resource), ref)
        self._single[key] = Finding(
            ref, owner, path, actual, expected, message, container, 1, exemption,
            fix=None if exemption else safe_fix(fix),
        )  # fmt: skip

    def apply(self, rule: Rule, workloads: Sequence[Workload]) -> None:
        """Evaluate a rule on pods and templates; every violation becomes a finding of their owner."""
        self.examined(workloads)
        groups = self._grouping.of(workloads)
        reads: tuple[str, ...] = getattr(rule, "reads", ())
        if _AUTOMOUNT in reads and self._mounting is not None:
            groups = Groups(list(_by_account(groups.sound, self._mounting())), groups.malformed)
        for shape, owners in groups.malformed:
            judged = judge_pod(rule, shape)
            for what in judged.errors:
                self._malformed(owners, what)
            self._violated(rule, judged.violations, owners)
        key_of = itemgetter(*reads) if reads else None
        good: set[Hashable] = set()
        key: Hashable = None
        for shape, owners in groups.sound:
            if key_of is not None:
                try:
                    key = key_of(shape.facets)
                except KeyError:
                    key = key_of({name: shape.facet(name) for name in reads})
                if key in good:
                    continue
            try:
                violations = rule.evaluate(shape)
            except Malformed as error:
                self._malformed(owners, error.what)
                continue
            if violations:
                self._violated(rule, distinct(violations), owners)
            elif key_of is not None:
                good.add(key)

    def _violated(self, rule: Rule, violations: Sequence[Violation], owners: Owners) -> None:
        for violation in violations:
            for owner, members in owners:
                self._add_members(violation, owner, members, rule=rule)

    def apply_to_services(self, rule: ServiceRule, services: Sequence[Resource]) -> None:
        """Evaluate a rule on Services; every violation becomes a finding."""
        self.looked()
        for service in services:
            judged = judge_service(rule, service.raw.get("spec"))
            for what in judged.errors:
                self.error(what, service)
            for path, actual, expected, _container in judged.violations:
                self.add(service, path=path, actual=actual, expected=expected)

    def _add_members(
        self,
        violation: Violation,
        owner: ResourceRef,
        members: list[Workload],
        message: str = "",
        *,
        rule: Rule | None = None,
        fix: Any = None,
    ) -> None:
        if self._covers is not None:
            members = [member for member in members if self._covers(member.ref)]
            if not members:
                return
        split: dict[AppliedExemption | None, list[Workload]] = {None: members}
        if self._matcher or self._annotated is not None:
            split = {}
            # Pods of one owner differ in name and labels only: one answer does, unless an exemption asks.
            place = members[0].place
            finding = (owner, place, violation.path, repr(violation.actual), violation.expected, message)
            each = self._matcher.per_object or self._annotated is not None
            for member in members if each else members[:1]:
                exemption = self._matcher.match(
                    member.ref, owner, member.labels, violation.container, finding
                )
                if exemption is None and self._annotated is not None:
                    exemption = self._annotated.match(annotations_of(member), owner)
                split.setdefault(exemption, []).extend([member] if each else members)
        for exemption, some in split.items():
            place = some[0].place
            key = (
                owner,
                place,
                violation.path,
                repr(violation.actual),
                violation.expected,
                message,
                exemption,
            )
            group = self._groups.get(key)
            if group is None:
                group = self._groups[key] = _Group(
                    violation, owner, exemption, message, not message or violation.path.startswith(_POD_PATHS)
                )
                group.rule = rule
            group.add(some)
            if fix is not None and (group.fix is None or not some[0].is_pod):
                group.fix = fix

    def _malformed(self, owners: Owners, what: str) -> None:
        """what: as in `Judged.errors`."""
        for owner, members in owners:
            held = next((member for member in members if not member.is_pod), members[0])
            self.error(in_object(held, what), owner)

    def examined(self, resources: Sequence[Any] | int) -> None:
        """State which objects were examined; collections from fixtures do this themselves when they are iterated."""
        self._asked = True
        self.looked()
        # By identity: iterating a collection twice is looking at it once.
        known = resources.items if isinstance(resources, Resources) else resources
        count = known if isinstance(known, int) else len(known)
        self._examined[-len(self._examined) if isinstance(known, int) else id(known)] = (known, count)

    def offer(self, name: str) -> None:
        """Note a fixture by which the check can look at the cluster."""
        self._offered[name] = None

    def looked(self) -> None:
        """Note that the check used what it was offered, or reported something. Raises CheckError in a copy of the
        process.
        """
        COPIES.refuse()
        self._looked = True

    @contextmanager
    def reading(self) -> Iterator[None]:
        """Objects are listed in here. What cannot be read is an error, also of a check that handles the exception.

        That a cluster does not serve a kind is an answer.
        """
        try:
            yield
        except (NotServed, NotApplicable):
            raise
        except KspecError as error:
            self.error(str(error))
            raise

    @property
    def examined_count(self) -> int:
        """Number of objects that were examined."""
        return sum(count for _, count in self._examined.values())

    def error(self, message: str, resource: Resource | ResourceRef | None = None) -> None:
        """Report that something could not be evaluated: the verdict is error, findings are kept."""
        self.looked()
        ref = resource.ref if isinstance(resource, Resource) else resource
        if ref is not None and self._covers is not None and not self._covers(ref):
            return
        text = without_credentials(" ".join(message.split()))
        line = f"{ref}: {text}" if ref is not None else text
        if line not in self._errors:
            self._errors.append(line)

    def skip(self, reason: str) -> None:
        """Report that there is nothing to examine."""
        COPIES.refuse()
        self._skip = without_credentials(" ".join(reason.split()))

    @property
    def uses(self) -> dict[int, int]:
        """Index of exemption → findings that it matched."""
        return self._matcher.uses

    def results(self) -> tuple[Finding, ...]:
        """All findings, those of exemptions included, in a stable order."""
        found = [*self._single.values(), *(group.finding() for group in [*self._groups.values()])]
        found.sort(key=finding_key)
        if self._knows is not None:
            knows = self._knows
            found = [replace(f, known=True) if f.exemption is None and knows(f) else f for f in found]
        return tuple(found)

    def _has_open(self) -> bool:
        if self._knows is not None:
            return any(finding.is_open for finding in self.results())
        return any(f.exemption is None for f in self._single.values()) or any(
            group.exemption is None for group in self._groups.values()
        )

    def verdict(self) -> tuple[Verdict, str]:
        """The verdict and its reason: error before fail before skip before pass."""
        if self._errors:
            return Verdict.ERROR, several(self._errors)
        if self._has_open():
            return Verdict.FAIL, ""
        if self._skip:
            return Verdict.SKIP, self._skip
        if self._single or self._groups:
            return Verdict.PASS, ""
        if self._asked and not self.examined_count:
            return Verdict.SKIP, NOTHING_TO_EXAMINE
        if self._offered and not self._looked:
            return Verdict.ERROR, NOT_LOOKED.format(", ".join(self._offered))
        return Verdict.PASS, ""
