"""Checks that do what checks do: each way to end, each kind of fixture. The same file is run by every shell."""

import time
from collections.abc import Callable
from contextlib import suppress

import pytest

from pytest_kspec import (
    AccessDenied,
    Cluster,
    ClusterSpecification,
    Containers,
    Findings,
    NotApplicable,
    Pods,
    Rbac,
    Requirement,
    ResourceLister,
    Services,
    check,
)

ENDED: list[str] = []


def case(name: str, **more: object):  # type: ignore[no-untyped-def]
    return check(id=f"acme.{name}", title=f"Case {name}", severity="low", remediation="None.", **more)  # type: ignore[arg-type]


class Odd(BaseException):
    """No Exception."""


@pytest.fixture
def answer():  # type: ignore[no-untyped-def]
    yield 42
    ENDED.append("answer")


@pytest.fixture
def named(pods: Pods, answer: int):  # type: ignore[no-untyped-def]
    return {pod.name: answer for pod in pods}


@pytest.fixture(autouse=True)
def always(requirement: Requirement):  # type: ignore[no-untyped-def]
    return requirement.id


@pytest.fixture
def services(services: Services):  # type: ignore[no-untyped-def]
    """Replaces the fixture that it builds on."""
    return [service for service in services if service.name != "hidden"]


@pytest.fixture
def broken():  # type: ignore[no-untyped-def]
    raise ValueError("no database")


@pytest.fixture
def refused():  # type: ignore[no-untyped-def]
    raise AccessDenied("cannot list widgets: forbidden.", where="prod")


@pytest.fixture
def elsewhere():  # type: ignore[no-untyped-def]
    pytest.skip("not in this region")


@pytest.fixture
def empty():  # type: ignore[no-untyped-def]
    for _ in ():
        yield 1


@pytest.fixture
def leaky():  # type: ignore[no-untyped-def]
    yield 1
    raise OSError("the lock is gone")


@pytest.fixture
def disappointed():  # type: ignore[no-untyped-def]
    yield 1
    raise AssertionError("two are left")


@pytest.fixture
def endless():  # type: ignore[no-untyped-def]
    time.sleep(60)


@case("passes")
def test_passes(pods: Pods, findings: Findings) -> None:
    """Why."""
    assert [pod.name for pod in pods]


@case("finds")
def test_finds(pods: Pods, findings: Findings) -> None:
    """Of these, one is exempt and one is out of scope."""
    for pod in pods:
        findings.add(
            pod, path="spec.hostNetwork", actual=pod.raw["spec"].get("hostNetwork"), expected="unset"
        )


@case("covers")
def test_covers(pods: Pods, findings: Findings) -> None:
    """Everything that it finds is exempt."""
    findings.add(next(pod for pod in pods if pod.name == "exempt"), path="spec.x", expected="y")


@case("outside")
def test_outside(cluster, findings: Findings) -> None:  # type: ignore[no-untyped-def]
    """What it reports is out of scope."""
    for pod in cluster.list("Pod"):
        if pod.namespace == "play":
            findings.add(pod, path="spec.x", expected="y")


@case("whole", cluster_wide=True)
def test_whole(pods: Pods, findings: Findings) -> None:
    """It is about the whole cluster, whatever the scope."""
    for pod in pods:
        findings.add(pod, path="spec.x", expected="y")


@case("nothing")
def test_nothing(nodes, findings: Findings) -> None:  # type: ignore[no-untyped-def]
    """There is nothing to examine."""
    for node in nodes:
        findings.add(node)


@case("says-error")
def test_says_error(pods: Pods, findings: Findings) -> None:
    """Could not look everywhere; what was found is kept."""
    findings.add(pods[0], path="spec.x", expected="y")
    findings.error("no answer from the database, password=hunter2-hunter2", pods[0])


@case("says-skip")
def test_says_skip(findings: Findings) -> None:
    """Why."""
    findings.skip("nothing of this kind")


@case("builds")
def test_builds(pods: Pods, findings: Findings) -> None:
    """The generator never runs."""
    never = (findings.add(pod, path="spec.x", expected="y") for pod in pods)
    held = [map(findings.add, pods)]
    del never, held


@case("builds-elsewhere")
def test_builds_elsewhere(resources: ResourceLister, cluster: Cluster, findings: Findings) -> None:
    """A generator function is called, and nothing else: the cluster's name says nothing of its objects."""
    never = _judge(resources("Pod"), cluster.name, findings)
    del never


def _judge(found, name, findings):  # type: ignore[no-untyped-def]
    for pod in found:
        yield findings.add(pod, message=name)


@case("unread")
def test_unread(cluster: Cluster, findings: Findings) -> None:
    """What it lists it does not look at."""
    cluster.list("Pod")


@case("no-roles")
def test_no_roles(rbac: Rbac, spec: ClusterSpecification, findings: Findings) -> None:
    """It returns before it looks."""
    if not str(spec.workloads).startswith("x"):
        return
    assert not rbac.roles


@case("unread-pairs")
def test_unread_pairs(containers: Containers, findings: Findings) -> None:
    """Neither are pairs looked at."""
    never = filter(None, containers)
    del never


@case("counts")
def test_counts(pods: Pods, findings: Findings) -> None:
    """How many there are is looking at them."""
    assert len(pods) < 100


