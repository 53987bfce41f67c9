"""Whether a Valkey server drops keys that are in use, by what it says of its memory."""

from typing import Final

from entrepot.adapters.valkey.client import Answer

ASKED: Final = (b"INFO", b"memory")


def evicts_by(told: Answer) -> str:
    """The policy by which a server that is full drops keys of ours, from its INFO; "" for none, or where it says none.

    All our keys expire, so a policy that spares those that do not spares none of ours.
    """
    if not isinstance(told, bytes):
        return ""
    lines = (line.partition(":") for line in told.decode("utf-8", "replace").splitlines())
    said = {name: value.strip() for name, _, value in lines}
    policy = said.get("maxmemory_policy", "")
    return "" if said.get("maxmemory", "0") == "0" or policy == "noeviction" else policy
