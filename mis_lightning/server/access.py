"""Access control of the server; every request passes through it before any other code.

* The ``Host`` header must name this server, or a proxy in front of it that was named when it was started. A
  page on the web whose name is made to point here ("DNS rebinding") carries its own name and is turned away;
  an address in digits cannot be rebound.
* A request that changes something must carry an ``Origin`` of the same host: a form or script on another site
  cannot send one.
* A cookie tells browsers apart. Where the server listens beyond the loopback address, or is given a token,
  the cookie is signed with the token, and without the token none is handed out.
* Bodies are read up to a limit, before anything parses them.
* The page may load nothing from elsewhere, be framed by nobody, and run no script but its own files.
"""

from __future__ import annotations

import hashlib
import hmac
import ipaddress
import json
import re
import secrets
import socket
from dataclasses import dataclass
from functools import lru_cache
from http.cookies import CookieError, SimpleCookie

from starlette.types import ASGIApp, Message, Receive, Scope, Send

from mis_lightning.errors import InputError

MAX_BODY = 1 << 20
"""Largest body of a request, in bytes; a scribble of 4096 points takes 160 kB."""
MAX_UPLOAD = 16 << 20
"""Largest mask file sent to the server, in bytes."""
MIN_TOKEN = 16
"""Shortest token accepted, in characters."""

HEADERS = {
    "content-security-policy": (
        "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' blob:; connect-src 'self'; "
        "base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
    ),
    "cross-origin-opener-policy": "same-origin",
    "cross-origin-resource-policy": "same-origin",
    "referrer-policy": "no-referrer",
    "x-content-type-options": "nosniff",
}
_SAFE_METHODS = ("GET", "HEAD")
_SESSION = re.compile(r"[A-Za-z0-9_-]{43}")


@dataclass(frozen=True)
class Access:
    """The rules of one server.

    Attributes:
        host: Where it listens, an address or a name.
        token: What a browser must show first; ``None`` asks for nothing.
        cookie: Name of the cookie; servers on one host share cookies, so each folder has a name of its own.
        names: Further host names that browsers may use, without a port: those of a reverse proxy.
    """

    host: str = "127.0.0.1"
    token: str | None = None
    cookie: str = "mis"
    names: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        if self.token is not None and not (len(self.token) >= MIN_TOKEN and self.token.isascii()):
            raise InputError(
                f"Expected a token of at least {MIN_TOKEN} plain characters; without `--token` one is made."
            )
        for name in self.names:
            if _without_port(name) != name.lower():
                raise InputError(
                    f"Expected a host name like lab.example.org, without a port, but got {name!r}."
                )
        if self.token is None and self.needs_token:
            raise InputError(
                f"Listening on {', '.join((self.host, *self.names))}, beyond this machine, needs a token: "
                "anyone could see the images."
            )

    @property
    def is_loopback(self) -> bool:
        """Whether only programs of this machine can connect."""
        return is_loopback(self.host)

    @property
    def needs_token(self) -> bool:
        """Whether others than programs of this machine may come, directly or by a proxy."""
        return not self.is_loopback or bool(self.names)

    def knows_host(self, header: str) -> bool:
        """Whether a ``Host`` header means this server."""
        name = _without_port(header)
        if name is None:
            return False
        if name in {one.lower() for one in self.names}:
            return True
        if self.is_loopback:
            return is_loopback(name)
        return _address(name) is not None or name in {
            "localhost",
            self.host.lower(),
            *own_names(),
        }

    def knows_origin(self, origin: str, host: str) -> bool:
        """Whether an ``Origin`` header means this server's own page, on a request with this ``Host``.

        A proxy may hand on the name under which the browser knows it as ``Host``, or its own.
        """
        if origin in (f"http://{host}", f"https://{host}"):
            return True
        scheme, separator, rest = origin.partition("://")
        name = _without_port(rest)
        return bool(separator) and scheme in ("http", "https") and name in {one.lower() for one in self.names}

    def opens(self, token: str | None) -> bool:
        """Whether a token is the right one, compared in constant time."""
        if self.token is None:
            return True
        return hmac.compare_digest((token or "").encode(), self.token.encode())

    def new_session(self) -> str:
        """A session id that cannot be guessed."""
        return secrets.token_urlsafe(32)

    def sign(self, session: str) -> str:
        """The cookie of a session."""
        return session if self.token is None else f"{session}.{self._signature(session)}"

    def session(self, cookie_header: str, *, signed: bool = True) -> str | None:
        """The session that the cookie of a request belongs to.

        Args:
            cookie_header: The ``Cookie`` header.
            signed: Whether the signature counts. Without it a browser that shows a new token keeps its work.

        Returns:
            ``None`` without a cookie, or with one that this server did not sign.
        """
        try:
            morsel = SimpleCookie(cookie_header).get(self.cookie)
        except CookieError:
            return None
        session, _, signature = (morsel.value if morsel else "").partition(".")
        if not _SESSION.fullmatch(session):
            return None
        if signed and self.token is not None:
            given = signature.encode("ascii", "replace")
            return session if hmac.compare_digest(given, self._signature(session).encode()) else None
        return session

    def _signature(self, session: str) -> str:
        return hmac.new((self.token or "").encode(), session.encode(), hashlib.sha256).hexdigest()


