"""Who may ask the server what: every request passes here before anything else sees it.

The server is for one machine. It listens on the loopback address, and a page of another origin must not reach it: the
Host header defeats DNS rebinding, the token in a header defeats forged requests, and Origin and Sec-Fetch-Site are
checked as well. What a page shows is bound by a content security policy that allows nothing but the server itself.
"""

from __future__ import annotations

import asyncio
import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from hmac import compare_digest

from starlette.types import ASGIApp, Message, Receive, Scope, Send

BODY_MOST = 1024**2
"""Longest body of a request [bytes]."""

TARGET_MOST = 2048
"""Longest path and query of a request [bytes]."""

INSIDE_MOST = 64
"""Requests being answered at a time; more get 503."""

BODY_S, ANSWER_S = 10.0, 60.0
"""Time for a body to arrive, and for an answer to be given [s]."""

POLICY = "; ".join(
    (
        "default-src 'none'",
        *(f"{kind}-src 'self'" for kind in ("script", "style", "connect")),
        "img-src 'self' blob:",
        *(f"{what} 'none'" for what in ("form-action", "base-uri", "frame-ancestors")),
    )
)
"""Content security policy: nothing from elsewhere, nothing inline."""

HEADERS: tuple[tuple[str, str], ...] = (
    ("Content-Security-Policy", POLICY),
    ("X-Content-Type-Options", "nosniff"),
    ("X-Frame-Options", "DENY"),
    ("Referrer-Policy", "no-referrer"),
    ("Cross-Origin-Opener-Policy", "same-origin"),
    ("Cross-Origin-Resource-Policy", "same-origin"),
    ("Cross-Origin-Embedder-Policy", "require-corp"),
    ("Permissions-Policy", "camera=(), geolocation=(), microphone=()"),
)
"""Sent with every answer."""

Refused = Callable[[str, str, str], None]
"""Takes who wanted to write, why not, and the path asked for."""


@dataclass(frozen=True, slots=True)
class Door:
    """Who is let in.

    Parameters
    ----------
    hosts : frozenset of str
        What the Host header may be, in lower case, with the port.
    observers : mapping of str to str
        Observer of each token.
    """

    hosts: frozenset[str]
    observers: Mapping[str, str]

    def who(self, authorization: str) -> str | None:
        """Return the observer an Authorization header belongs to; takes the same time whoever it is.

        >>> door = Door(frozenset(), {"t0k": "anna"})
        >>> door.who("Bearer t0k"), door.who("Bearer t0"), door.who("")
        ('anna', None, None)
        """
        found = None
        for token, observer in self.observers.items():
            if compare_digest(f"Bearer {token}".encode(), authorization.encode()):
                found = observer
        return found

    def own(self, origin: str) -> bool:
        """Whether an Origin header names this server."""
        return origin.lower() in {f"http://{host}" for host in self.hosts}


class Refusal(Exception):  # noqa: N818 (it is no error of ours)
    """A request that is not let in.

    Parameters
    ----------
    status : int
        HTTP status.
    reason : str
        The rule, and what came; without anything of the request that could be markup.
    """

    def __init__(self, status: int, reason: str) -> None:
        super().__init__(reason)
        self.status = status
        self.reason = reason


