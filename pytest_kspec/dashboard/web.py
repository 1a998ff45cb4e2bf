"""The dashboard over HTTP: who may see what is decided first, then a page or a document is made, then headers are set.

Pages have no script at all, and their style is a file of their own, so the Content-Security-Policy forbids both inline.
A page that may be kept is kept by the viewer's browser only, and asked about each time (ETag): rights may have changed.
"""

from __future__ import annotations

import asyncio
import hashlib
import logging
import time
from collections.abc import Callable, Iterable
from datetime import UTC, datetime
from typing import Any, NamedTuple
from urllib.parse import parse_qsl

from starlette.applications import Starlette
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import RedirectResponse, Response
from starlette.routing import Route
from starlette.types import Message, Receive, Scope, Send

from pytest_kspec.dashboard import api, legacy, pages
from pytest_kspec.dashboard.asked import BadRequest, parse
from pytest_kspec.dashboard.source import Answers, Away, Known
from pytest_kspec.dashboard.viewers import (
    AUDIENCE,
    COOKIES,
    Everyone,
    Refused,
    Viewer,
    Viewers,
    is_loopback_name,
    valid_token,
)
from pytest_kspec.errors import KspecError
from pytest_kspec.serving.rate import Rate, client_of

log = logging.getLogger("kspec.dashboard")

POLICY = (
    "default-src 'none'; style-src 'self'; img-src 'self' data:; form-action 'self'; base-uri 'none'; "
    "frame-ancestors 'none'"
)
HEADERS = (
    ("Content-Security-Policy", POLICY),
    ("X-Content-Type-Options", "nosniff"),
    ("X-Frame-Options", "DENY"),
    ("Referrer-Policy", "same-origin"),
    ("Cross-Origin-Opener-Policy", "same-origin"),
    ("Cross-Origin-Resource-Policy", "same-origin"),
)
NOT_KEPT = "no-store"
KEPT = "private, no-cache"
LONGEST_FORM = 24 << 10
"""Bytes of the form that signs in: a token and its encoding."""
FORM_S = 10.0
LONGEST_COOKIE = 4000
"""Bytes that browsers take."""
SESSION_S = 8 * 3600
_DOCUMENT = f"{api.PREFIX}/openapi.json"
HTML, JSON, TEXT = "text/html; charset=utf-8", "application/json", "text/plain; charset=utf-8"
_TITLES = {
    400: "This request cannot be answered",
    401: "Sign in",
    403: "Not allowed",
    404: "Not found",
    405: "Method not allowed",
    429: "Too many requests",
    503: "Not available",
}


class Settings(NamedTuple):
    """source: what is read, for people; rate: requests a second of one client, 0: no limit; tls: it has TLS."""

    source: str
    rate: float = 20.0
    burst_s: float = 3.0
    tls: bool = False


