"""Who looks, and what that one may see: as RBAC of the cluster says, by the viewer's own token or a proxy's word.

A viewer who may `list` ComplianceReports in the namespace of reports sees everything. Another sees each cluster of
whose name `get` is granted there (`resourceNames`), and, of the cluster that is asked, the findings of each namespace
in which `get` of them is granted. Answers of the API server are kept for a minute; those that refuse for ten seconds.
"""

from __future__ import annotations

import hashlib
import ipaddress
import re
import threading
import time
from collections import Counter, OrderedDict
from collections.abc import Callable, Hashable, Iterable, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Any, Generic, NamedTuple, TypeVar

import msgspec

from pytest_kspec import clock as wall
from pytest_kspec.cluster.writing.access import Access
from pytest_kspec.cluster.writing.reviewing import User, may_do, user_of
from pytest_kspec.crds.names import GROUP, NAMESPACE, VERSION
from pytest_kspec.dashboard.source import Answers, Away
from pytest_kspec.errors import KspecError, UsageError
from pytest_kspec.fleet.targets.credentials import token_life
from pytest_kspec.kube.resources import ResourceType
from pytest_kspec.storage import lasting, listing
from pytest_kspec.storage.visible import ALL, Visible

REPORTS = ResourceType(GROUP, VERSION, "ComplianceReport", "compliancereports", True)
AUDIENCE = "kspec-dashboard"
"""A token may be made for the dashboard only; one for the API server is accepted too."""
COOKIES = ("__Host-kspec", "kspec")
"""Of a browser: the first over TLS, the second for loopback."""
LONGEST_TOKEN = 16 << 10
KNOWN_S, REFUSED_S = 60.0, 10.0
REMEMBERED = 1000
ASKING = 8
"""Viewers whose rights are looked up at once, and requests of each look."""
MOST_CLUSTERS, MOST_NAMESPACES = 2000, 500
"""How many are asked about one by one, for a viewer who may not see all."""
_TOKEN = re.compile(r"[A-Za-z0-9._~+/=-]+")
_SYSTEM = "system:"
T = TypeVar("T")
Headers = Iterable[tuple[bytes, bytes]]


class Refused(Exception):
    """Nothing may be seen. status: 400, 401, 403 or 503; the text says why."""

    def __init__(self, status: int, text: str) -> None:
        super().__init__(text)
        self.status = status


class Viewer(NamedTuple):
    """name: for people, "" where nobody had to say who it is."""

    name: str
    visible: Visible


class Proxy(NamedTuple):
    """A proxy that says who its users are, once it has authenticated them (OIDC).

    ranges: addresses of its connections; user, groups: names of headers, in lower case; groups are one list with commas
    prefix: put before both, as the API server's own OIDC options do
    """

    ranges: tuple[ipaddress.IPv4Network | ipaddress.IPv6Network, ...]
    user: str = "x-forwarded-user"
    groups: str = "x-forwarded-groups"
    prefix: str = ""

    @classmethod
    def of(cls, ranges: Sequence[str], user: str, groups: str, prefix: str, option: str) -> Proxy | None:
        """None without ranges. Raises UsageError."""
        try:
            found = tuple(ipaddress.ip_network(text) for text in ranges)
        except ValueError as error:
            raise UsageError(f"{error}.", where=option, fix="Write 10.0.0.7/32.") from error
        return cls(found, user.lower(), groups.lower(), prefix) if found else None

    def trusts(self, peer: str) -> bool:
        """Whether this connection is one of the proxy's."""
        try:
            address = ipaddress.ip_address(peer)
        except ValueError:
            return False
        address = getattr(address, "ipv4_mapped", None) or address
        return any(address in one for one in self.ranges)

    def names(self, headers: Headers) -> User | None:
        """Whom it names; None: nobody. Raises Refused where that is ambiguous or an identity of the system."""
        given = {self.user: "", self.groups: ""}
        for name, value in headers:
            key = name.decode("latin-1").lower()
            if key not in given:
                continue
            if given[key]:
                raise Refused(400, f"the header {key} was sent twice.")
            given[key] = value.decode("utf-8", "replace").strip()
        user = given[self.user]
        if not user:
            return None
        groups = [group.strip() for group in given[self.groups].split(",") if group.strip()]
        named = [f"{self.prefix}{name}" for name in (user, *groups)]
        if any(name.startswith(_SYSTEM) or not name.isprintable() for name in named):
            raise Refused(403, f"the proxy names an identity that begins with {_SYSTEM}")
        return User(named[0], "", [*named[1:], "system:authenticated"])


