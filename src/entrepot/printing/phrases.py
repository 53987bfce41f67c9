"""The words of documents, one catalogue of the same phrases for each language, kept as data beside this file."""

from functools import cache
from importlib import resources
from typing import NamedTuple

import msgspec

from entrepot.core.errors import BadInput


class Language(NamedTuple):
    """A language that documents are printed in. tag: as in BCP 47; locale: whose numbers and dates it has, in CLDR.

    colon: what stands between a label and its value.
    """

    name: str
    tag: str
    locale: str
    colon: str = ": "


LANGUAGES = {
    "en": Language("English", "en", "en"),
    "de": Language("Deutsch", "de", "de"),
    "it": Language("italiano", "it", "it"),
    "pt": Language("português", "pt-BR", "pt"),
    "id": Language("Bahasa Indonesia", "id", "id"),
    "fr": Language("français", "fr", "fr", "\N{NO-BREAK SPACE}: "),
    "es": Language("español", "es", "es"),
    "ja": Language("日本語", "ja", "ja", "\N{FULLWIDTH COLON}"),
    "zh": Language("简体中文", "zh-Hans", "zh_Hans_CN", "\N{FULLWIDTH COLON}"),
}

_MEDIA = ("audio", "image")


class Phrases:
    """The phrases of one language, by key."""

    def __init__(self, phrases: dict[str, str]) -> None:
        self._phrases = phrases

    def __getitem__(self, key: str) -> str:
        return self._phrases[key]

    def say(self, key: str, **values: str) -> str:
        """A phrase with its places filled."""
        return self._phrases[key].format(**values)

    def meter(self, meter: str) -> str:
        """What a meter is called; of a medium's tokens, as those of the meter with the medium named."""
        medium, _, rest = meter.partition("_")
        if meter not in self._phrases and medium in _MEDIA:
            return self.say(medium, meter=self._phrases[rest])
        return self._phrases[meter]


@cache
def phrases_of(code: str, catalogue: str = "phrases") -> Phrases:
    """A catalogue in a language; statements have one of their own beside that of invoices. Raises: BadInput."""
    check_language(code)
    body = resources.files(__package__).joinpath(catalogue, f"{code}.json").read_bytes()
    return Phrases(msgspec.json.decode(body, type=dict[str, str]))


def check_language(code: str) -> None:
    """Nothing, when documents can be printed in the language. Raises: BadInput."""
    if code not in LANGUAGES:
        raise BadInput(f"documents are printed in {', '.join(LANGUAGES)}, not in {code!r}", param="language")
