"""Default deny in every namespace, for ingress and for egress.

Policies only add: what one of them allows, another cannot deny. So an allow-everything policy for all pods
defeats a default deny beside it, and a policy for all pods that has some rules is not a default deny by itself,
for its next rule would change the default. Policy types are defaulted as by the API server: Ingress always,
Egress with egress rules. Of manifests, every namespace is examined that some object is in, by the policies
in the files.

Not seen: pods with hostNetwork (no NetworkPolicy applies to them), whether the network plugin enforces
policies, and other engines (AdminNetworkPolicy, Cilium, Calico): only NetworkPolicies count.
"""

from __future__ import annotations

import ipaddress
from collections.abc import Iterable, Iterator, Mapping
from typing import Any, TypeVar

from pytest_kspec import (
    RESERVED_NAMESPACES,
    About,
    Findings,
    Malformed,
    Namespaces,
    NetworkPolicies,
    Resource,
    check,
)

ABOUT = About(
    restricts=(
        "NetworkPolicy spec.{podSelector,policyTypes,ingress,egress}, all policies of a namespace together"
    ),
    allowed=(
        "one policy with an empty podSelector, of that policy type and without rules for it;\n"
        "and no policy with an empty podSelector that allows everything in that direction (all addresses, at all "
        "ports of TCP and UDP)"
    ),
    source="Kubernetes, Network Policies (networking.k8s.io/v1); CIS Kubernetes Benchmark 1.10, 5.3.2",
)

DIRECTIONS = ("Ingress", "Egress")
LAST_PORT = 65535
Network = ipaddress.IPv4Network | ipaddress.IPv6Network
Block = TypeVar("Block", ipaddress.IPv4Network, ipaddress.IPv6Network)


@check(
    id="network.defaultDeny",
    title="Every namespace denies ingress and egress by default",
    severity="high",
    remediation="Create a NetworkPolicy with podSelector {}, policyTypes [Ingress, Egress] and no rules, "
    "allow what is needed by further policies, and remove policies that allow everything to all pods.",
    about=ABOUT,
    not_admission="it depends on all NetworkPolicies of a namespace; a request contains one",
    key="network.defaultDeny",
    judges="namespace",
)
def test_default_deny(namespaces: Namespaces, network_policies: NetworkPolicies, findings: Findings) -> None:
    """Without a default deny policy, a compromised pod can reach every other pod and the internet."""
    policies: dict[str, list[Resource]] = {}
    for policy in network_policies:
        policies.setdefault(policy.namespace, []).append(policy)
    for namespace in namespaces:
        states: dict[str, dict[str, list[str]]] = {direction: {} for direction in DIRECTIONS}
        for policy in policies.get(namespace.name, ()):
            try:
                for direction, state in effect(policy.spec):
                    states[direction].setdefault(state, []).append(policy.name)
            except Malformed as error:
                findings.error(error.what, policy)
        for direction, found in states.items():
            word = direction.lower()
            if "denies" in found and "allows" not in found:
                continue
            actual = _describe(word, found)
            name = f"default-deny-{word}"
            # Where a fix would help, and takes no name that is in use. Denied in kube-system, DNS serves nobody.
            fixable = "allows" not in found and not namespace.name.startswith(RESERVED_NAMESPACES)
            free = fixable and all(policy.name != name for policy in policies.get(namespace.name, ()))
            findings.add(
                namespace,
                path=f"networkPolicies.{word}",
                actual=actual,
                expected=f"a NetworkPolicy that denies {word} of all pods, and none that allows everything",
                message=f"no default deny for {word}: {actual}",
                fix=default_deny(name, namespace.name, direction) if free else None,
            )


def default_deny(name: str, namespace: str, direction: str) -> dict[str, Any]:
    """The policy that denies a direction to all pods of a namespace; policies that allow some still do."""
    return {
        "apiVersion": "networking.k8s.io/v1",
        "kind": "NetworkPolicy",
        "metadata": {"name": name, "namespace": namespace},
        "spec": {"podSelector": {}, "policyTypes": [direction]},
    }


