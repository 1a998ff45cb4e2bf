"""Short spellings of raw objects for the network, RBAC and admission cases, and of what a result says."""

from typing import Any

from pytest_kspec.results.result import CheckResult

RBAC = "rbac.authorization.k8s.io/v1"
ADMISSION = "admissionregistration.k8s.io/v1"


def obj(api_version: str, kind: str, name: str, namespace: str = "", **fields: Any) -> dict[str, Any]:
    metadata: dict[str, Any] = {"name": name}
    if namespace:
        metadata["namespace"] = namespace
    if labels := fields.pop("labels", None):
        metadata["labels"] = labels
    return {"apiVersion": api_version, "kind": kind, "metadata": metadata, **fields}


def namespace(name: str) -> dict[str, Any]:
    return obj("v1", "Namespace", name)


def policy(name: str, ns: str, **spec: Any) -> dict[str, Any]:
    return obj("networking.k8s.io/v1", "NetworkPolicy", name, ns, spec={"podSelector": {}, **spec})


def rule(
    verbs: str, groups: str = "", resources: str = "", names: str = "", urls: str = ""
) -> dict[str, Any]:
    """Comma-separated lists; group "" is the core group."""
    raw: dict[str, Any] = {"verbs": verbs.split(",")}
    if urls:
        return raw | {"nonResourceURLs": urls.split(",")}
    raw |= {"apiGroups": groups.split(","), "resources": resources.split(",")}
    return raw | {"resourceNames": names.split(",")} if names else raw


def role(name: str, *rules: dict[str, Any], ns: str = "", **fields: Any) -> dict[str, Any]:
    return obj(RBAC, "Role" if ns else "ClusterRole", name, ns, rules=list(rules), **fields)


def binding(name: str, role: str, *subjects: str, ns: str = "", **fields: Any) -> dict[str, Any]:
    """role "Role/x" or "ClusterRole/x"; subjects "User/jane", "Group/devs", "ServiceAccount/ns/name"."""
    role_kind, role_name = role.split("/", 1)
    listed = []
    for subject in subjects:
        kind, subject_name = subject.split("/", 1)
        entry = {"kind": kind, "name": subject_name}
        if kind == "ServiceAccount":
            entry["namespace"], entry["name"] = subject_name.split("/")
        listed.append(entry)
    ref = {"apiGroup": "rbac.authorization.k8s.io", "kind": role_kind, "name": role_name}
    kind = "RoleBinding" if ns else "ClusterRoleBinding"
    return obj(RBAC, kind, name, ns, roleRef=ref, subjects=listed, **fields)


def told(results: list[CheckResult]) -> list[tuple[str, str, Any, str]]:
    """(object, path, actual, message) of every finding of the one result there must be."""
    (result,) = results
    return [(str(f.resource), f.path, f.actual, f.message) for f in result.findings]


def verdict(results: list[CheckResult]) -> str:
    (result,) = results
    return result.verdict.value
