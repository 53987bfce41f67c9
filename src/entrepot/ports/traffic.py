"""Sending requests, as a client would, to whatever serves models."""

from typing import Protocol

import msgspec


class TrafficRequest(msgspec.Struct, frozen=True):
    """One request to make up and send. number: which one it is, so that the same run asks the same questions again."""

    number: int
    prompt_tokens: int
    answer_tokens: int


class TrafficAnswer(msgspec.Struct, frozen=True):
    """What came back. status: of HTTP, 0 when nothing did. error: a few words, "" for a whole answer.

    Tokens are those that the server reported, None when it reported none. Times are from sending.
    """

    status: int
    error: str = ""
    input_tokens: int | None = None
    output_tokens: int | None = None
    first_byte_us: int = 0
    elapsed_us: int = 0


class Traffic(Protocol):
    """Somebody who sends requests."""

    async def send(self, request: TrafficRequest) -> TrafficAnswer:
        """What came of the request; failures are answers too."""
        ...
