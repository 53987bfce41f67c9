"""A client's request for a WebSocket: what it must say, who asks, how it is accepted. Source: RFC 6455, section 4."""

import re

from entrepot.core.errors import InvalidRequest
from entrepot.core.identifiers import Credential
from entrepot.dialects import realtime
from entrepot.edge.http_requests import RequestHead

VERSION = b"13"
# In the words of RFC 9110, section 15.5.22: what to ask for instead.
UPGRADE_FIELDS = "Upgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Version: 13\r\n"

_KEY = re.compile(rb"[A-Za-z0-9+/]{22}==")
_PROTOCOLS = re.compile(rb"[!#$%&'*+\-.^_`|~0-9A-Za-z, \t]{0,2000}")
_BETA = re.compile(rb"[!-~ ]{1,200}")


def asks_for_websocket(head: RequestHead) -> bool:
    """Whether a request is one for a WebSocket of the version we know."""
    return (
        head.takes_chunks
        and head.field(b"upgrade").lower() == b"websocket"
        and b"upgrade" in head.words(b"connection")
        and head.field(b"sec-websocket-version") == VERSION
    )


def key_of(head: RequestHead) -> bytes:
    """The key that the answer is made from. Raises: InvalidRequest."""
    key = head.field(b"sec-websocket-key")
    if _KEY.fullmatch(key) is None:
        raise InvalidRequest("Sec-WebSocket-Key must be 16 bytes in base64.")
    return key


def caller_of(head: RequestHead) -> tuple[Credential, bytes]:
    """(who asks, the protocols that are offered). A browser's key is among these, and goes no further.

    Raises: InvalidRequest.
    """
    offered = head.field(b"sec-websocket-protocol")
    if _PROTOCOLS.fullmatch(offered) is None:
        raise InvalidRequest("Sec-WebSocket-Protocol holds something that is not a protocol's name.")
    key, protocols = realtime.split_protocols(offered)
    return (head.credential if head.credential.text else Credential(key)), protocols


def fields_passed_on(head: RequestHead) -> bytes:
    """The header lines of a client that an upstream needs: which form of the events it speaks."""
    beta = head.field(b"openai-beta")
    return b"OpenAI-Beta: %b\r\n" % beta if beta and _BETA.fullmatch(beta) else b""


def accepting_head(accept: bytes, protocol: bytes, fields: str) -> bytes:
    """The head after which the client's connection is a WebSocket. fields: of every answer."""
    chosen = f"Sec-WebSocket-Protocol: {protocol.decode('latin-1')}\r\n" if protocol else ""
    return (
        "HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
        f"Sec-WebSocket-Accept: {accept.decode('latin-1')}\r\n{chosen}{fields}\r\n"
    ).encode("latin-1")