class Dashboard:
    """The ASGI application."""

    def __init__(
        self,
        answers: Answers,
        viewers: Viewers | Everyone,
        settings: Settings,
        clock: Callable[[], datetime] = lambda: datetime.now(UTC),
    ) -> None:
        self._answers, self._viewers, self._settings, self._clock = answers, viewers, settings, clock
        self._rate = Rate(settings.rate, settings.burst_s, time.monotonic)
        self._templates = pages.templates()
        self._sheets = {name: path.read_bytes() for name, path in pages.SHEETS.items()}
        routes = [Route(path, self._page) for path in pages.PAGES]
        routes += [Route(f"{api.PREFIX}/{name}", self._list) for name in api.LISTS]
        routes += [Route(f"/api/{name}", self._legacy) for name in legacy.ROUTES]
        routes += [
            Route(_DOCUMENT, self._openapi),
            *(Route(path, _to_document) for path in ("/api", "/api/", api.PREFIX, f"{api.PREFIX}/")),
            Route("/static/{name}", self._static),
            Route("/login", self._login, methods=["GET", "POST"]),
            Route("/logout", self._logout, methods=["POST"]),
            Route("/health", self._health),
            Route("/healthz", self._health),
            Route("/readyz", self._ready),
        ]
        self._app = Starlette(
            routes=routes,
            exception_handlers={HTTPException: self._http_error, Exception: self._fault},
        )
        # Its redirects name the host that the client sent, and not the scheme of a proxy before us.
        self._app.router.redirect_slashes = False
        self._paths = {route.path for route in routes}

    async def __call__(
        self,
        scope: Scope,
        receive: Receive,
        send: Send,
    ) -> None:
        """One request: within the rate of its client, and with the headers of every answer."""

        async def with_headers(message: Message) -> None:
            if message["type"] == "http.response.start":
                given = {name.lower() for name, _ in message["headers"]}
                message["headers"] = [
                    *message["headers"],
                    *(
                        (n.lower().encode(), v.encode())
                        for n, v in HEADERS
                        if n.lower().encode() not in given
                    ),
                ]
                if b"cache-control" not in given:
                    message["headers"].append((b"cache-control", NOT_KEPT.encode()))
                if self._settings.tls:
                    message["headers"].append((b"strict-transport-security", b"max-age=31536000"))
            await send(message)

        if scope["type"] != "http":
            return
        peer = _peer(scope)
        who = self._viewers.proven(peer, scope["headers"])
        # A proven user has a rate of its own, wherever it calls from; all others share that of their address.
        if not self._rate.allow(f"user {who}" if who else f"address {client_of(peer)}"):
            answer = Response("too many requests\n", 429, {"Retry-After": "1"}, TEXT)
            await answer(scope, receive, with_headers)
            return
        await self._app(scope, receive, with_headers)

    # -- pages -----------------------------------------------------------------------------------------------

    def _page(self, request: Request) -> Response:
        path = request.url.path
        page = pages.PAGES[path]
        try:
            viewer = self._viewer(request)
            asked = parse(_pairs(request), page.names, page.states, strict=False)
            now = self._clock()
            known = self._answers.get(
                (path, asked, _key(viewer), now.date()),
                lambda store: page.ask(store, viewer.visible, asked, now),
            )
        except Refused as error:
            return self._refused(request, error)
        except BadRequest as error:
            return self._message(request, 400, str(error), viewer)
        except pages.NotThere:
            return self._message(request, 404, "This does not exist, or you may not see it.", viewer)
        except Away as error:
            return self._message(
                request, 503, f"The store could not be read: {error} No earlier data are available.", viewer
            )
        except KspecError as error:
            return self._message(request, 400, error.what, viewer)
        body = self._render(
            page.template,
            request,
            viewer,
            known,
            title=page.title,
            asked=asked,
            api=api.of_page(path, asked),
            **known.value,
        )
        return _tagged(request, body, HTML)

    def _render(
        self, template: str, request: Request, viewer: Viewer | None, known: Known | None = None, **more: Any
    ) -> bytes:
        view: dict[str, Any] = {
            "viewer": viewer.name if viewer else "",
            "signed_in": viewer is not None,
            "cookie": any(name in request.cookies for name in COOKIES),
            "here": request.url.path,
            "source": self._settings.source,
            "problem": known.problem if known else "",
            "as_of": known.as_of.strftime("%Y-%m-%dT%H:%M:%SZ") if known else "",
            "api": "",
        }
        page = self._templates.get_template(f"{template}.html.j2").render(**view | more)
        return page.encode("utf-8", "replace")

    def _message(self, request: Request, status: int, text: str, viewer: Viewer | None = None) -> Response:
        """What went wrong, in the form that the path promises."""
        if _is_api(request):
            return Response(api.problem(status, text), status, _more(status), JSON)
        body = self._render(
            "message", request, viewer, title=_TITLES.get(status, "Error"), text=text, login=status == 401
        )
        return Response(body, status, _more(status), HTML)

    def _refused(self, request: Request, error: Refused) -> Response:
        wants_page = "text/html" in request.headers.get("accept", "")
        if error.status == 401 and wants_page and not _is_api(request):
            return RedirectResponse("/login", 303, {"Vary": "Accept, Authorization, Cookie"})
        return self._message(request, error.status, f"{str(error)[:1].upper()}{str(error)[1:]}")

    def _viewer(self, request: Request) -> Viewer:
        """Raises Refused."""
        return self._viewers.view(_peer(request.scope), request.scope["headers"])

    # -- data ------------------------------------------------------------------------------------------------

    def _list(self, request: Request) -> Response:
        name = request.url.path.rpartition("/")[2]
        one = api.LISTS[name]
        states = name if "state" in one.names else ""
        try:
            viewer = self._viewer(request)
            asked = parse(_pairs(request), one.names, states, strict=True)
            now = self._clock()
            known = self._answers.get(
                (request.url.path, asked, _key(viewer), now.date()),
                lambda store: one.of(store, viewer.visible, asked, now),
            )
        except Refused as error:
            return self._refused(request, error)
        except BadRequest as error:
            return self._message(request, 400, str(error))
        except Away as error:
            return self._message(request, 503, f"The store could not be read: {error}")
        except KspecError as error:
            return self._message(request, 400, error.what)
        return _tagged(request, api.document(known, asked), JSON)

    def _legacy(self, request: Request) -> Response:
        route = legacy.ROUTES[request.url.path.rpartition("/")[2]]
        try:
            viewer = self._viewer(request)
            spec = legacy.spec_of(_pairs(request))
            known = self._answers.get(
                (request.url.path, spec, _key(viewer)), lambda store: route(store, viewer.visible, spec)
            )
        except Refused as error:
            return self._refused(request, error)
        except BadRequest as error:
            return self._message(request, 400, str(error))
        except legacy.NoSpecification as error:
            return Response(legacy.error(str(error)), 404, media_type=JSON)
        except Away as error:
            return Response(legacy.error(f"the store could not be read: {error}"), 503, media_type=JSON)
        return _tagged(request, legacy.document(known), JSON)

    def _openapi(self, request: Request) -> Response:
        return _tagged(request, api.openapi(), JSON)

    def _static(self, request: Request) -> Response:
        name = request.path_params["name"]
        if name not in self._sheets:
            raise HTTPException(404)
        headers = {"Cache-Control": "public, max-age=31536000, immutable"}
        return Response(self._sheets[name], 200, headers, "text/css; charset=utf-8")

    # -- signing in --------------------------------------------------------------------------------------------

    async def _login(self, request: Request) -> Response:
        if isinstance(self._viewers, Everyone):
            return RedirectResponse("/", 303)
        if request.method != "POST":
            return self._sign_in(request, 200, "")
        if not _same_origin(request):
            return self._sign_in(request, 403, "The form was sent by another site.")
        body = b""
        try:
            async with asyncio.timeout(FORM_S):
                async for chunk in request.stream():
                    body += chunk
                    if len(body) > LONGEST_FORM:
                        return self._sign_in(request, 413, "The text is too long to be a token.")
        except TimeoutError:
            answer = self._sign_in(request, 408, f"The form did not arrive within {FORM_S:g} seconds.")
            answer.headers["Connection"] = "close"
            return answer
        form = dict(parse_qsl(body.decode("latin-1")))
        token = valid_token(form.get("token", "").strip())
        if not token:
            return self._sign_in(request, 400, "This is not a token.")
        if len(token) > LONGEST_COOKIE:
            return self._sign_in(
                request, 400, "The token is longer than a cookie may be. Use one with a shorter life or name."
            )
        from starlette.concurrency import run_in_threadpool

        headers = [(b"authorization", f"Bearer {token}".encode())]
        try:
            await run_in_threadpool(self._viewers.view, _peer(request.scope), headers)
        except Refused as error:
            return self._sign_in(request, error.status, f"{str(error)[:1].upper()}{str(error)[1:]}")
        answer = RedirectResponse("/", 303)
        secure = not is_loopback_name(request.headers.get("host", ""))
        answer.set_cookie(
            COOKIES[0] if secure else COOKIES[1],
            token,
            max_age=SESSION_S,
            path="/",
            secure=secure,
            httponly=True,
            samesite="strict",
        )
        return answer

    def _sign_in(self, request: Request, status: int, text: str) -> Response:
        body = self._render("login", request, None, title="Sign in", text=text, audience=AUDIENCE)
        return Response(body, status, media_type=HTML)

    async def _logout(self, request: Request) -> Response:
        if not _same_origin(request):
            return self._message(request, 403, "The form was sent by another site.")
        answer = RedirectResponse("/login", 303)
        for name in COOKIES:
            answer.delete_cookie(
                name, path="/", secure=name.startswith("__Host-"), httponly=True, samesite="strict"
            )
        return answer

    # -- health and errors -------------------------------------------------------------------------------------

    async def _health(self, request: Request) -> Response:
        return Response("OK", 200, media_type=TEXT)

    def _ready(self, request: Request) -> Response:
        """Ready also while the store is unavailable: it says so on its pages, which is what they are asked for then."""
        return Response(
            "ok\n" if not self._answers.problem() else "the store is unavailable\n", 200, media_type=TEXT
        )

    def _http_error(self, request: Request, error: Exception) -> Response:
        status = error.status_code if isinstance(error, HTTPException) else 500
        path = request.url.path
        if status == 404 and path.endswith("/") and (there := path.rstrip("/")) in self._paths:
            query = request.url.query
            return RedirectResponse(f"{there}?{query}" if query else there, 307)
        text = {404: "This page does not exist.", 405: "The dashboard is read-only: use GET."}.get(status, "")
        answer = self._message(request, status, text)
        if isinstance(error, HTTPException) and error.headers:
            answer.headers.update(error.headers)
        return answer

    async def _fault(self, request: Request, error: Exception) -> Response:
        return Response("an unforeseen error: see the log of the dashboard\n", 500, media_type=TEXT)