def _describe(word: str, found: Mapping[str, list[str]]) -> str:
    texts = {
        "allows": f"allowing all {word} of all pods",
        "opens": f"selecting all pods, but with {word} rules",
        "some": "selecting only some pods",
    }
    parts = [f"{', '.join(found[state])} {text}" for state, text in texts.items() if state in found]
    return f"NetworkPolicy {'; '.join(parts)}" if parts else f"no NetworkPolicy for {word}"


def effect(spec: Mapping[str, Any]) -> Iterator[tuple[str, str]]:
    """(direction, "denies", "allows", "opens" (some rules) or "some" (not all pods)) for each type."""
    selector = _of(spec, "podSelector", dict)
    everything = not (_of(selector, "matchLabels", dict) or _of(selector, "matchExpressions", list))
    egress = _of(spec, "egress", list)
    types = _of(spec, "policyTypes", list) or (["Ingress", "Egress"] if egress else ["Ingress"])
    if unknown := [one for one in types if one not in DIRECTIONS]:
        raise Malformed(f"NetworkPolicy policyTypes holds {unknown[0]!r:.60}")
    for direction, rules, peers in (
        ("Ingress", _of(spec, "ingress", list), "from"),
        ("Egress", egress, "to"),
    ):
        if direction in types:
            if not everything:
                yield direction, "some"
            elif not rules:
                yield direction, "denies"
            else:
                yield direction, "allows" if _open(rules, peers) else "opens"


def _open(rules: list[Any], peers: str) -> bool:
    """Whether the rules together allow everything: all addresses, at all ports."""
    blocks: list[Network] = []
    open_to_all = False
    for rule in rules:
        if not isinstance(rule, dict):
            raise Malformed(f"NetworkPolicy rule is {rule!r:.60}, not an object")
        every_port = _every_port(_of(rule, "ports", list))
        allowed = _of(rule, peers, list)
        found = [block for peer in allowed for block in _addresses(peer)]
        if every_port:
            open_to_all = open_to_all or not allowed
            blocks += found
    return (
        open_to_all
        or _everywhere(block for block in blocks if isinstance(block, ipaddress.IPv4Network))
        or _everywhere(block for block in blocks if isinstance(block, ipaddress.IPv6Network))
    )


def _everywhere(blocks: Iterable[Block]) -> bool:
    return any(whole.prefixlen == 0 for whole in ipaddress.collapse_addresses(blocks))


def _every_port(ports: list[Any]) -> bool:
    """Whether these are all ports of TCP and of UDP; no list is no limit."""
    whole = set()
    for port in ports:
        if not isinstance(port, dict):
            raise Malformed(f"NetworkPolicy port is {port!r:.60}, not an object")
        first = port.get("port")
        if first is None or (first == 1 and port.get("endPort") == LAST_PORT):
            whole.add(port.get("protocol") or "TCP")
    return not ports or whole >= {"TCP", "UDP"}


def _addresses(peer: Any) -> Iterator[Network]:
    """The addresses of a peer that is a block without exceptions."""
    if not isinstance(peer, dict):
        raise Malformed(f"NetworkPolicy peer is {peer!r:.60}, not an object")
    if peer.get("ipBlock") is None:
        return
    block = _of(peer, "ipBlock", dict)
    cidr, excepted = block.get("cidr"), _of(block, "except", list)
    try:
        network = ipaddress.ip_network(cidr, strict=False) if isinstance(cidr, str) else None
    except ValueError:
        network = None
    if network is None:
        raise Malformed(f"NetworkPolicy cidr is {cidr!r:.60}, not a block of addresses")
    if not excepted:
        yield network


def _of(raw: Mapping[str, Any], key: str, kind: type) -> Any:
    value = raw.get(key)
    if value is None:
        return kind()
    if not isinstance(value, kind):
        raise Malformed(f"NetworkPolicy {key} is {value!r:.60}, not {kind.__name__}")
    return value