class _Remembered(Generic[T]):
    """Values by key, each for some seconds; of the most recent REMEMBERED ones. Thread-safe."""

    def __init__(self, clock: Callable[[], float]) -> None:
        self._clock = clock
        self._values: OrderedDict[Hashable, tuple[float, T]] = OrderedDict()
        self._lock = threading.Lock()

    def get(self, key: Hashable) -> T | None:
        with self._lock:
            found = self._values.get(key)
        return found[1] if found is not None and self._clock() < found[0] else None

    def put(self, key: Hashable, value: T, seconds: float) -> None:
        with self._lock:
            self._values[key] = (self._clock() + seconds, value)
            self._values.move_to_end(key)
            if len(self._values) > REMEMBERED:
                self._values.popitem(last=False)


class _Nobody:
    """A token that no user has."""


_NOBODY = _Nobody()


class Viewers:
    """access: the cluster that is asked, and namespace: of its reports; answers: where clusters are known from."""

    def __init__(
        self,
        access: Access,
        answers: Answers,
        *,
        proxy: Proxy | None = None,
        namespace: str = NAMESPACE,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._access, self._answers, self._proxy, self._namespace = access, answers, proxy, namespace
        self._users: _Remembered[User | _Nobody] = _Remembered(clock)
        self._rights: _Remembered[Visible] = _Remembered(clock)
        self._room = threading.BoundedSemaphore(ASKING)
        self._threads = ThreadPoolExecutor(ASKING, thread_name_prefix="kspec-rights")
        self._uid: str | None = None

    def close(self) -> None:
        """Ask no more."""
        self._threads.shutdown(wait=False, cancel_futures=True)

    def proven(self, peer: str, headers: Headers) -> str:
        """Who sends this, as far as that is known without asking; "": not known. Never waits."""
        if self._proxy is not None and self._proxy.trusts(peer):
            try:
                user = self._proxy.names(headers)
            except Refused:
                return ""
            return user.username if user is not None else ""
        token = token_of(headers)
        found = self._users.get(_digest(token)) if token else None
        return found.username if isinstance(found, User) else ""

    def view(self, peer: str, headers: Sequence[tuple[bytes, bytes]]) -> Viewer:
        """Who looks. Raises Refused."""
        user = None
        if self._proxy is not None and self._proxy.trusts(peer):
            user = self._proxy.names(headers)
        if user is None:
            token = token_of(headers)
            if not token:
                raise Refused(401, "no credentials were sent.")
            user = self._user(token)
        visible = self._visible(user)
        if visible.nothing:
            raise Refused(
                403,
                f"the user {user.username} may not see any cluster: RBAC grants neither list nor get of "
                f"{REPORTS.resource} in the namespace {self._namespace}, nor get of them in another namespace.",
            )
        return Viewer(user.username, visible)

    def _user(self, token: str) -> User:
        """Raises Refused."""
        key = _digest(token)
        found = self._users.get(key)
        if found is None:
            found = self._ask(
                lambda: (
                    self._access.do(
                        lambda writer: (
                            user_of(writer.source, token) or user_of(writer.source, token, [AUDIENCE])
                        )
                    )
                    or _NOBODY
                )
            )
            self._users.put(key, found, _known_for(token) if isinstance(found, User) else REFUSED_S)
        if not isinstance(found, User):
            raise Refused(401, "the API server does not know this token.")
        return found

    def _visible(self, user: User) -> Visible:
        """Raises Refused."""
        key = hashlib.sha256(msgspec.json.encode(user)).digest()
        found = self._rights.get(key)
        if found is None:
            found = self._ask(lambda: self._look(user))
            self._rights.put(key, found, REFUSED_S if found.nothing else KNOWN_S)
        return found

    def _ask(self, ask: Callable[[], T]) -> T:
        """Raises Refused where the API server cannot be asked."""
        if not self._room.acquire(blocking=False):
            raise Refused(503, "too many viewers are being authenticated. Try again.")
        try:
            return ask()
        except KspecError as error:
            raise Refused(503, f"the API server could not verify your identity: {error.what}") from error
        except Away as error:
            raise Refused(503, f"the store could not be read: {error}") from error
        finally:
            self._room.release()

    def _look(self, user: User) -> Visible:
        """Raises KspecError, Away."""
        if self._may(user, "list", self._namespace, ""):
            return ALL
        clusters = self._answers.get("clusters", listing.clusters).value
        if len(clusters) > MOST_CLUSTERS:
            raise KspecError(
                f"there are more than {MOST_CLUSTERS:,} clusters, and you may not list {REPORTS.resource}."
            )
        # A name that two clusters share says of neither that it may be seen: their identities do.
        times = Counter(name for _, name in clusters)
        asked = [(name if times[name] == 1 else identity) for identity, name in clusters]
        may = list(self._threads.map(lambda name: self._may(user, "get", self._namespace, name), asked))
        seen = frozenset(identity for (identity, _), yes in zip(clusters, may, strict=True) if yes)
        return Visible(seen, self._namespaces(user, seen, {identity for identity, _ in clusters}))

    def _namespaces(self, user: User, seen: frozenset[str], known: set[str]) -> dict[str, frozenset[str]]:
        """Of the cluster that is asked: the others have namespaces of their own."""
        if self._uid is None:
            self._uid = self._access.do(lambda writer: writer.source.info().uid)
        uid = self._uid
        if not uid or uid in seen or uid not in known:
            return {}
        names = self._answers.get(
            ("namespaces", uid), lambda store: lasting.namespaces(store, uid, MOST_NAMESPACES)
        ).value
        names = [name for name in names if name != self._namespace]
        may = self._threads.map(lambda name: self._may(user, "get", name, ""), names)
        found = frozenset(name for name, yes in zip(names, may, strict=True) if yes)
        return {uid: found} if found else {}

    def _may(self, user: User, verb: str, namespace: str, name: str) -> bool:
        return self._access.do(lambda writer: may_do(writer.source, user, verb, REPORTS, namespace, name))


class Everyone:
    """No authentication, on loopback only: a page of another site must not reach it by a name of its own."""

    def close(self) -> None:
        """Nothing is held."""

    def proven(self, _peer: str, _headers: Headers) -> str:
        """Nobody says who it is."""
        return ""

    def view(self, _peer: str, headers: Sequence[tuple[bytes, bytes]]) -> Viewer:
        """Everything, for whoever calls it by a name of this machine. Raises Refused."""
        hosts = [value.decode("latin-1") for name, value in headers if name == b"host"]
        if len(hosts) != 1 or not is_loopback_name(hosts[0]):
            raise Refused(403, "without authentication, only localhost and 127.0.0.1 are served by name.")
        return Viewer("", ALL)


def is_loopback_name(host: str) -> bool:
    """Whether a Host header names this machine: `localhost:8000`, `127.0.0.1`, `[::1]:8000`."""
    name = re.sub(r":\d*$", "", host).strip("[]").lower()
    if name == "localhost":
        return True
    try:
        return ipaddress.ip_address(name).is_loopback
    except ValueError:
        return False


def token_of(headers: Headers) -> str:
    """The bearer token of `Authorization`, else of the cookie; "" without one that may be one."""
    cookies: dict[str, str] = {}
    for name, value in headers:
        if name == b"authorization":
            scheme, _, token = value.decode("latin-1").partition(" ")
            return valid_token(token.strip()) if scheme.lower() == "bearer" else ""
        if name == b"cookie":
            for part in value.decode("latin-1").split(";"):
                key, _, text = part.strip().partition("=")
                cookies.setdefault(key, text)
    return next((valid_token(cookies[name]) for name in COOKIES if name in cookies), "")


def valid_token(text: str) -> str:
    """The token, or "" for what cannot be one."""
    return text if 0 < len(text) <= LONGEST_TOKEN and _TOKEN.fullmatch(text) else ""


def _known_for(token: str) -> float:
    """Seconds for which an answer about a token that is good now is believed: not beyond its end."""
    ends = token_life(token).expires
    return KNOWN_S if ends is None else min(KNOWN_S, max(0.0, ends - wall.now().timestamp()))


def _digest(token: str) -> Any:
    return hashlib.sha256(token.encode()).digest()