@case("version")
def test_version(cluster: Cluster, findings: Findings) -> None:
    """It is about the cluster itself."""
    assert cluster.serves("Pod")


@case("outer")
def test_outer(cluster: Cluster, findings: Findings) -> None:
    """What is looked up elsewhere by the name of the cluster is not known here."""
    assert {"x": 1}.get(cluster.name) is None


@case("kube")
def test_kube(kube: object, findings: Findings) -> None:
    """Manifests have no API server."""
    findings.add(None, message="it ran")


@case("returns")
def test_returns(findings: Findings) -> object:
    """Why."""
    return sorted([1])


@case("asserts")
def test_asserts(findings: Findings) -> None:
    """Why."""
    number = 1
    assert number == 2, "one is not two"


@case("mixed")
def test_mixed(pods: Pods, findings: Findings) -> None:
    """Findings before it raises are kept."""
    findings.add(pods[0], path="spec.x", expected="y")
    raise ValueError("later")


RAISED: dict[str, Callable[[], BaseException]] = {
    "value": lambda: ValueError("not a number"),
    "silent": ValueError,
    "assertion": AssertionError,
    "exit": lambda: SystemExit(0),
    "generator-exit": GeneratorExit,
    "odd": lambda: Odd("odd"),
    "recursion": lambda: RecursionError("too deep"),
    "memory": MemoryError,
    "stop": StopIteration,
    "system": lambda: OSError(28, "No space left on device"),
    "interrupt": lambda: KeyboardInterrupt("by itself"),
    "group": lambda: ExceptionGroup("several", [ValueError("a"), KeyError("b")]),
    "not-applicable": lambda: NotApplicable("manifests have none of it"),
    "denied": lambda: AccessDenied("cannot list pods: forbidden.", where="prod", fix="Grant it."),
    "long": lambda: ValueError("x" * 5000),
    "many-lines": lambda: ValueError("a\n\nb"),
}


@pytest.mark.parametrize("kind", RAISED)
@case("raises")
def test_raises(kind: str, findings: Findings) -> None:
    """Why."""
    raise RAISED[kind]()


@case("skips")
def test_skips(findings: Findings) -> None:
    """Why."""
    pytest.skip("not today")


@case("skips-late")
def test_skips_late(pods: Pods, findings: Findings) -> None:
    """A finding is not skipped away."""
    findings.add(pods[0], path="spec.x", expected="y")
    pytest.skip("not today")


@case("fails")
def test_fails(findings: Findings) -> None:
    """Why."""
    pytest.fail("the pager is silent")


@case("xfails")
def test_xfails(findings: Findings) -> None:
    """Not to be passed by."""
    pytest.xfail("known to be bad")


@case("wants")
def test_wants(findings: Findings) -> None:
    """Why."""
    pytest.importorskip("no_such_module_anywhere")


@pytest.mark.skip(reason="not yet")
@case("marked")
def test_marked(findings: Findings) -> None:
    """Why."""
    raise ValueError


@pytest.mark.skipif(True, reason="not on this machine")
@case("marked-if")
def test_marked_if(findings: Findings) -> None:
    """Why."""
    raise ValueError


@pytest.mark.skipif(False, reason="never")
@case("unmarked")
def test_unmarked(findings: Findings) -> None:
    """Why."""
    raise ValueError("it ran")


@pytest.mark.parametrize("first", [1, pytest.param(2, id="two"), pytest.param(3, marks=pytest.mark.skip)])
@pytest.mark.parametrize(("second", "third"), [("a", None), ("b/c", {"x": 1})])
@case("parameters")
def test_parameters(first: int, second: str, third: object, findings: Findings) -> None:
    """Why."""
    assert first == 1, f"{first} {second} {third}"


@pytest.mark.parametrize("name", ["plain", "exempt"], ids=lambda value: value.upper())
@case("ids")
def test_ids(name: str, pods: Pods, findings: Findings) -> None:
    """An exemption of one set of parameters is one of the check."""
    findings.add(next(pod for pod in pods if pod.name == name), path="spec.x", expected="y")


@case("generator")
def test_generator(named: dict[str, int], answer: int, always: str, findings: Findings) -> None:
    """Why."""
    assert named == {"plain": 43, "exempt": 43}, f"{sorted(named.items())} {answer} {always}"


@case("replaced")
def test_replaced(services: list[object], findings: Findings) -> None:
    """Why."""
    for service in services:
        findings.add(service, path="spec.type", expected="z")  # type: ignore[arg-type]


@pytest.mark.usefixtures("broken")
@case("uses")
def test_uses(findings: Findings) -> None:
    """Why."""
    findings.add(None, message="it ran")


for _name in ("broken", "refused", "elsewhere", "empty", "leaky", "disappointed", "missing", "endless"):
    # One check for each fixture that is not there or does not go well.
    exec(
        f"@case('with-{_name}')\n"
        f"def test_with_{_name}({_name}, findings):\n"
        f"    '''Why.'''\n"
        f"    findings.add(None, message='it ran')\n"
    )


@case("hangs")
def test_hangs(findings: Findings) -> None:
    """Why."""
    with suppress(Exception):  # not even this keeps it going
        time.sleep(60)


@case("default")
def test_default(pods: Pods, findings: Findings, limit: int = 7) -> None:  # noqa: PT028  # it is not pytest's alone
    """An argument with a default is no fixture."""
    assert limit == 8, f"limit {limit}"
