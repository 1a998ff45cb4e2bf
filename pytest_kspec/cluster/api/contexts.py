"""A context of the kubeconfig → the server to talk to and who to be there, checked as client-go does.

Only the context that is used is looked at. A field that is not known, or that cannot be honoured, is an error of
this cluster: ignored, a scan would speak to another server than kubectl, or as somebody else.
"""

from __future__ import annotations

import base64
import binascii
import difflib
import os
import re
from pathlib import Path
from typing import Any, Literal, NamedTuple, TypeVar
from urllib.parse import urlsplit

import msgspec

from pytest_kspec import typed
from pytest_kspec.cluster.api.kubeconfig import Entry, KubeConfig
from pytest_kspec.errors import SourceUnavailable
from pytest_kspec.files import open_named

MAX_FILE_BYTES = 4 << 20
"""Of each file that an entry names: certificates, keys, tokens."""

EXEC_VERSIONS = ("client.authentication.k8s.io/v1", "client.authentication.k8s.io/v1beta1")
EXEC_EXTENSION = "client.authentication.k8s.io/exec"
IN_CLUSTER_FOLDER = "/var/run/secrets/kubernetes.io/serviceaccount"

_Text = str | None
_Flag = bool | None
_KINDS = {
    "str": "text",
    "int": "a number",
    "float": "a number",
    "bool": "true or false",
    "array": "a list",
    "object": "a mapping",
    "null": "null",
}
_FIELD = re.compile(r"`([^`]*)`")


class _Strict(msgspec.Struct, forbid_unknown_fields=True, rename="kebab"):
    """null is the same as nothing, as in Go. Shown without its content, which may be credentials."""

    def __repr__(self) -> str:
        return f"<{type(self).__name__}>"


class NamedExtension(_Strict):
    """Data of other tools."""

    name: _Text = None
    extension: Any = None


class ExecVariable(_Strict):
    """An environment variable of an exec plugin."""

    name: _Text = None
    value: _Text = None


class Exec(_Strict, rename="camel"):
    """A program that prints credentials. command: absolute where it is a path."""

    command: _Text = None
    args: list[str] | None = None
    env: list[ExecVariable] | None = None
    api_version: _Text = None
    install_hint: _Text = None
    provide_cluster_info: _Flag = None
    interactive_mode: Literal["", "Never", "IfAvailable", "Always"] | None = None


class AuthProvider(_Strict):
    """What exec plugins have replaced."""

    name: _Text = None
    config: dict[str, str] | None = None


class Cluster(_Strict):
    """An entry of `clusters`; paths are absolute once `find_context` has returned it."""

    server: _Text = None
    tls_server_name: _Text = None
    insecure_skip_tls_verify: _Flag = None
    certificate_authority: _Text = None
    certificate_authority_data: _Text = None
    proxy_url: _Text = None
    disable_compression: _Flag = None
    extensions: list[NamedExtension] | None = None


class User(_Strict):
    """An entry of `users`."""

    client_certificate: _Text = None
    client_certificate_data: _Text = None
    client_key: _Text = None
    client_key_data: _Text = None
    token: _Text = None
    token_file: _Text = msgspec.field(default=None, name="tokenFile")
    impersonate: _Text = msgspec.field(default=None, name="as")
    impersonate_uid: _Text = msgspec.field(default=None, name="as-uid")
    impersonate_groups: list[str] | None = msgspec.field(default=None, name="as-groups")
    impersonate_extra: dict[str, list[str] | None] | None = msgspec.field(default=None, name="as-user-extra")
    username: _Text = None
    password: _Text = None
    auth_provider: AuthProvider | None = None
    exec: Exec | None = None
    extensions: list[NamedExtension] | None = None


class _Names(_Strict):
    cluster: _Text = None
    user: _Text = None
    namespace: _Text = None
    extensions: list[NamedExtension] | None = None


