"""What counts the tokens of prompts: tokenizers are loaded while nothing is served, and never afterwards."""

from entrepot.adapters.tokenizers import BundledTokenizers
from entrepot.dialects.estimates import bytes_of
from entrepot.flows.serve_inference.counting import Counting

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
