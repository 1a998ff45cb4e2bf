"""rbac.forbiddenRules against requests that a subject really makes, where the API server asks for more, or for
something else, than what was requested: bind, escalate, impersonate, approve, sign, attest, use, subresources.

SubjectAccessReview answers any question, also those that no request ever asks: `clusterroles` in a namespace is
one for `bind` and none for `get`. So each case here is a grant, by a ClusterRoleBinding and by a RoleBinding,
and a request that only the verb in question lets through.
"""

from __future__ import annotations

import base64
from collections.abc import Callable, Iterator
from typing import Any, NamedTuple

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

from tests.checks.objects import binding, role, rule
from tests.controlplane.server import APPLY_PATCH, ControlPlane, Etcd
from tests.live.rbac import API, grants_of, holds, listed, made, settled

RBAC_GROUP = "rbac.authorization.k8s.io"
CERTIFICATES = "certificates.k8s.io"
AUTHENTICATION = "authentication.k8s.io"
RED = "/api/v1/namespaces/red"
SIGNER = "example.com/special"
DRY = "dryRun=All"

Act = Callable[[ControlPlane, str], int]


def sends(method: str, path: str, body: dict[str, Any] | None = None, **options: Any) -> Act:
    """The status of this request, made by the subject."""
    return lambda plane, user: plane.request(method, path, body, user=user, **options).status


def impersonating(
    *, to: str = "GET", at: str = "/apis/authentication.k8s.io/v1/selfsubjectreviews", **headers: Any
) -> Act:
    body = {"apiVersion": "authentication.k8s.io/v1", "kind": "SelfSubjectReview"} if "self" in at else None
    sent = {name.replace("_", "-"): value for name, value in headers.items()}
    return lambda plane, user: plane.request("POST" if body else to, at, body, user=user, headers=sent).status


def binds(kind: str, name: str, ns: str) -> Act:
    """Create a binding to a role that grants more than the subject has."""

    def act(plane: ControlPlane, user: str) -> int:
        made_by = binding(f"by-{user}", f"{kind}/{name}", "User/someone", ns=ns)
        path = f"{API}/namespaces/{ns}/rolebindings" if ns else f"{API}/clusterrolebindings"
        return plane.request("POST", f"{path}?{DRY}", made_by, user=user).status

    return act


def escalates(ns: str) -> Act:
    def act(plane: ControlPlane, user: str) -> int:
        more = role(f"by-{user}", rule("get", "example.com", "nobody-has-this"), ns=ns)
        path = f"{API}/namespaces/{ns}/roles" if ns else f"{API}/clusterroles"
        return plane.request("POST", f"{path}?{DRY}", more, user=user).status

    return act


def changes_request(subresource: str, change: Any) -> Act:
    """PUT a subresource of the certificate signing request that is there."""

    def act(plane: ControlPlane, user: str) -> int:
        path = f"/apis/{CERTIFICATES}/v1/certificatesigningrequests/special"
        body = plane.request("GET", path).body
        change(body)
        return plane.request("PUT", f"{path}/{subresource}?{DRY}", body, user=user).status

    return act


def approve(body: dict[str, Any]) -> None:
    body["status"]["conditions"] = [{"type": "Approved", "status": "True", "reason": "Test", "message": ""}]


def sign(body: dict[str, Any]) -> None:
    body["status"]["conditions"] = [{"type": "Failed", "status": "True", "reason": "Test", "message": ""}]


def attests(plane: ControlPlane, user: str) -> int:
    certificate = (plane.folder / "ca.crt").read_text() if (plane.folder / "ca.crt").exists() else ""
    certificate = certificate or plane.ca_path.read_text()
    body = {
        "apiVersion": f"{CERTIFICATES}/v1",
        "kind": "ClusterTrustBundle",
        "metadata": {"name": "example.com:special:x"},
        "spec": {"signerName": SIGNER, "trustBundle": certificate},
    }
    return plane.request("POST", f"/apis/{CERTIFICATES}/v1/clustertrustbundles?{DRY}", body, user=user).status