class Context(NamedTuple):
    """Where to, and as whom."""

    name: str
    cluster: Cluster
    user: User

    def wrong(self, what: str, fix: str = "") -> SourceUnavailable:
        """An error of this cluster."""
        return SourceUnavailable(what, where=self.name, fix=fix)

    def material(self, field: str, data: str | None, path: str | None) -> bytes:
        """Certificates or a key, from the entry or from the file that it names; b"" where there are none.

        Raises SourceUnavailable; what it holds is never shown.
        """
        if data:
            try:
                return base64.b64decode(data.replace("\n", "").replace("\r", ""), validate=True)
            except (binascii.Error, ValueError):
                raise self.wrong(f"`{field}-data` is not base64.") from None
        return self.file(field, path) if path else b""

    def file(self, field: str, path: str) -> bytes:
        """Content of a file that the entry names. Raises SourceUnavailable."""
        try:
            with open_named(path) as file:
                content = file.read(MAX_FILE_BYTES + 1)
        except (OSError, ValueError) as error:
            reason = getattr(error, "strerror", None) or "this is not a path"
            shown = "".join(
                letter if letter.isprintable() else "\N{REPLACEMENT CHARACTER}" for letter in path
            )
            raise self.wrong(f"the file of `{field}` could not be read: {shown}: {reason}.") from error
        if len(content) > MAX_FILE_BYTES:
            raise self.wrong(f"the file of `{field}` is larger than {MAX_FILE_BYTES >> 20} MiB.")
        return content


def find_context(known: KubeConfig, name: str) -> Context:
    """Raises SourceUnavailable for what kubectl refuses, and for what this client cannot honour."""
    names = _entry(known.contexts.get(name), _Names, name, "context", name)
    for kind, wanted in (("cluster", names.cluster), ("user", names.user)):
        if not wanted:
            raise SourceUnavailable(f"the context does not name a {kind}.", where=name)
    at, who = known.clusters.get(str(names.cluster)), known.users.get(str(names.user))
    cluster = _entry(at, Cluster, name, "cluster", str(names.cluster))
    user = _entry(who, User, name, "user", str(names.user))
    assert at is not None
    assert who is not None
    return checked_context(Context(name, _absolute_cluster(cluster, at.path), _absolute_user(user, who.path)))


def checked_context(context: Context) -> Context:
    """The same, if kubectl would use it. Raises SourceUnavailable."""
    _check_cluster(context)
    _check_user(context)
    return context


def in_cluster(name: str) -> Context:
    """The cluster that this process runs in, as the service account of its pod. Raises SourceUnavailable."""
    host, port = (os.environ.get(f"KUBERNETES_SERVICE_{part}") for part in ("HOST", "PORT"))
    if not host or not port:
        raise SourceUnavailable(
            "KUBERNETES_SERVICE_HOST and KUBERNETES_SERVICE_PORT are not set.",
            where=name,
            fix="Is this process in a pod? Otherwise name a context of the kubeconfig.",
        )
    host = f"[{host}]" if ":" in host else host
    folder = Path(IN_CLUSTER_FOLDER)
    cluster = Cluster(server=f"https://{host}:{port}", certificate_authority=str(folder / "ca.crt"))
    return Context(name, cluster, User(token_file=str(folder / "token")))


_T = TypeVar("_T", bound=_Strict)


def _entry(entry: Entry | None, shape: type[_T], context: str, kind: str, name: str) -> _T:
    if entry is None:
        raise SourceUnavailable(f"the {kind} {name!r} is not in the kubeconfig.", where=context)
    if entry.twice:
        raise SourceUnavailable(
            f"the {kind} {name!r} is in {entry.path} twice.", where=context, fix="Delete or rename one."
        )
    try:
        msgspec.json.encode(entry.data)  # fails for text that is not Unicode
        return typed.convert({} if entry.data is None else entry.data, shape)
    except msgspec.ValidationError as error:
        message = str(error)
    except (TypeError, ValueError, RecursionError):  # keys that are not text
        message = ""
    raise SourceUnavailable(
        f"the {kind} {name!r} is malformed{_why(message)}.", where=context, fix=_advice(message, shape)
    )


def _why(message: str) -> str:
    """Names fields and kinds of values, and shows no value."""
    text, _, place = message.partition(" - at ")
    place = place.strip("`").removeprefix("$").removeprefix(".") or "it"
    if "unknown field" in text:
        return f": unknown field `{_FIELD.findall(text)[0]}`"
    kinds = [_KINDS.get(kind.removesuffix(" | null"), "something else") for kind in _FIELD.findall(text)]
    if text.startswith("Expected") and len(kinds) == 2:
        return f": {place} is {kinds[1]}, not {kinds[0]}"
    return f": {place} has an unknown value" if text.startswith("Invalid") else ""


