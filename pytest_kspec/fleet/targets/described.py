"""Contexts that are no file: what objects of a hub say of a cluster, and what a kubeconfig in a Secret may hold."""

from __future__ import annotations

from base64 import b64encode

from pytest_kspec.cluster.api.contexts import Cluster, Context, User, checked_context, find_context
from pytest_kspec.cluster.api.kubeconfig import parse_kubeconfig
from pytest_kspec.errors import SourceUnavailable, UsageError
from pytest_kspec.secretstores.sealed import Sealed

_PLACE = {
    "user": ("client_certificate", "client_key", "token_file"),
    "cluster": ("certificate_authority",),
}


def described(name: str, cluster: Cluster, user: User) -> Context:
    """A context of these parts, held to the rules of every context. Raises SourceUnavailable."""
    return checked_context(Context(name, cluster, user))


def certificate_user(certificate: Sealed, key: Sealed) -> User:
    """Who has a client certificate."""
    return User(
        client_certificate_data=b64encode(certificate.reveal()).decode(),
        client_key_data=b64encode(key.reveal()).decode(),
    )


def stored_context(name: str, kubeconfig: Sealed) -> Context:
    """The current context of a kubeconfig that a store holds, or its only one.

    Whoever wrote it is not the user of this machine: it may name no program, no file of this machine and no
    `auth-provider`. Raises SourceUnavailable.
    """
    try:
        known = parse_kubeconfig(kubeconfig.reveal(), kubeconfig.where or name)
    except UsageError as error:
        raise SourceUnavailable(error.what, where=error.where, fix=error.fix) from None
    current = known.current or (next(iter(known.contexts)) if len(known.contexts) == 1 else "")
    if not current:
        raise SourceUnavailable("the kubeconfig has no `current-context`.", where=kubeconfig.where or name)
    found = find_context(known, current)._replace(name=name)
    user, cluster = found.user, found.cluster
    programs = [
        field for field, value in (("exec", user.exec), ("auth-provider", user.auth_provider)) if value
    ]
    files = [field for field in _PLACE["user"] if getattr(user, field)]
    files += [field for field in _PLACE["cluster"] if getattr(cluster, field)]
    if user.username or user.password:
        raise found.wrong(
            "the kubeconfig of a Secret may not have a user name or a password.", "Use a token."
        )
    if programs:
        raise found.wrong(
            f"the kubeconfig of a Secret may not have `{programs[0]}`: it would choose a program of this machine.",
            "Use authMode provider.",
        )
    if files:
        raise found.wrong(
            f"the kubeconfig of a Secret may not name a file: `{files[0].replace('_', '-')}`.",
            "Put the content into it: kubectl config view --flatten --minify --raw.",
        )
    return found
