"""What counts the tokens of prompts: tokenizers are loaded while nothing is served, and never afterwards."""

from collections.abc import Callable

from entrepot.adapters.tokenizers import BundledTokenizers
from entrepot.dialects.estimates import bytes_of
from entrepot.flows.serve_inference.counting import KNOWN_MAX, SHORT_MAX, Counting

TEXT = "antidisestablishmentarianism"


def test_those_that_the_first_snapshot_needs_are_loaded_and_later_ones_are_missing() -> None:
    counting = Counting(BundledTokenizers())
    counting.follow(["cl100k_base", ""])
    assert not counting.missing
    assert counting.of("cl100k_base")(TEXT) == 6
    counting.follow(["cl100k_base", "o200k_base"])
    assert list(counting.missing) == ["o200k_base"]
    assert counting.of("cl100k_base")(TEXT) == 6
    assert counting.of("o200k_base")(TEXT) == len(TEXT)
    counting.follow(["cl100k_base"])
    assert not counting.missing


def test_a_model_whose_tokenizer_is_unknown_is_counted_by_its_bytes() -> None:
    assert Counting(BundledTokenizers()).of("") is bytes_of


def test_short_texts_are_counted_once_as_long_as_they_are_few() -> None:
    asked: list[str] = []

    class Listening(BundledTokenizers):
        def counter(self, name: str) -> Callable[[str], int] | None:
            def count(text: str) -> int:
                asked.append(text)
                return len(text)

            return count

        def load(self, name: str) -> None:
            """Nothing."""

    counting = Counting(Listening())
    counting.follow(["any"])
    count = counting.of("any")
    long = "x" * (SHORT_MAX + 1)
    assert [count(text) for text in ("user", long, "user", long)] == [4, len(long), 4, len(long)]
    assert asked == ["user", long, long]
    for number in range(2 * KNOWN_MAX):
        count(str(number))
    del asked[:]
    assert [count(text) for text in ("user", "1", str(2 * KNOWN_MAX - 1))] == [4, 1, 4]
    assert asked == [str(2 * KNOWN_MAX - 1)]
