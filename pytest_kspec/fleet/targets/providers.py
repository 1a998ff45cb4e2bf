"""Credential providers: programs and token files that kspec may use for objects that name them, from its own file.

An object chooses a provider by its name, and gives values for the placeholders of its arguments. Which program runs,
with which arguments, and to which servers what it gives may be sent, only this file says.
"""

from __future__ import annotations

import os
import re
from collections.abc import Mapping
from fnmatch import fnmatchcase
from typing import Any, Literal
from urllib.parse import urlsplit

import msgspec

from pytest_kspec import typed
from pytest_kspec.cluster.api.contexts import Exec, ExecVariable, User
from pytest_kspec.cluster.objects.yamldocs import yaml_documents
from pytest_kspec.errors import AccessDenied, SourceUnavailable, UsageError

VARIABLE = "KSPEC_CREDENTIAL_PROVIDERS"
MAX_BYTES = 1 << 20
_PLACEHOLDER = re.compile(r"\{([A-Za-z]+)\}")
_VALUE = re.compile(r"[A-Za-z0-9][A-Za-z0-9_.:/@+=,-]{0,255}")


class _Strict(msgspec.Struct, forbid_unknown_fields=True, rename="camel"):
    pass


class ExecProvider(_Strict):
    """A program as a kubeconfig's `exec` has it. args: `{name}` stands for a parameter; optional: added if it is given.

    pass_cluster_info: give the program the address and authority of the cluster
    """

    command: str
    args: tuple[str, ...] = ()
    optional: dict[str, tuple[str, ...]] = {}
    env: dict[str, str] = {}
    api_version: str = "client.authentication.k8s.io/v1"
    pass_cluster_info: bool = False


class Provider(_Strict):
    """One of `cloud`, `exec` and `tokenFile`. servers: hosts that get what it gives, `*` for any text."""

    name: str
    servers: tuple[str, ...] = ()
    cloud: Literal["eks", "gke", "aks"] | None = None
    exec: ExecProvider | None = None
    token_file: str | None = None


class _File(_Strict):
    providers: tuple[Provider, ...] = ()


_V1BETA1 = "client.authentication.k8s.io/v1beta1"
CLOUDS: Mapping[str, tuple[tuple[str, ...], ExecProvider]] = {
    "eks": (
        ("*.eks.amazonaws.com", "*.eks.amazonaws.com.cn"),
        ExecProvider(
            "aws",
            ("eks", "get-token", "--output", "json", "--cluster-name", "{clusterName}"),
            {
                "region": ("--region", "{region}"),
                "roleARN": ("--role-arn", "{roleARN}"),
                "profile": ("--profile", "{profile}"),
            },
            api_version=_V1BETA1,
        ),
    ),
    "gke": (
        ("*.gke.goog",),
        # Without the option it runs gcloud, which knows no workload identity before somebody has logged in.
        ExecProvider(
            "gke-gcloud-auth-plugin",
            ("--use_application_default_credentials",),
            api_version=_V1BETA1,
            pass_cluster_info=True,
        ),
    ),
    "aks": (
        ("*.azmk8s.io",),
        ExecProvider(
            "kubelogin",
            (
                "get-token",
                "--login",
                "workloadidentity",
                "--server-id",
                "6dae42f8-4368-4678-94ff-3960e28e3630",
            ),
            {"clientID": ("--client-id", "{clientID}"), "tenantID": ("--tenant-id", "{tenantID}")},
            api_version=_V1BETA1,
        ),
    ),
}
"""The official helper of each cloud, which finds the workload identity of this pod by itself."""