class Guard:
    """Refuses requests that violate the rules of :class:`Access`; adds the headers above to responses.

    Args:
        app: The application behind it.
        access: The rules.
        root_path: Path below which a proxy shows the application.
    """

    def __init__(self, app: ASGIApp, access: Access, root_path: str = "") -> None:
        self.app = app
        self.access = access
        self.root_path = root_path

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer one request, as ASGI has it."""
        if scope["type"] == "lifespan":
            await self.app(scope, receive, send)
            return
        if scope["type"] != "http":
            raise RuntimeError("This server speaks HTTP only.")

        async def send_guarded(message: Message) -> None:
            if message["type"] == "http.response.start":
                own = [(name.encode(), value.encode()) for name, value in HEADERS.items()]
                message = {**message, "headers": [*message.get("headers", []), *own]}
            await send(message)

        refusal = self._refusal(scope)
        body = b"" if refusal else await _read(receive, self._limit(scope))
        if body is None:
            refusal = (413, f"The request is too large: at most {self._limit(scope)} bytes are read.")
        if refusal:
            await _refuse(send_guarded, *refusal)
            return
        pending = [{"type": "http.request", "body": body, "more_body": False}]

        async def replay() -> Message:
            return pending.pop() if pending else await receive()

        await self.app({**scope, "root_path": self.root_path}, replay, send_guarded)

    def _refusal(self, scope: Scope) -> tuple[int, str] | None:
        """Status and reason, if the head of a request breaks a rule."""
        hosts = [value.decode("latin-1") for name, value in scope["headers"] if name == b"host"]
        if len(hosts) != 1 or not self.access.knows_host(hosts[0]):
            return 403, "This server does not answer to that host name; see `--allow-host`."
        if scope["method"] not in _SAFE_METHODS:
            origins = [value.decode("latin-1") for name, value in scope["headers"] if name == b"origin"]
            if len(origins) != 1 or not self.access.knows_origin(origins[0], hosts[0]):
                return 403, "Changes are accepted from this server's own page only; see `--allow-host`."
        lengths = [value for name, value in scope["headers"] if name == b"content-length"]
        if any(not value.isdigit() for value in lengths):
            return 400, "The length of the request is not a number."
        if any(int(value) > self._limit(scope) for value in lengths):
            return 413, f"The request is too large: at most {self._limit(scope)} bytes are read."
        return None

    @staticmethod
    def _limit(scope: Scope) -> int:
        return MAX_UPLOAD if scope["path"].endswith("/mask") else MAX_BODY


@lru_cache(maxsize=1)
def own_names() -> frozenset[str]:
    """What this machine calls itself: its name, and its full name with the domain, asked once."""
    return frozenset({socket.gethostname().lower(), socket.getfqdn().lower()})


def is_loopback(host: str) -> bool:
    """Whether a host is this machine's loopback address."""
    address = _address(host)
    return host.lower() == "localhost" if address is None else address.is_loopback


def _address(host: str) -> ipaddress.IPv4Address | ipaddress.IPv6Address | None:
    try:
        return ipaddress.ip_address(host.strip("[]"))
    except ValueError:
        return None


def _without_port(header: str) -> str | None:
    """The lower-case host of a ``Host`` header; ``None`` where it is none."""
    match = re.fullmatch(r"(\[[0-9a-fA-F:.]+\]|[A-Za-z0-9._-]+)(?::\d{1,5})?", header)
    return match[1].lower() if match else None


async def _read(receive: Receive, limit: int) -> bytes | None:
    """The whole body of a request; ``None`` if it is longer than the limit, which is found out in time."""
    parts: list[bytes] = []
    length = 0
    while True:
        message = await receive()
        if message["type"] == "http.disconnect":
            return b"".join(parts)
        parts.append(message.get("body", b""))
        length += len(parts[-1])
        if length > limit:
            return None
        if not message.get("more_body", False):
            return b"".join(parts)


async def _refuse(send: Send, status: int, reason: str) -> None:
    body = json.dumps({"detail": reason}).encode()
    headers = [(b"content-type", b"application/json"), (b"content-length", str(len(body)).encode())]
    headers += [(b"connection", b"close")] if status == 413 else []
    await send({"type": "http.response.start", "status": status, "headers": headers})
    await send({"type": "http.response.body", "body": body})