CONFIG_MAP = {"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "mine"}}
TOKEN = {"apiVersion": "authentication.k8s.io/v1", "kind": "TokenRequest", "spec": {}}
OWNED = {
    "apiVersion": "v1",
    "kind": "ConfigMap",
    "metadata": {
        "name": "owned",
        "ownerReferences": [
            {"apiVersion": "apps/v1", "kind": "Deployment", "name": "web", "uid": "1", "blockOwnerDeletion": True}
        ],
    },
}  # fmt: skip
WEB = {
    "apiVersion": "apps/v1",
    "kind": "Deployment",
    "metadata": {"name": "web"},
    "spec": {
        "selector": {"matchLabels": {"a": "b"}},
        "template": {
            "metadata": {"labels": {"a": "b"}},
            "spec": {"containers": [{"name": "c", "image": "i"}]},
        },
    },
}
POD: dict[str, Any] = {
    "apiVersion": "v1",
    "kind": "Pod",
    "metadata": {"name": "p"},
    "spec": {"containers": [{"name": "c", "image": "i"}]},
}


class Case(NamedTuple):
    """A grant, what is forbidden, and the request that shows whether it holds.

    allowed: whether it passes with a ClusterRoleBinding, and with a RoleBinding. base: what the request needs
    beside it, given to the subject in the whole cluster.
    """

    name: str
    rules: list[Any]
    forbidden: tuple[str, ...]
    act: Act
    allowed: tuple[bool, bool]
    base: tuple[Any, ...] = ()


BOTH, WIDE, NEVER = (True, True), (True, False), (False, False)
MAKES_BINDINGS = (rule("create", RBAC_GROUP, "rolebindings,clusterrolebindings"),)
MAKES_ROLES = (rule("create", RBAC_GROUP, "roles,clusterroles"),)
bind = ("bind", RBAC_GROUP, "clusterroles")
CASES = [
    Case("bind-in-namespace", [rule(*bind)], bind, binds("ClusterRole", "cluster-admin", "red"), BOTH, MAKES_BINDINGS),
    Case("bind-named", [rule(*bind, names="cluster-admin")], bind, binds("ClusterRole", "cluster-admin", "red"), BOTH,
         MAKES_BINDINGS),
    Case("bind-role", [rule("bind", RBAC_GROUP, "roles")], ("bind", RBAC_GROUP, "roles"), binds("Role", "much", "red"),
         BOTH, MAKES_BINDINGS),
    Case("bind-other-verb", [rule("get,escalate", RBAC_GROUP, "clusterroles")], bind,
         binds("ClusterRole", "cluster-admin", "red"), NEVER, MAKES_BINDINGS),
    Case("escalate-role", [rule("escalate", RBAC_GROUP, "roles")], ("escalate", RBAC_GROUP, "roles"),
         escalates("red"), BOTH, MAKES_ROLES),
    Case("escalate-clusterrole", [rule("escalate", RBAC_GROUP, "clusterroles")],
         ("escalate", RBAC_GROUP, "clusterroles"), escalates(""), WIDE, MAKES_ROLES),
    Case("get-clusterrole", [rule("get", RBAC_GROUP, "*")], ("get", RBAC_GROUP, "clusterroles"),
         sends("GET", f"{API}/clusterroles/view"), WIDE),
    Case("impersonate-user", [rule("impersonate", "", "users")], ("impersonate", "", "users"),
         impersonating(Impersonate_User="jane"), WIDE),
    Case("impersonate-account", [rule("impersonate", "", "serviceaccounts")], ("impersonate", "", "serviceaccounts"),
         impersonating(Impersonate_User="system:serviceaccount:red:bot"), BOTH),
    Case("impersonate-group", [rule("impersonate", "", "groups")], ("impersonate", "", "groups"),
         impersonating(Impersonate_User="jane", Impersonate_Group="devs"), WIDE,
         (rule("impersonate", "", "users", names="jane"),)),
    Case("impersonate-uid", [rule("impersonate", AUTHENTICATION, "uids")], ("impersonate", AUTHENTICATION, "uids"),
         impersonating(Impersonate_User="jane", Impersonate_Uid="1"), WIDE,
         (rule("impersonate", "", "users", names="jane"),)),
    Case("impersonate-extra", [rule("impersonate", AUTHENTICATION, "userextras/scopes")],
         ("impersonate", AUTHENTICATION, "userextras/*"),
         impersonating(Impersonate_User="jane", Impersonate_Extra_scopes="a"), WIDE,
         (rule("impersonate", "", "users", names="jane"),)),
    Case("impersonate-constrained-user", [rule("impersonate:user-info", AUTHENTICATION, "users")],
         ("impersonate", AUTHENTICATION, "users"),
         impersonating(at=f"{RED}/configmaps", Impersonate_User="lister"), WIDE,
         (rule("impersonate-on:user-info:list", "", "configmaps"),)),
    Case("impersonate-constrained-account", [rule("impersonate:serviceaccount", AUTHENTICATION, "serviceaccounts")],
         ("impersonate", AUTHENTICATION, "serviceaccounts"),
         impersonating(at=f"{RED}/configmaps", Impersonate_User="system:serviceaccount:red:lister"), BOTH,
         (rule("impersonate-on:serviceaccount:list", "", "configmaps"),)),
    Case("impersonate-on", [rule("impersonate-on:user-info:list", "", "configmaps")],
         ("impersonate-on:user-info:list", "", "configmaps"),
         impersonating(at=f"{RED}/configmaps", Impersonate_User="lister"), BOTH,
         (rule("impersonate:user-info", AUTHENTICATION, "users"),)),
    Case("impersonate-on-nodes", [rule("impersonate-on:user-info:list", "", "nodes")],
         ("impersonate-on:user-info:list", "", "nodes"),
         impersonating(at="/api/v1/nodes", Impersonate_User="lister"), WIDE,
         (rule("impersonate:user-info", AUTHENTICATION, "users"),)),
    Case("approve", [rule("approve", CERTIFICATES, "signers", names="example.com/*")],
         ("approve", CERTIFICATES, "signers"), changes_request("approval", approve), WIDE,
         (rule("update", CERTIFICATES, "certificatesigningrequests/approval"),)),
    Case("approve-other-domain", [rule("attest", CERTIFICATES, "signers", names="example.com/*")],
         ("approve", CERTIFICATES, "signers"), changes_request("approval", approve), NEVER,
         (rule("update", CERTIFICATES, "certificatesigningrequests/approval"),)),
    Case("approval", [rule("update", CERTIFICATES, "certificatesigningrequests/approval")],
         ("update", CERTIFICATES, "certificatesigningrequests/approval"), changes_request("approval", approve), WIDE,
         (rule("approve", CERTIFICATES, "signers"),)),
    Case("sign", [rule("sign", CERTIFICATES, "signers", names=SIGNER)], ("sign", CERTIFICATES, "signers"),
         changes_request("status", sign), WIDE,
         (rule("update", CERTIFICATES, "certificatesigningrequests/status"),)),
    Case("attest", [rule("attest", CERTIFICATES, "signers")], ("attest", CERTIFICATES, "signers"), attests, WIDE,
         (rule("create", CERTIFICATES, "clustertrustbundles"),)),
    Case("token", [rule("create", "", "serviceaccounts/token")], ("create", "", "serviceaccounts/token"),
         sends("POST", f"{RED}/serviceaccounts/bot/token?{DRY}", TOKEN), BOTH),
    Case("token-not-by-the-account", [rule("create", "", "serviceaccounts")], ("create", "", "serviceaccounts/token"),
         sends("POST", f"{RED}/serviceaccounts/bot/token?{DRY}", TOKEN), NEVER),
    Case("token-named", [rule("create", "", "serviceaccounts/token", names="bot")],
         ("create", "", "serviceaccounts/token"), sends("POST", f"{RED}/serviceaccounts/bot/token?{DRY}", TOKEN), BOTH),
    *(
        Case(f"{way}-{sub}", [rule(verbs, "", f"pods/{sub}")], ("create", "", f"pods/{sub}"),
             sends(method, f"{RED}/pods/p/{sub}?command=true&stdout=true&ports=80"), allowed)
        for sub in ("exec", "attach", "portforward")
        for way, method, verbs, allowed in (
            ("post", "POST", "create", BOTH),
            ("websocket", "GET", "get,create", BOTH),
            ("websocket-by-get-alone", "GET", "get", NEVER),  # passed before 1.35
        )
    ),
    Case("pod-proxy", [rule("get", "", "*/proxy")], ("get", "", "pods/proxy"), sends("GET", f"{RED}/pods/p/proxy/x"),
         BOTH),
    Case("node-proxy", [rule("get", "", "nodes/proxy")], ("get", "", "nodes/proxy"),
         sends("GET", "/api/v1/nodes/n/proxy/x"), WIDE),
    Case("no-subresource-wildcard", [rule("get", "", "pods/*")], ("get", "", "pods/log"),
         sends("GET", f"{RED}/pods/p/log"), NEVER),
    Case("scale", [rule("patch", "apps", "*/scale")], ("patch", "apps", "deployments/scale"),
         sends("PATCH", f"/apis/apps/v1/namespaces/red/deployments/web/scale?{DRY}", {"spec": {"replicas": 2}}), BOTH),
    Case("deletecollection", [rule("deletecollection", "", "secrets")], ("deletecollection", "", "secrets"),
         sends("DELETE", f"{RED}/secrets?{DRY}"), BOTH),
    Case("deletecollection-by-delete", [rule("delete", "", "secrets")], ("deletecollection", "", "secrets"),
         sends("DELETE", f"{RED}/secrets?{DRY}"), NEVER),
    Case("deletecollection-named", [rule("deletecollection", "", "secrets", names="a")],
         ("deletecollection", "", "secrets"), sends("DELETE", f"{RED}/secrets?{DRY}&fieldSelector=metadata.name%3Da"),
         NEVER),
    Case("create-named", [rule("create", "", "configmaps", names="mine")], ("create", "", "configmaps"),
         sends("PATCH", f"{RED}/configmaps/mine?fieldManager=t&{DRY}", CONFIG_MAP, content_type=APPLY_PATCH), BOTH,
         (rule("patch", "", "configmaps"),)),
    Case("list-named", [rule("list", "", "secrets", names="a")], ("list", "", "secrets"),
         sends("GET", f"{RED}/secrets?fieldSelector=metadata.name%3Da"), BOTH),
    Case("finalizers", [rule("update", "apps", "deployments/finalizers")], ("update", "apps", "deployments/finalizers"),
         sends("POST", f"{RED}/configmaps?{DRY}", OWNED), BOTH, (rule("create", "", "configmaps"),)),
    Case("namespace-get", [rule("get", "", "namespaces")], ("get", "", "namespaces"), sends("GET", RED), BOTH),
    Case("namespace-delete", [rule("delete", "", "namespaces")], ("delete", "", "namespaces"),
         sends("DELETE", f"{RED}?{DRY}"), BOTH),
    Case("namespace-status", [rule("get", "", "namespaces/status")], ("get", "", "namespaces/status"),
         sends("GET", f"{RED}/status"), BOTH),
    Case("namespace-list", [rule("list", "", "namespaces")], ("list", "", "namespaces"),
         sends("GET", "/api/v1/namespaces?fieldSelector=metadata.name%3Dred"), WIDE),
    Case("namespace-watch", [rule("watch", "", "namespaces")], ("watch", "", "namespaces"),
         sends("GET", "/api/v1/watch/namespaces/red?timeoutSeconds=1"), BOTH),
    Case("namespace-create", [rule("create", "", "namespaces")], ("create", "", "namespaces"),
         sends("POST", f"/api/v1/namespaces?{DRY}",
               {"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": "blue"}}), WIDE),
    Case("path", [rule("get", urls="/metrics*")], ("get", "", "/metrics"), sends("GET", "/metrics/slis"), WIDE),
]  # fmt: skip


