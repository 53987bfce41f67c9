"""Fields are taken by name and type, and what nobody takes is refused."""

import pytest

from entrepot.core.errors import EntrepotError, InvalidRequest, UnsupportedValue
from entrepot.serving.fields import Fields, body_of


@pytest.mark.parametrize(
    "raw", [b"", b"{", b"[1]", b'"x"', b"null", b'{"a": \xff}', b"[" * 100_000, b'{"a": "\\ud800"}']
)
def test_a_body_that_is_no_json_object_is_refused(raw: bytes) -> None:
    with pytest.raises(InvalidRequest):
        body_of(raw)


def test_values_come_back_as_their_type_and_null_as_absent() -> None:
    fields = Fields({"t": "x", "f": True, "w": 3, "n": 2, "d": 0.5, "l": [1], "o": {"a": 1}, "z": None})
    assert (fields.text("t"), fields.flag("f"), fields.whole("w", 1, 3)) == ("x", True, 3)
    assert (fields.number("n", 0, 2), fields.number("d", 0, 2), fields.items("l")) == (2.0, 0.5, [1])
    nested = fields.nested("o")
    assert nested is not None
    assert nested.name("a") == "o.a"
    assert (fields.text("z"), fields.flag("z"), fields.nested("z"), fields.any("missing")) == (None, False, None, None)
    fields.finish()


@pytest.mark.parametrize(
    ("take", "value"),
    [
        (lambda fields: fields.text("x"), 1),
        (lambda fields: fields.flag("x"), 1),
        (lambda fields: fields.whole("x", 0, 9), True),
        (lambda fields: fields.whole("x", 0, 9), 1.0),
        (lambda fields: fields.whole("x", 0, 9), 10),
        (lambda fields: fields.number("x", 0, 2), True),
        (lambda fields: fields.number("x", 0, 2), 2.1),
        (lambda fields: fields.number("x", 0, 2), "1"),
        (lambda fields: fields.items("x"), {}),
        (lambda fields: fields.nested("x"), []),
        (lambda fields: fields.refuse_unless("x", "a", why="no."), "b"),
    ],
)
def test_a_wrong_type_or_value_is_refused_by_name(take: object, value: object) -> None:
    assert callable(take)
    with pytest.raises(EntrepotError) as refused:
        take(Fields({"x": value}, "outer"))
    assert refused.value.param == "outer.x"


def test_what_is_missing_or_left_over_is_refused() -> None:
    fields = Fields({"left": 1, "nothing": None})
    with pytest.raises(InvalidRequest, match="Missing required parameter: 'x'"):
        fields.required("x", fields.text("x"))
    with pytest.raises(UnsupportedValue, match="'left'"):
        fields.finish()
    fields.ignore("left")
    fields.finish()