class Guard:
    """ASGI middleware that lets requests in; the observer is put into the request's state.

    Parameters
    ----------
    app : ASGIApp
        What is guarded.
    door : Door
        Who is let in.
    refused : callable
        Told of every write that is refused.
    """

    def __init__(self, app: ASGIApp, door: Door, refused: Refused) -> None:
        self.app = app
        self.door = door
        self.refused = refused
        self._inside = 0

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer a request, or refuse it."""
        if scope["type"] == "lifespan":
            await self.app(scope, receive, send)
            return
        if scope["type"] != "http":
            raise RuntimeError("only HTTP is served")
        started = False

        async def sealed(message: Message) -> None:
            nonlocal started
            if message["type"] == "http.response.start":
                started = True
                _seal(message)
            await send(message)

        try:
            observer = self._let_in(scope)
            body = await _body(scope, receive)
            if self._inside >= INSIDE_MOST:
                raise Refusal(503, f"at most {INSIDE_MOST} requests are answered at a time; try again in a moment")
            scope.setdefault("state", {})["observer"] = observer
            self._inside += 1
            try:
                async with asyncio.timeout(ANSWER_S):
                    await self.app(scope, _replay(body), sealed)
            finally:
                self._inside -= 1
        except TimeoutError:
            if started:
                raise
            await _refuse(sealed, Refusal(504, f"an answer takes at most {ANSWER_S:g} s, this one took longer"))
        except Refusal as refusal:
            if scope["method"] not in ("GET", "HEAD"):
                who = self.door.who(_header(scope, b"authorization")) or ""
                await asyncio.to_thread(self.refused, who, f"{refusal.status}: {refusal.reason}", scope["path"])
            await _refuse(sealed, refusal)

    def _let_in(self, scope: Scope) -> str | None:
        """Return who asks; None for the page itself, which holds nothing of a scan."""
        hosts = [value for name, value in scope["headers"] if name == b"host"]
        if len(hosts) != 1 or hosts[0].decode("latin-1").lower() not in self.door.hosts:
            raise Refusal(421, "the Host header must be this server's own address, got another")
        if len(scope["raw_path"]) + len(scope["query_string"]) > TARGET_MOST:
            raise Refusal(414, f"an address has at most {TARGET_MOST} characters")
        if scope["method"] not in ("GET", "HEAD", "POST"):
            raise Refusal(405, "only GET, HEAD and POST are answered")
        site = _header(scope, b"sec-fetch-site")
        if not scope["path"].startswith("/api/"):
            if scope["method"] == "POST":
                raise Refusal(405, "only GET and HEAD are answered here")
            return None
        if site not in ("", "same-origin"):
            raise Refusal(403, "requests come from this server's own page, got one of another site")
        origin = _header(scope, b"origin")
        if origin and not self.door.own(origin):
            raise Refusal(403, "requests come from this server's own page, got another origin")
        observer = self.door.who(_header(scope, b"authorization"))
        if observer is None:
            raise Refusal(401, "a request needs the token of the address that calcscore review printed")
        if scope["method"] == "POST" and _header(scope, b"content-type").split(";")[0].strip() != "application/json":
            raise Refusal(415, "what is sent must be application/json")
        return observer


async def _body(scope: Scope, receive: Receive) -> bytes:
    """Read the body of a request, as long as it is short enough and comes in time."""
    told = _header(scope, b"content-length")
    if told and (not told.isdigit() or int(told) > BODY_MOST):
        raise Refusal(413, f"a body has at most {BODY_MOST} bytes")
    if scope["method"] != "POST":
        if told not in ("", "0") or _header(scope, b"transfer-encoding"):
            raise Refusal(400, "a request that asks for something has no body")
        return b""
    parts: list[bytes] = []
    length = 0
    try:
        async with asyncio.timeout(BODY_S):
            while True:
                message = await receive()
                if message["type"] == "http.disconnect":
                    raise Refusal(400, "the body ended before it was whole")
                parts.append(message.get("body", b""))
                length += len(parts[-1])
                if length > BODY_MOST:
                    raise Refusal(413, f"a body has at most {BODY_MOST} bytes")
                if not message.get("more_body", False):
                    return b"".join(parts)
    except TimeoutError:
        raise Refusal(408, f"a body arrives within {BODY_S:g} s") from None


def _replay(body: bytes) -> Receive:
    """Give the body that was read to the application."""
    given = False

    async def receive() -> Message:
        nonlocal given
        if given:
            await asyncio.Event().wait()  # nothing more comes, until the answer is given
        given = True
        return {"type": "http.request", "body": body, "more_body": False}

    return receive


def _header(scope: Scope, name: bytes) -> str:
    """A header's value; one that comes twice has none that could be believed."""
    values = [value for key, value in scope["headers"] if key == name]
    return values[0].decode("latin-1") if len(values) == 1 else ""


def _seal(message: Message) -> None:
    own = {name.lower().encode() for name, _ in HEADERS}
    kept = [(name, value) for name, value in message.get("headers", []) if name.lower() not in own]
    kept.extend((name.lower().encode(), value.encode()) for name, value in HEADERS)
    if not any(name.lower() == b"cache-control" for name, _ in kept):
        kept.append((b"cache-control", b"private, no-store"))
    message["headers"] = kept


async def _refuse(send: Send, refusal: Refusal) -> None:
    body = json.dumps({"error": refusal.reason}).encode()
    headers = [(b"content-type", b"application/json"), (b"content-length", str(len(body)).encode())]
    if refusal.status == 503:
        headers.append((b"retry-after", b"1"))
    if refusal.status in (400, 408, 413):
        headers.append((b"connection", b"close"))
    await send({"type": "http.response.start", "status": refusal.status, "headers": headers})
    await send({"type": "http.response.body", "body": body})
