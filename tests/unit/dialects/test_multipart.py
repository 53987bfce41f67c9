"""Forms: what decides is found, the model alone is replaced, and what could be read otherwise is refused."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from entrepot.core.errors import InvalidRequest
from entrepot.dialects.multipart import AskedForm, read_form
from tests.scripted_operations import form_of

TYPE = b"multipart/form-data; boundary=cut"


def form(*parts: tuple[str, bytes], boundary: str = "cut") -> bytes:
    body = b"".join(
        b"--%b\r\n%b\r\n\r\n%b\r\n" % (boundary.encode(), head.encode(), content) for head, content in parts
    )
    return body + b"--%b--\r\n" % boundary.encode()


def field(name: str) -> str:
    return f'Content-Disposition: form-data; name="{name}"'


FILE = 'Content-Disposition: form-data; name="file"; filename="a.wav"\r\nContent-Type: audio/wav'


def asked(body: bytes, media_type: bytes = TYPE) -> AskedForm:
    return read_form(body, media_type).asked(size=0, counts=())


def test_what_decides_is_found() -> None:
    read = read_form(
        form((field("model"), b"mine"), (field("n"), b"3"), (field("stream"), b"true"), (FILE, b"x")), TYPE
    )
    assert (read.text("model"), read.number("n"), read.flag("stream"), read.text("none")) == ("mine", 3, True, "")
    [part] = read.parts["file"]
    assert (read.body[part.begins : part.ends], part.is_file) == (b"x", True)


@given(st.binary(max_size=200), st.text("abc/-é", min_size=1, max_size=20), st.booleans())
def test_only_the_model_is_replaced(content: bytes, model: str, named: bool) -> None:
    parts = [(FILE, content), (field("prompt"), "wörter".encode())]
    body = form(*parts[:1], *([(field("model"), b"mine")] if named else []), *parts[1:])
    written = asked(body)
    before, after = (
        form_of(body, "multipart/form-data; boundary=cut"),
        form_of(written.write(model), written.media_type),
    )
    assert after == before | {"model": model}
    if named:
        assert written.write(model) == form(*parts[:1], (field("model"), model.encode()), *parts[1:])


def test_a_quoted_boundary() -> None:
    body = form((field("model"), b"m"), boundary="a b'c")
    assert asked(body, b'Multipart/Form-Data;boundary="a b\'c"').model == "m"


@pytest.mark.parametrize(
    "media_type",
    [
        b"",
        b"application/json",
        b"multipart/form-data",
        b"multipart/form-data; boundary=",
        b"multipart/mixed; boundary=cut",
        b"multipart/form-data; boundary=cut; charset=utf-8",
        b'multipart/form-data; boundary="c"ut"',
    ],
)
def test_what_is_no_form(media_type: bytes) -> None:
    with pytest.raises(InvalidRequest):
        read_form(form((field("model"), b"m")), media_type)


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"--cut",
        b"--cut\r\n",
        b"--cu--\r\n",
        form((field("model"), b"m"))[:-6],
        form((field("model"), b"m")) + b"more",
        b"before\r\n" + form((field("model"), b"m")),
        form((field("model"), b"m"), (field("model"), b"other")),
        form(("Content-Disposition: form-data; name=model", b"m")),
        form(("Content-Disposition: form-data; name*=utf-8''model", b"m")),
        form(('Content-Disposition: form-data; name="a"; name="model"', b"m")),
        form(('Content-Disposition: form-data; name="mo\\"del"', b"m")),
        form(('Content-Disposition: attachment; name="model"', b"m")),
        form((field("model") + "\r\n" + field("other"), b"m")),
        form((field("model") + "\r\nContent-Transfer-Encoding: base64", b"bQ==")),
        form((field("model") + "\r\n folded: x", b"m")),
        form((field("model") + "\n", b"m")),
        form(("X-Nothing: a", b"m")),
        form(('Content-Disposition: form-data; name="model"; filename="m"', b"m")),
        form((field("model"), b"\xff")),
        form((field("stream"), b"maybe"), (field("model"), b"m")),
        form(*((field(f"f{number}"), b"x") for number in range(300))),
    ],
)
def test_what_could_be_read_otherwise_is_refused(body: bytes) -> None:
    with pytest.raises(InvalidRequest):
        asked(body)


@pytest.mark.parametrize("number", [b"-1", b"1.0", b"\xd9\xa3", b"1e3", b"x", b"9" * 30])
def test_what_is_no_number(number: bytes) -> None:
    with pytest.raises(InvalidRequest):
        read_form(form((field("n"), number)), TYPE).number("n")
