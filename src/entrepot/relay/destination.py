"""Where requests of one target go, with everything of their head that does not change from one to the next."""

import re
from collections.abc import Callable, Generator, Iterable
from typing import Final, NamedTuple
from urllib.parse import urlsplit

from entrepot.core.errors import BadInput
from entrepot.core.snapshot import Target
from entrepot.relay import shortcuts

# An upstream and a base URL of it: one that runs inside this machine has a base URL for each of its models.
Place = tuple[str, str]

_JSON = b"Content-Type: application/json\r\n"
_request_of: Final = shortcuts.request_of  # Bound once; see decisions/0009.
_PRINTABLE = re.compile(r"[!-~]*")
_PORTS = {"http": 80, "https": 443}


class Origin(NamedTuple):
    """What a connection is made to. host: also the path of a socket of this machine, which has no port."""

    host: str
    port: int
    tls: bool


class Destination:
    """A target's origin and its request heads by path. secrets: what no answer to a client may repeat.

    key: the one in use; use_key puts another in its place.
    """

    __slots__ = ("_authority", "_bare", "_base_url", "_heads", "_paths", "_prefix", "key", "origin", "secrets")

    def __init__(self, base_url: str, key: str, paths: Iterable[str]) -> None:
        """base_url: http(s)://host[:port]/path; key: "" when the upstream needs none. Raises: BadInput."""
        self.origin, self._authority, self._prefix = _split(base_url)
        self._base_url = base_url
        self._paths = tuple(paths)
        self.key = ""
        self.use_key(key)

    def use_key(self, key: str) -> None:
        """Requests carry this key from now on; those under way keep theirs. Raises: BadInput."""
        if _PRINTABLE.fullmatch(key) is None:
            raise BadInput(f"the key for {self._base_url} holds characters that no header can carry")
        earlier, self.key = self.key, key  # Answers to the last requests with it may still name it.
        self.secrets = tuple(text for text in (key, earlier, self._authority, self.origin.host) if text)
        credential = f"Authorization: Bearer {key}\r\n" if key else ""
        self._bare = (
            f" HTTP/1.1\r\nHost: {self._authority}\r\n{credential}User-Agent: entrepot\r\n"
            "Accept: application/json, text/event-stream\r\nAccept-Encoding: identity\r\n"
        )
        self._heads = {
            path: f"POST {self._prefix}{path}{self._bare}Content-Type: application/json\r\nX-Request-Id: ".encode()
            for path in self._paths
        }

    def request(self, path: str, request_id: str, body: bytes, media_type: str = "") -> bytes:
        """The whole request for one of the paths given at first. Nothing of the client's own head is in it.

        media_type: of a body that is not JSON.
        """
        head = self._heads[path]
        if media_type:
            head = head.replace(_JSON, f"Content-Type: {media_type}\r\n".encode())
        request = _request_of(head, request_id, body)
        if request is not None:
            return request
        return b"%b%b\r\nContent-Length: %d\r\n\r\n%b" % (head, request_id.encode(), len(body), body)

    def bare_request(self, method: str, target: str, request_id: str) -> bytes:
        """A request without a body. target: behind the base URL, of characters that a request line can carry."""
        length = "Content-Length: 0\r\n" if method == "POST" else ""
        return f"{method} {self._prefix}{target}{self._bare}{length}X-Request-Id: {request_id}\r\n\r\n".encode()

    def upgrade(self, target: str, request_id: str) -> bytes:
        """The head of a request for a WebSocket, up to where the fields of this one follow. target: as above."""
        return (
            f"GET {self._prefix}{target}{self._bare}Upgrade: websocket\r\nConnection: Upgrade\r\n"
            f"Sec-WebSocket-Version: 13\r\nX-Request-Id: {request_id}\r\n"
        ).encode()


def place_of(target: Target) -> Place:
    """Where a target is."""
    return target.upstream, target.base_url


def destinations_of(
    targets: Iterable[Target], paths: Iterable[str], secret_of: Callable[[str], str]
) -> Generator[None, None, tuple[dict[Place, Destination], list[str]]]:
    """({place: destination}, what is wrong with those that are left out), one with each step.

    secret_of: raises BadInput for no key.
    """
    paths = tuple(paths)
    found: dict[Place, Destination] = {}
    faults: dict[Place, str] = {}
    for target in targets:
        place = place_of(target)
        if place in found or place in faults:
            continue
        yield
        try:
            key = secret_of(target.key) if target.key else ""
            found[place] = Destination(target.base_url, key, paths)
        except BadInput as error:
            faults[place] = f"the upstream {target.upstream} cannot be used: {error.message}"
    return found, list(faults.values())


def redact(text: str, secrets: Iterable[str]) -> str:
    """The text without the secrets."""
    for secret in secrets:
        text = text.replace(secret, "[upstream]")
    return text


def _split(base_url: str) -> tuple[Origin, str, str]:
    """(origin, authority as written, path without a slash at its end). Raises: BadInput."""
    try:
        parts = urlsplit(base_url)
        port = parts.port or _PORTS[parts.scheme]
    except (ValueError, KeyError):
        raise BadInput(f"the base_url {base_url!r} is not like https://host/v1") from None
    if not parts.hostname or parts.query or parts.username or _PRINTABLE.fullmatch(base_url) is None:
        raise BadInput(f"the base_url {base_url!r} is not like https://host/v1")
    return Origin(parts.hostname, port, parts.scheme == "https"), parts.netloc, parts.path.rstrip("/")
