"""Each expected failure has a code of its own and is mapped to a status and its bodies exactly once."""

from collections.abc import Iterator

import pytest

from entrepot.core import errors
from entrepot.core.errors import EntrepotError
from entrepot.edge.error_bodies import SHAPES, azure_error, openai_error


def family(error: type[EntrepotError]) -> Iterator[type[EntrepotError]]:
    yield error
    for child in error.__subclasses__():
        yield from family(child)


FAMILY = [error for error in family(EntrepotError) if error.__module__ == errors.__name__]


def test_each_has_a_code_of_its_own() -> None:
    codes = [error.code for error in FAMILY]
    assert sorted(set(codes)) == sorted(codes)


@pytest.mark.parametrize("error", FAMILY, ids=lambda error: error.__name__)
def test_each_says_what_it_is(error: type[EntrepotError]) -> None:
    assert error.__doc__
    assert error.code.replace("_", "").isalpha()
    assert error.code.islower()


@pytest.mark.parametrize("error", FAMILY, ids=lambda error: error.__name__)
def test_each_is_mapped_to_a_status_and_its_bodies(error: type[EntrepotError]) -> None:
    shape = SHAPES[error]
    assert 400 <= shape.status < 600
    assert shape.code
    assert shape.azure_code
    failure = error("Say what to do.", param="model")
    for answer in (openai_error(failure), azure_error(failure)):
        assert b"Say what to do." in answer.body


def test_nothing_else_is_mapped() -> None:
    assert set(SHAPES) == set(FAMILY)
