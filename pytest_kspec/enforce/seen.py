"""Whether what was applied is seen to deny: dry runs of objects that our own decision refuses.

An API server acts on policies and registrations seconds after it took them. Only its refusal, in the name of the
specification, says that it does; nothing is created to see it.
"""

from __future__ import annotations

import copy
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any, NamedTuple

import msgspec

from pytest_kspec.cluster.objects.kinds import type_of
from pytest_kspec.cluster.writing.write import Writer
from pytest_kspec.enforce.admission import AnyRequest, GroupKind, GroupResource
from pytest_kspec.enforce.decide import Policies, decide
from pytest_kspec.enforce.engines import Generated, Wanted
from pytest_kspec.enforce.modes import Mode
from pytest_kspec.enforce.names import spec_id
from pytest_kspec.enforce.policy import Policy
from pytest_kspec.errors import Refused, SourceError
from pytest_kspec.plan.checkset import CheckSet
from pytest_kspec.spec.scope import NAME_LABEL

NAME = "kspec-enforcement-probe"
PSA_LABEL = "pod-security.kubernetes.io/enforce"
PATIENCE_S, POLL_S = 30.0, 0.5
MOST_NAMESPACES = 3
_IMAGE = "kspec-probe.invalid/nothing"

# From the mildest to the worst: Pod Security admission refuses the worst before any policy is asked.
_SPECS: tuple[dict[str, Any], ...] = (
    {"containers": [{"name": "probe", "image": _IMAGE}]},
    {
        "hostNetwork": True,
        "hostPID": True,
        "hostIPC": True,
        "containers": [
            {
                "name": "probe",
                "image": _IMAGE,
                "securityContext": {
                    "privileged": True,
                    "allowPrivilegeEscalation": True,
                    "runAsUser": 0,
                    "capabilities": {"add": ["ALL"]},
                },
            }
        ],
        "volumes": [{"name": "host", "hostPath": {"path": "/"}}],
    },
)
_LABELS = {"kspec.io/probe": "true"}


class Probe(NamedTuple):
    """An object that the specification refuses."""

    kind: str
    namespace: str
    body: dict[str, Any]


class Seen(NamedTuple):
    """kinds that were refused in the name of the specification; (kind, why) of those that could not be looked at; and
    kinds that are still admitted.
    """

    denied: tuple[str, ...] = ()
    unknown: tuple[tuple[str, str], ...] = ()
    admitted: tuple[str, ...] = ()


def look(
    wanted: Wanted,
    made: Generated,
    checkset: CheckSet,
    writer: Writer,
    *,
    clock: Callable[[], float] = time.monotonic,
    sleep: Callable[[float], None] = time.sleep,
) -> Seen:
    """Ask until every kind is refused, for `PATIENCE_S` at most.

    Raises SourceError where namespaces cannot be listed.
    """
    waiting = probes(wanted, made, checkset, _namespaces(writer))
    name = spec_id(wanted.plan.spec.name)
    denied: list[str] = []
    reasons: dict[str, str] = {}
    admitted: set[str] = set()
    deadline = clock() + PATIENCE_S
    while waiting:
        for kind, candidates in list(waiting.items()):
            answers = [_answer(probe, writer) for probe in candidates]
            admitted.discard(kind)
            if any(answer is not None and _in_its_name(answer, name) for answer in answers):
                denied.append(kind)
                del waiting[kind]
            elif None in answers:
                admitted.add(kind)
            else:
                reasons[kind] = next(answer for answer in answers if answer is not None)
        if not waiting or clock() > deadline:
            break
        sleep(POLL_S)
    unknown = [(kind, reasons[kind]) for kind in waiting if kind not in admitted]
    return Seen(tuple(denied), tuple(unknown), tuple(sorted(admitted)))


