"""Who may talk to the server: checks of Host, Origin and token, the size of what is sent, and strict headers."""

import ipaddress
import secrets
import socket
from dataclasses import dataclass, field
from hashlib import sha256
from urllib.parse import parse_qs, urlsplit

from starlette.datastructures import Headers, MutableHeaders
from starlette.requests import cookie_parser
from starlette.responses import JSONResponse, RedirectResponse, Response
from starlette.types import ASGIApp, Message, Receive, Scope, Send

LARGEST_UPLOAD = 64 * 1024**2  # bytes of an image that is sent
LARGEST = 1024**2  # bytes of every other request
COOKIE = "convscope"  # with a part of the token's hash, so that two servers of one machine do not share it
POLICY = (
    "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' data: blob:; connect-src 'self'; "
    "base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
)
HEADERS = {
    "content-security-policy": POLICY,
    "x-content-type-options": "nosniff",
    "referrer-policy": "no-referrer",
    "cross-origin-resource-policy": "same-origin",
    "cross-origin-opener-policy": "same-origin",
}


def refuse(status: int, problem: str, hint: str = "") -> JSONResponse:
    """An answer with problem and hint."""
    return JSONResponse({"problem": problem, "hint": hint}, status)


def is_loopback(host: str) -> bool:
    """Whether a name or address is this machine's own."""
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"


@dataclass
class Guard:
    """Stands before the app. Without a token only this machine's own names are answered; with one, others too."""

    app: ASGIApp
    host: str = "127.0.0.1"  # that the server listens on
    token: str = ""
    names: frozenset[str] = field(init=False)
    cookie: str = field(init=False)

    def __post_init__(self) -> None:
        self.cookie = f"{COOKIE}-{sha256(self.token.encode()).hexdigest()[:8]}"
        self.names = frozenset({self.host.lower(), socket.gethostname().lower(), socket.getfqdn().lower()})

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Passes on what may pass."""
        if scope["type"] != "http":
            await self.app(scope, receive, send)
            return

        async def sent(message: Message) -> None:
            if message["type"] == "http.response.start":
                headers = MutableHeaders(scope=message)
                for name, value in HEADERS.items():
                    headers[name] = value
            await send(message)

        refusal = self.refusal(scope, Headers(scope=scope))
        if refusal is not None:
            await refusal(scope, receive, sent)
            return
        body, started = Body(receive, largest(scope)), False

        async def answered(message: Message) -> None:
            nonlocal started
            if started or not body.cut_off:
                started = True
                await sent(message)

        await self.app(scope, body.next, answered)
        if not started:
            await too_large(scope)(scope, receive, sent)

    def refusal(self, scope: Scope, headers: Headers) -> Response | None:
        """The answer to a request that may not pass; None to one that may."""
        host = headers.get("host", "")
        if not self.knows(host):
            return refuse(400, f"this server is not {host[:100]!r}", "open the address that `convscope serve` printed")
        origin, site = headers.get("origin"), headers.get("sec-fetch-site", "same-origin")
        navigation = headers.get("sec-fetch-mode") == "navigate" and scope["method"] == "GET"
        own = f"{scope['scheme']}://{host}".lower()
        if (origin is not None and origin.lower() != own) or (site == "cross-site" and not navigation):
            return refuse(403, "another site may not use this server", "open the page itself")
        length = headers.get("content-length", "0")
        if not (length.isascii() and length.isdecimal()) or len(length) > 18 or int(length) > largest(scope):
            return too_large(scope)
        return self.unknown(scope, headers) if self.token else None

    def knows(self, host: str) -> bool:
        """Whether a Host header may name this server; a name that a stranger's DNS points here may not."""
        try:
            name = (urlsplit(f"//{host}").hostname or "").lower()
        except ValueError:
            return False
        if is_loopback(name):
            return True
        if not self.token:
            return False
        try:
            return bool(ipaddress.ip_address(name))
        except ValueError:
            return name in self.names

    def unknown(self, scope: Scope, headers: Headers) -> Response | None:
        """The answer to somebody without the token; who comes with it in the address gets it as a cookie."""
        given = parse_qs(scope["query_string"].decode("latin-1")).get("token", [""])[0]
        if scope["path"] == "/" and secrets.compare_digest(given.encode(), self.token.encode()):
            answer = RedirectResponse("/", 303)
            answer.set_cookie(self.cookie, self.token, httponly=True, samesite="strict")
            return answer
        kept = cookie_parser(headers.get("cookie", "")).get(self.cookie, "")
        if secrets.compare_digest(kept.encode(), self.token.encode()):
            return None
        return refuse(
            401, "this server asks for its token", "open the address with ?token=… that `convscope serve` printed"
        )


def largest(scope: Scope) -> int:
    """How many bytes a request may bring."""
    return LARGEST_UPLOAD if scope["path"] == "/api/uploads" else LARGEST


def too_large(scope: Scope) -> JSONResponse:
    """The answer to a request that brings more."""
    return refuse(413, "that is too large", f"at most {largest(scope) // 1024**2} MB can be sent at once")


@dataclass
class Body:
    """A request's body, cut off where it grows beyond what may be sent, whatever its header said."""

    receive: Receive
    largest: int
    total: int = 0

    @property
    def cut_off(self) -> bool:
        """Whether it was."""
        return self.total > self.largest

    async def next(self) -> Message:
        """The next part of it."""
        message = await self.receive()
        self.total += len(message.get("body", b""))
        return {"type": "http.disconnect"} if self.cut_off else message