def _advice(message: str, shape: type[_Strict]) -> str:
    if "unknown field" in message:
        field = _FIELD.findall(message)[0]
        fields = [known.encode_name for kind in (shape, Exec) for known in msgspec.structs.fields(kind)]
        near = difflib.get_close_matches(field.lower(), fields, n=1)
        return f"Did you mean `{near[0]}`?" if near else "kubectl ignores it; delete it."
    scalar = message.partition(" - at ")[0].endswith(("`int`", "`float`", "`bool`"))
    return "Quote it." if scalar and message.startswith("Expected `str") else ""


def _absolute(path: str | None, origin: str) -> str | None:
    return os.path.join(os.path.dirname(os.path.abspath(origin)), path) if path else path


def _absolute_cluster(cluster: Cluster, origin: str) -> Cluster:
    authority = _absolute(cluster.certificate_authority, origin)
    return msgspec.structs.replace(cluster, certificate_authority=authority)


def _absolute_user(user: User, origin: str) -> User:
    plugin = user.exec
    if plugin is not None and os.sep in (plugin.command or ""):
        plugin = msgspec.structs.replace(plugin, command=_absolute(plugin.command, origin))
    return msgspec.structs.replace(
        user,
        client_certificate=_absolute(user.client_certificate, origin),
        client_key=_absolute(user.client_key, origin),
        token_file=_absolute(user.token_file, origin),
        exec=plugin,
    )


def _check_cluster(context: Context) -> None:
    cluster = context.cluster
    if not cluster.server:
        raise context.wrong("the cluster has no `server`.")
    if has_credentials(cluster.server or ""):  # it is shown, and written into objects
        raise context.wrong(
            "the cluster's `server` contains a user name or a password.",
            "Write them as `username` and `password`.",
        )
    both = cluster.certificate_authority and cluster.certificate_authority_data
    if both:
        raise context.wrong("`certificate-authority` and `certificate-authority-data` cannot be combined.")
    authority = cluster.certificate_authority or cluster.certificate_authority_data
    if cluster.insecure_skip_tls_verify and authority:
        raise context.wrong("`insecure-skip-tls-verify` and a certificate authority cannot be combined.")


def has_credentials(url: str) -> bool:
    """Whether a user name or a password is in it. What is not a URL may have them, too."""
    try:
        parts = urlsplit(url if "://" in url else f"http://{url}")
    except ValueError:
        return "@" in url
    return bool(parts.username or parts.password)


def _check_user(context: Context) -> None:
    user = context.user
    basic = bool(user.username or user.password)
    if basic and (user.token or user.token_file):
        raise context.wrong("a token and `username` or `password` cannot be combined.")
    if user.client_certificate or user.client_certificate_data:
        for path, data, field in (
            (user.client_certificate, user.client_certificate_data, "client-certificate"),
            (user.client_key, user.client_key_data, "client-key"),
        ):
            if path and data:
                raise context.wrong(f"`{field}` and `{field}-data` cannot be combined.")
        if not user.client_key and not user.client_key_data:
            raise context.wrong("the client certificate requires `client-key` or `client-key-data`.")
    if (user.impersonate_uid or user.impersonate_groups or user.impersonate_extra) and not user.impersonate:
        raise context.wrong("`as-uid`, `as-groups` and `as-user-extra` require `as`.")
    if user.exec is not None:
        _check_exec(context, user.exec)
    known = (user.token, user.token_file, user.username, user.exec, user.auth_provider)
    certificate = user.client_certificate or user.client_certificate_data
    if not certificate and not any(known) and (context.cluster.server or "").lower().startswith("https://"):
        raise context.wrong(
            "the user of the context has no credentials.", "kubectl would prompt for a user name."
        )


def _check_exec(context: Context, plugin: Exec) -> None:
    if context.user.auth_provider is not None:
        raise context.wrong("`exec` and `auth-provider` cannot be combined.")
    if not plugin.command:
        raise context.wrong("the exec plugin has no `command`.")
    if plugin.api_version not in EXEC_VERSIONS:
        raise context.wrong(
            f"the exec plugin's `apiVersion` is not one of {', '.join(EXEC_VERSIONS)}.",
            "Create the kubeconfig again with a current version of the plugin.",
        )
    if any(not variable.name for variable in plugin.env or ()):
        raise context.wrong("an entry of the exec plugin's `env` has no `name`.")
    if not plugin.interactive_mode and plugin.api_version == EXEC_VERSIONS[0]:
        raise context.wrong("the exec plugin has no `interactiveMode`.")