def _peer(scope: Any) -> str:
    """The address of the connection; what a header says of it decides nothing."""
    client = scope.get("client")
    return str(client[0]) if client else ""


def _is_api(request: Request) -> bool:
    """Whether a program asks, which is answered in JSON whatever happens."""
    return request.url.path.startswith("/api/")


def _to_document(request: Request) -> Response:
    """What begins with /api is described by one document."""
    return RedirectResponse(_DOCUMENT, 307)


def _pairs(request: Request) -> list[tuple[str, str]]:
    """Raises BadRequest."""
    try:
        text = request.scope["query_string"].decode("ascii")
        return parse_qsl(text, keep_blank_values=True, errors="strict", max_num_fields=40)
    except ValueError as error:
        raise BadRequest("the query string cannot be read.") from error


def _key(viewer: Viewer) -> Any:
    """What a viewer may see, as part of a key."""
    seen = viewer.visible
    return seen.clusters, tuple(sorted(seen.namespaces.items()))


def _more(status: int) -> dict[str, str]:
    headers = {"Cache-Control": NOT_KEPT}
    return headers | ({"WWW-Authenticate": "Bearer"} if status == 401 else {})


def _same_origin(request: Request) -> bool:
    """A browser says where a form was sent from; a program does not."""
    origin = request.headers.get("origin")
    if origin is None:
        return request.headers.get("sec-fetch-site", "same-origin") in ("same-origin", "none")
    return origin.partition("://")[2] == request.headers.get("host", "")


def _tagged(request: Request, body: bytes, media_type: str) -> Response:
    """The body, or 304 where the browser has it."""
    tag = f'"{hashlib.sha256(body).hexdigest()[:32]}"'
    headers = {"ETag": tag, "Cache-Control": KEPT, "Vary": "Authorization, Cookie"}
    if tag in _tags(request.headers.get("if-none-match", "")):
        return Response(None, 304, headers)
    return Response(body, 200, headers, media_type)


def _tags(text: str) -> Iterable[str]:
    return (tag.strip().removeprefix("W/") for tag in text.split(","))
