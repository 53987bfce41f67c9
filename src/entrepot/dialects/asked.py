"""A request as a client wrote it: the fields that decide, found in its body, and the body for an upstream.

Fields we do not decide by are never decoded: they pass from the client's body to the upstream's as they were written.
Where JSON is read in this room, ValueError stands for msgspec's errors and for text that is not UTF-8.
"""

import msgspec

from entrepot.core.errors import InvalidRequest

Fields = dict[str, msgspec.Raw]
Known = tuple[tuple[str, int], ...]

_decode_fields = msgspec.json.Decoder(Fields).decode
_decode_text = msgspec.json.Decoder(str | None).decode
_decode_flag = msgspec.json.Decoder(bool | None).decode
_decode_number = msgspec.json.Decoder(int | None).decode
encode = msgspec.json.Encoder().encode


class Asked:
    """A request as the client wrote it, and what was read of it: what decides, and nothing else.

    known: fields that are decoded already; all_fields has every one. model: "" when it names none. wants_usage: it
    asked for usage in its stream. size: bytes of its prompt, to estimate tokens by. counts: (meter, units), what is
    known from the request alone, where that can be counted in something else than tokens. previous: the stored
    response that it goes on from.
    """

    __slots__ = ("counts", "known", "model", "previous", "size", "stream", "wants_usage")

    def __init__(
        self,
        known: Fields,
        model: str,
        stream: bool,
        wants_usage: bool,
        size: int,
        counts: Known = (),
        previous: str = "",
    ) -> None:
        self.known = known
        self.model = model
        self.stream = stream
        self.wants_usage = wants_usage
        self.size = size
        self.counts = counts
        self.previous = previous

    def write(self, model: str, project: str = "") -> bytes:
        """The body for an upstream that knows the model by this name. project: whose request it is.

        A key that the client wrote twice is sent once, so that no upstream can read another model than we did.
        """
        del project
        self.known["model"] = as_raw(model)
        return encode(self.known)

    def all_fields(self) -> Fields:
        """Every field."""
        return self.known

    @property
    def names_tier(self) -> bool:
        """Whether it says at which tier it is to be served."""
        return "service_tier" in self.known

    def at_tier(self, tier: str) -> "Asked":
        """The request, saying that it is served at this tier; one at the default tier says no more than it did."""
        if tier != "default" or self.names_tier:
            self.known["service_tier"] = as_raw(tier)
        return self

    @property
    def media_type(self) -> str:
        """What write writes, where it is not JSON."""
        return ""


def read_fields(body: bytes) -> Fields:
    """The fields of a request body that is JSON. Raises: InvalidRequest."""
    try:
        fields = _decode_fields(body)
    except msgspec.ValidationError as error:
        raise InvalidRequest(f"The request body must be a JSON object: {error}.") from None
    except ValueError as error:
        raise InvalidRequest(f"The request body is not valid JSON: {_located(error, body)}.") from None
    except RecursionError:
        raise InvalidRequest("The request body is nested too deeply.") from None
    return fields


def _located(error: ValueError, body: bytes) -> str:
    """The error's own words, which name the byte; a body that ends too early ends at its length."""
    if isinstance(error, UnicodeDecodeError):
        return "it is not UTF-8"
    said = str(error).removeprefix("JSON is malformed: ")
    return said if "(byte" in said else f"it ends too early (byte {len(body)})"


def text_of(fields: Fields, name: str) -> str:
    """A field that must be a string or null; "" without one. Raises: InvalidRequest."""
    raw = fields.get(name)
    if raw is None:
        return ""
    try:
        return _decode_text(raw) or ""
    except ValueError:
        raise InvalidRequest(f"{name} must be a string.", param=name) from None


def flag_of(fields: Fields, name: str) -> bool:
    """A field that must be true, false or null. Raises: InvalidRequest."""
    try:
        return _decode_flag(fields[name]) or False
    except ValueError:
        raise InvalidRequest(f"{name} must be true or false.", param=name) from None


def number_of(fields: Fields, name: str) -> int | None:
    """A field that must be a whole number or null. Raises: InvalidRequest."""
    raw = fields.get(name)
    if raw is None:
        return None
    try:
        number: int | None = _decode_number(raw)
    except ValueError:
        raise InvalidRequest(f"{name} must be a whole number.", param=name) from None
    return number


def as_raw(value: object) -> msgspec.Raw:
    """A value as a field."""
    return msgspec.Raw(encode(value))
