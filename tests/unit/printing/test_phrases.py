"""Every language says everything, in its own words."""

import json
import re
from typing import get_args

import pytest

from entrepot.core.errors import BadInput
from entrepot.core.invoices import LineKind
from entrepot.core.tokens import METERS, TIERS
from entrepot.printing.phrases import LANGUAGES, phrases_of
from tests.support.tree import SOURCE

FOLDER = SOURCE / "printing" / "phrases"
CATALOGUES: dict[str, dict[str, str]] = {path.stem: json.loads(path.read_text()) for path in FOLDER.glob("*.json")}
OTHERS = sorted(set(LANGUAGES) - {"en"})

# What is the same word as in English.
SAME = {"iban", "bic", "audio", "image"}
ALIKE = {"fr": {"images"}}


def test_there_is_a_catalogue_for_each_language_and_no_other() -> None:
    assert set(CATALOGUES) == set(LANGUAGES)
    assert set(LANGUAGES) == {"en", "de", "it", "pt", "id", "fr", "es", "ja", "zh"}


@pytest.mark.parametrize("code", OTHERS)
def test_each_language_has_every_phrase_with_its_places(code: str) -> None:
    assert list(CATALOGUES[code]) == list(CATALOGUES["en"])
    for key, phrase in CATALOGUES["en"].items():
        places = re.findall(r"{\w+}", CATALOGUES[code][key])
        assert sorted(places) == sorted(re.findall(r"{\w+}", phrase)), key
        assert CATALOGUES[code][key].strip() == CATALOGUES[code][key] != ""


@pytest.mark.parametrize("code", OTHERS)
def test_no_phrase_is_left_in_english(code: str) -> None:
    same = {key for key, phrase in CATALOGUES[code].items() if phrase.casefold() == CATALOGUES["en"][key].casefold()}
    assert same - SAME <= ALIKE.get(code, set())


@pytest.mark.parametrize("code", ["ja", "zh"])
def test_japanese_and_chinese_are_written_in_their_scripts(code: str) -> None:
    latin = {key for key, phrase in CATALOGUES[code].items() if not re.search(r"[\u3040-\u30ff\u4e00-\u9fff]", phrase)}
    assert latin == {"iban", "bic"}


@pytest.mark.parametrize("code", sorted(LANGUAGES))
def test_whatever_an_invoice_counts_has_a_name_of_its_own(code: str) -> None:
    phrases = phrases_of(code)
    assert len({phrases.meter(meter) for meter in METERS}) == len(METERS)
    assert all(phrases[tier] for tier in TIERS if tier != "default")
    assert all(phrases[kind] for kind in get_args(LineKind))


@pytest.mark.parametrize("code", ["xx", "EN", "", "../en"])
def test_other_languages_are_refused_with_those_there_are(code: str) -> None:
    with pytest.raises(BadInput, match="en, de, it, pt, id, fr, es, ja, zh"):
        phrases_of(code)
