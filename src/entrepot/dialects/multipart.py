"""Forms with files (multipart/form-data): the few fields that decide, found in the bytes, and the model replaced there.

Nothing else is touched, so what goes to the upstream is what the client sent, to the byte. Read strictly: whatever
another reader could take for another form is refused. Source: RFC 7578, RFC 2046 section 5.1.
"""

import re
from collections.abc import Mapping
from typing import NamedTuple

from entrepot.core.errors import InvalidRequest
from entrepot.dialects.asked import Asked, Known

_PARTS_MAX = 256
_HEAD_BYTES_MAX = 8 * 1024
_FORM = re.compile(
    rb'multipart/form-data[ \t]*;[ \t]*boundary=(?:"([0-9A-Za-z\'()+_,\-./:=? ]{0,69}[0-9A-Za-z\'()+_,\-./:=?])"'
    rb"|([0-9A-Za-z'+_\-.]{1,70}))[ \t]*",
    re.IGNORECASE,
)
_DISPOSITION = re.compile(rb'form-data((?:[ \t]*;[ \t]*[a-z]+="(?:[^"\\\r\n]|\\[^\r\n])*")+)[ \t]*', re.IGNORECASE)
_PARAMETER = re.compile(rb'([a-z]+)="((?:[^"\\\r\n]|\\[^\r\n])*)"', re.IGNORECASE)
_NAME = re.compile(rb"[a-z0-9-]+")
_PLAIN = frozenset({b"", b"binary", b"8bit", b"7bit"})


class Part(NamedTuple):
    """Where the content of a part stands in a body."""

    begins: int
    ends: int
    is_file: bool


class AskedForm(Asked):
    """A request that is a form. place: of the model's name in the body, empty before the first part without one."""

    __slots__ = ("body", "boundary", "place")

    def __init__(
        self, model: str, stream: bool, size: int, counts: Known, body: bytes, boundary: bytes, place: tuple[int, int]
    ) -> None:
        super().__init__({}, model, stream, stream, size, counts)
        self.body = body
        self.boundary = boundary
        self.place = place

    def write(self, model: str, project: str = "") -> bytes:
        """The client's form with the upstream's name of the model."""
        del project
        begins, ends = self.place
        name = model.encode()
        if not ends:
            name = b'--%b\r\nContent-Disposition: form-data; name="model"\r\n\r\n%b\r\n' % (self.boundary, name)
        return b"".join((memoryview(self.body)[:begins], name, memoryview(self.body)[ends:]))

    def at_tier(self, tier: str) -> "AskedForm":
        """See Asked; forms have no field for it."""
        del tier
        return self

    @property
    def media_type(self) -> str:
        """The form's, with its boundary."""
        return f'multipart/form-data; boundary="{self.boundary.decode()}"'


class Form(NamedTuple):
    """A form as read. parts: by name, in their order."""

    body: bytes
    boundary: bytes
    parts: Mapping[str, list[Part]]

    def text(self, name: str) -> str:
        """The content of a field that may be there once; "" without one. Raises: InvalidRequest."""
        part = self.one(name)
        if part is None:
            return ""
        try:
            return self.body[part.begins : part.ends].decode()
        except UnicodeDecodeError:
            raise InvalidRequest(f"{name} must be text.", param=name) from None

    def one(self, name: str) -> Part | None:
        """The only field of this name. Raises: InvalidRequest, where there are several or it is a file."""
        parts = self.parts.get(name)
        if not parts:
            return None
        if len(parts) > 1 or parts[0].is_file:
            raise InvalidRequest(f"{name} must be one field of the form, and no file.", param=name)
        return parts[0]

    def flag(self, name: str) -> bool:
        """A field that is true or false. Raises: InvalidRequest."""
        text = self.text(name).lower()
        if text not in {"", "true", "false"}:
            raise InvalidRequest(f"{name} must be true or false.", param=name)
        return text == "true"

    def number(self, name: str) -> int | None:
        """A field that is a whole number. Raises: InvalidRequest."""
        text = self.text(name)
        if not text:
            return None
        if not re.fullmatch(r"[0-9]{1,9}", text, re.ASCII):
            raise InvalidRequest(f"{name} must be a whole number.", param=name)
        return int(text)

    def asked(self, *, size: int, counts: Known) -> AskedForm:
        """The form as a request."""
        model = self.one("model")
        place = (model.begins, model.ends) if model else (0, 0)
        return AskedForm(self.text("model"), self.flag("stream"), size, counts, self.body, self.boundary, place)


def read_form(body: bytes, media_type: bytes) -> Form:
    """The form in a body. Raises: InvalidRequest."""
    declared = _FORM.fullmatch(media_type)
    if declared is None:
        raise InvalidRequest("The request body must be a form: Content-Type: multipart/form-data; boundary=….")
    boundary: bytes = declared[1] or declared[2]
    delimiter = b"\r\n--" + boundary
    if not body.startswith(delimiter[2:]):
        raise InvalidRequest("The form must begin with its boundary.")
    parts: dict[str, list[Part]] = {}
    at = len(delimiter) - 2
    for _ in range(_PARTS_MAX):
        if body[at : at + 2] == b"--":
            if body[at + 2 :] not in {b"", b"\r\n"}:
                raise InvalidRequest("Something follows the form's last boundary.")
            return Form(body, boundary, parts)
        name, part = _read_part(body, at, delimiter)
        parts.setdefault(name, []).append(part)
        at = part.ends + len(delimiter)
    raise InvalidRequest(f"The form has more than {_PARTS_MAX} parts.")


def _read_part(body: bytes, at: int, delimiter: bytes) -> tuple[str, Part]:
    """The name and the place of the part whose boundary ends at the offset."""
    head_ends = body.find(b"\r\n\r\n", at, at + _HEAD_BYTES_MAX)
    ends = body.find(delimiter, head_ends + 4) if head_ends >= 0 else -1
    if body[at : at + 2] != b"\r\n" or ends < 0:
        raise InvalidRequest("The form is broken: a part has no head, or no end.")
    name, is_file = _read_head(body[at + 2 : head_ends])
    return name, Part(head_ends + 4, ends, is_file)


def _read_head(head: bytes) -> tuple[str, bool]:
    """(name, whether it is a file). Raises: InvalidRequest."""
    fields: dict[bytes, bytes] = {}
    for line in head.split(b"\r\n"):
        name, colon, value = line.partition(b":")
        name = name.lower()
        if not colon or not _NAME.fullmatch(name) or name in fields or b"\r" in line or b"\n" in line:
            raise InvalidRequest("The form is broken: the head of a part cannot be read.")
        fields[name] = value.strip()
    disposition = _DISPOSITION.fullmatch(fields.get(b"content-disposition", b""))
    given = _PARAMETER.findall(disposition[1]) if disposition else []
    parameters = {name.lower(): value for name, value in given}
    if b"name" not in parameters or len(parameters) < len(given) or b"\\" in parameters[b"name"]:
        raise InvalidRequest("The form is broken: a part has no name that can be read.")
    if fields.get(b"content-transfer-encoding", b"").lower() not in _PLAIN:
        raise InvalidRequest("The form is broken: a part is encoded.")
    return parameters[b"name"].decode("utf-8", "replace"), b"filename" in parameters