def probes(
    wanted: Wanted, made: Generated, checkset: CheckSet, namespaces: Mapping[str, Mapping[str, str]]
) -> dict[str, list[Probe]]:
    """Kind → objects of it that must be refused, by what was applied; a kind without any is left out."""
    plan = wanted.plan
    policy = Policy(
        plan.spec,
        checkset,
        cluster=wanted.cluster_name or "",
        version=f"v1.{plan.minor}.0",
        mode=Mode.ENFORCE,
        now=plan.moment,
    )
    policies = Policies([policy])
    left_out = {entry.requirement_id for entry in made.not_enforceable}
    # Namespaces whose own Pod Security admission refuses nothing tell more.
    ordered = sorted(namespaces.items(), key=lambda item: (PSA_LABEL in item[1], item[0]))
    found: dict[str, list[Probe]] = {}
    for namespace, labels in ordered:
        if namespace in made.excluded:
            continue
        for body in _bodies(namespace):
            kind = body["kind"]
            known = found.get(kind, [])
            if len({probe.namespace for probe in known} | {namespace}) > MOST_NAMESPACES:
                continue
            decision = decide(
                _request(body, namespace), policies, plan.moment, {**labels, NAME_LABEL: namespace}
            )
            if not decision.allowed and {item.rule.requirement.id for item in decision.found} - left_out:
                found.setdefault(kind, []).append(Probe(kind, namespace, body))
    return found


def _bodies(namespace: str) -> Iterator[dict[str, Any]]:
    metadata = {"name": NAME, "namespace": namespace, "labels": _LABELS}

    def made(api_version: str, kind: str, **fields: Any) -> dict[str, Any]:
        return {"apiVersion": api_version, "kind": kind, "metadata": dict(metadata), **copy.deepcopy(fields)}

    for spec in _SPECS:
        template = {"metadata": {"labels": _LABELS}, "spec": spec}
        once = {"metadata": {"labels": _LABELS}, "spec": {**spec, "restartPolicy": "Never"}}
        yield made("v1", "Pod", spec=spec)
        yield made(
            "apps/v1",
            "Deployment",
            spec={"replicas": 0, "selector": {"matchLabels": _LABELS}, "template": template},
        )
        job = {"suspend": True, "schedule": "0 0 1 1 *", "jobTemplate": {"spec": {"template": once}}}
        yield made("batch/v1", "CronJob", spec=job)
        yield made("v1", "PodTemplate", template=template)
    for kind in ("NodePort", "LoadBalancer", "ClusterIP"):
        yield made("v1", "Service", spec={"type": kind, "selector": _LABELS, "ports": [{"port": 65000}]})
    outside = {"type": "ExternalName", "externalName": "kspec-probe.invalid"}
    yield made("v1", "Service", spec=outside)


def _request(body: dict[str, Any], namespace: str) -> AnyRequest:
    found = type_of(body["apiVersion"], body["kind"])
    return AnyRequest(
        uid=NAME,
        kind=GroupKind(found.group, found.version, found.kind),
        resource=GroupResource(found.group, found.plural),
        operation="CREATE",
        namespace=namespace,
        name=NAME,
        object=msgspec.Raw(msgspec.json.encode(body)),
    )


def _namespaces(writer: Writer) -> dict[str, Mapping[str, str]]:
    """Name → labels."""
    items = writer.list("v1", "Namespace")
    return {item["metadata"]["name"]: item["metadata"].get("labels") or {} for item in items}


def _answer(probe: Probe, writer: Writer) -> str | None:
    """Why it is refused, or could not be tried; None: it is admitted."""
    try:
        writer.create(probe.body, dry_run=True)
    except Refused as error:
        return error.what
    except SourceError as error:
        return str(error)
    return None


def _in_its_name(answer: str, name: str) -> bool:
    """Whether the specification is named by who refuses: not a webhook that could not be called, nor others."""
    by_policy, by_webhook = f"kspec-{name}-", f'"{name}.webhook.kspec.io" denied the request'
    return by_webhook in answer or (by_policy in answer and "denied" in answer)


def sentence(seen: Seen) -> str:
    """What was seen, in a line; "" for nothing."""
    return f"denial observed: {', '.join(seen.denied)} (dry runs)" if seen.denied else ""


def problems(seen: Seen) -> Sequence[str]:
    """What was not seen, one line each."""
    lines = [
        f"{kind}: a denial could not be observed, because another error occurs first: {why}"
        for kind, why in seen.unknown
    ]
    return [
        *lines,
        *(f"{kind}: violations are still admitted after {PATIENCE_S:.0f} s" for kind in seen.admitted),
    ]