class Providers:
    """All that the file has. where: the file, in errors."""

    def __init__(self, providers: tuple[Provider, ...] = (), where: str = VARIABLE) -> None:
        self._where = where
        self._known = {provider.name: provider for provider in providers}
        if len(self._known) != len(providers):
            raise UsageError("two providers have the same name.", where=where)
        for provider in providers:
            _check(provider, where)

    @property
    def names(self) -> tuple[str, ...]:
        """In the order of the file, which is the order of preference."""
        return tuple(self._known)

    def user(self, name: str, parameters: Mapping[str, str], server: str, *, where: str) -> User:
        """Who to be at this server. where: the target. Raises AccessDenied, SourceUnavailable."""
        provider = self._known.get(name)
        if provider is None:
            raise AccessDenied(
                f"'{name}' is not a credential provider of kspec.",
                where=where,
                fix=f"List it in the file that {VARIABLE} names.",
            )
        servers, program = CLOUDS[provider.cloud] if provider.cloud else ((), provider.exec)
        self._check_server(server, provider.servers or servers, name, where)
        if provider.token_file:
            return User(token_file=provider.token_file)
        assert program is not None
        return User(exec=_filled(program, parameters, name, where))

    def _check_server(self, server: str, allowed: tuple[str, ...], name: str, where: str) -> None:
        try:
            parts = urlsplit(server)
            host, scheme = (parts.hostname or "").lower(), parts.scheme
        except ValueError:
            host, scheme = "", ""
        if scheme != "https" or not any(fnmatchcase(host, pattern.lower()) for pattern in allowed):
            raise AccessDenied(
                f"the credentials of the provider '{name}' may not be sent to this server.",
                where=where,
                fix="It is not among its `servers`.",
            )


def providers_by_environment(environment: Mapping[str, str] = os.environ) -> Providers:
    """Those of the file that KSPEC_CREDENTIAL_PROVIDERS names; none where it is not set. Raises UsageError."""
    path = environment.get(VARIABLE, "")
    return read_providers(path) if path else Providers()


def read_providers(path: str) -> Providers:
    """Raises UsageError for a file that cannot be read, or that says something that is not known."""
    try:
        with open(path, "rb") as file:
            raw = file.read(MAX_BYTES + 1)
    except OSError as error:
        raise UsageError(f"the file could not be read: {error.strerror}.", where=path) from error
    if len(raw) > MAX_BYTES:
        raise UsageError(f"the file is larger than {MAX_BYTES >> 20} MiB.", where=path)
    try:
        documents: list[Any] = [document.data for document in yaml_documents(raw, path)]
    except SourceUnavailable as error:
        raise UsageError(error.what, where=error.where) from error
    try:
        found = typed.convert(documents[0] if len(documents) == 1 else None, _File)
    except (msgspec.ValidationError, TypeError, ValueError, RecursionError) as error:
        raise UsageError(f"this is not a file of credential providers: {error}.", where=path) from None
    return Providers(found.providers, path)


def _check(provider: Provider, where: str) -> None:
    ways = [way for way in (provider.cloud, provider.exec, provider.token_file) if way is not None]
    if len(ways) != 1:
        raise UsageError(
            f"the provider '{provider.name}' must have one of cloud, exec and tokenFile.", where=where
        )
    if not provider.servers and not provider.cloud:
        raise UsageError(
            f"the provider '{provider.name}' has no `servers`.",
            where=where,
            fix="List the hosts of the API servers that may get its credentials.",
        )
    if provider.token_file is not None and not os.path.isabs(provider.token_file):
        raise UsageError(f"the tokenFile of the provider '{provider.name}' must be absolute.", where=where)
    program = provider.exec
    if program is not None and os.sep in program.command and not os.path.isabs(program.command):
        raise UsageError(
            f"the command of the provider '{provider.name}' must be a name or an absolute path.", where=where
        )


def _filled(program: ExecProvider, parameters: Mapping[str, str], name: str, where: str) -> Exec:
    for parameter, value in parameters.items():
        if not _VALUE.fullmatch(value):
            raise SourceUnavailable(
                f"the parameter '{parameter}' of the provider '{name}' contains characters that are not allowed.",
                where=where,
            )
    args = list(program.args)
    for parameter, more in program.optional.items():
        args += more if parameter in parameters else ()
    missing = sorted({found for arg in args for found in _PLACEHOLDER.findall(arg)} - parameters.keys())
    if missing:
        raise SourceUnavailable(f"the provider '{name}' needs the parameter '{missing[0]}'.", where=where)
    return Exec(
        command=program.command,
        args=[_PLACEHOLDER.sub(lambda match: parameters[match[1]], arg) for arg in args],
        env=[ExecVariable(key, value) for key, value in program.env.items()],
        api_version=program.api_version,
        provide_cluster_info=program.pass_cluster_info,
        interactive_mode="Never",
    )