@pytest.fixture(scope="module")
def special(etcd: Etcd) -> Iterator[tuple[Any, Any]]:
    """A server on which each case has a subject with a ClusterRoleBinding and one with a RoleBinding."""
    users = [f"{scope}-{case.name}" for case in CASES for scope in ("wide", "red")]
    with ControlPlane(
        etcd,
        name="rbac-special",
        users=dict.fromkeys([*users, "everything"], ()),
        audited=False,
        flags=["--runtime-config=api/all=true"],
    ) as plane:
        made(
            plane,
            {"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": "red"}},
            "/api/v1/namespaces",
        )
        made(
            plane,
            {"apiVersion": "v1", "kind": "ServiceAccount", "metadata": {"name": "bot"}},
            f"{RED}/serviceaccounts",
        )
        made(plane, {**POD, "spec": {**POD["spec"], "nodeName": "n"}}, f"{RED}/pods")
        made(plane, {"apiVersion": "v1", "kind": "Node", "metadata": {"name": "n"}}, "/api/v1/nodes")
        made(plane, WEB, "/apis/apps/v1/namespaces/red/deployments")
        made(plane, certificate_request(), f"/apis/{CERTIFICATES}/v1/certificatesigningrequests")
        made(plane, role("much", rule("*", "*", "*"), ns="red"))
        made(plane, role("lists", rule("list", "", "configmaps,nodes")))
        made(plane, binding("lists", "ClusterRole/lists", "User/lister", "ServiceAccount/red/lister"))
        for case in CASES:
            made(plane, role(case.name, *case.rules))
            if case.base:
                made(plane, role(f"base-{case.name}", *case.base))
                made(plane, binding(f"base-{case.name}", f"ClusterRole/base-{case.name}",
                                    f"User/wide-{case.name}", f"User/red-{case.name}"))  # fmt: skip
            made(plane, binding(case.name, f"ClusterRole/{case.name}", f"User/wide-{case.name}"))
            made(plane, binding(case.name, f"ClusterRole/{case.name}", f"User/red-{case.name}", ns="red"))
        made(plane, binding("everything", "ClusterRole/cluster-admin", "User/everything", ns="red"))
        settled(plane, "special")
        yield plane, grants_of(listed(plane))


def certificate_request() -> dict[str, Any]:
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "special")])
    built = x509.CertificateSigningRequestBuilder().subject_name(name).sign(key, hashes.SHA256())
    encoded = base64.b64encode(built.public_bytes(serialization.Encoding.PEM)).decode()
    return {
        "apiVersion": f"{CERTIFICATES}/v1",
        "kind": "CertificateSigningRequest",
        "metadata": {"name": "special"},
        "spec": {"request": encoded, "signerName": SIGNER, "usages": ["client auth"]},
    }


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.name)
@pytest.mark.parametrize("scope", ["wide", "red"])
def test_what_is_reported_is_what_the_subject_can_do(special: tuple[Any, Any], case: Any, scope: str) -> None:
    plane, grants = special
    user = f"{scope}-{case.name}"
    status = case.act(plane, user)
    assert (status != 403, holds(grants, user, case.forbidden, case.name)) == (
        (case.allowed[scope == "red"],) * 2
    ), status


@pytest.mark.parametrize(
    "case", [c for c in CASES if not c.name.startswith("impersonate-on")], ids=lambda c: c.name
)
def test_everything_in_one_namespace(special: tuple[Any, Any], case: Any) -> None:
    """A RoleBinding to cluster-admin: of the special verbs those that are asked for in a namespace."""
    plane, grants = special
    status = case.act(plane, "everything")
    assert (status != 403) == holds(grants, "everything", case.forbidden, "everything"), status
