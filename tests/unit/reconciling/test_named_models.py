"""What a partner charges for is named by our models, whose ids may have slashes."""

import pytest

from entrepot.core.partner_usage import PartnerCharges, ReportedRow, charged_for
from entrepot.core.periods import DAY, parse_instant
from entrepot.reconciling.compare import Comparison, Unmapped
from entrepot.reconciling.our_counts import OurCounts
from tests.support.billing import usage
from tests.support.worlds import SMALL, changed, faults_of

MARCH = parse_instant("2024-03-01")


@pytest.mark.parametrize(
    ("declared", "model", "meter"),
    [
        ("gpt-4", "gpt-4", ""),
        ("gpt-4/input_tokens", "gpt-4", "input_tokens"),
        ("meta/llama", "meta/llama", ""),
        ("meta/llama/output_tokens", "meta/llama", "output_tokens"),
    ],
)
def test_a_model_with_or_without_a_meter(declared: str, model: str, meter: str) -> None:
    assert charged_for(declared) == (model, meter)


@pytest.mark.parametrize("items", [{}, {"llama": "meta/llama"}, {"llama": "meta/llama/input_tokens"}])
def test_a_model_with_a_slash_is_held_against_its_own_counts(items: dict[str, str]) -> None:
    ours = OurCounts("end", [MARCH, MARCH + DAY], ["east"], 0, by_key=False)
    ours.add_event(usage("1", MARCH, model="meta/llama", upstream="east", meters={"input_tokens": 7}), "default")
    charges, told = PartnerCharges(upstreams={"key": "east"}, items=items), {"usage": [True], "cost": [False]}
    names = {"meta/llama": "meta/llama", "llama": "meta/llama"}
    comparison = Comparison(charges, ["2024-03-01"], told, names, lambda *_: 1)  # type: ignore[arg-type]
    comparison.add(ReportedRow(MARCH, "", "", "llama", "input_tokens", quantity="7"), 0, by_key=False)
    assert (comparison.findings(ours), comparison.unmapped()) == ([], [])


@pytest.mark.parametrize(("item", "meter"), [("llama", "input_tokens"), ("m", "")])
def test_what_nothing_of_ours_is_declared_for_is_told_by_its_name(item: str, meter: str) -> None:
    """A model that is not ours, and units of one of ours that are of no meter."""
    told = {"usage": [True], "cost": [False]}
    comparison = Comparison(PartnerCharges(), ["2024-03-01"], told, {"m": "m"}, lambda *_: 1)  # type: ignore[arg-type]
    comparison.add(ReportedRow(MARCH, "", "", item, meter, quantity="7", cost="2"), 0, by_key=False)
    assert comparison.unmapped() == [Unmapped("", item, meter, "7", "2")]
    assert comparison.findings(OurCounts("end", [MARCH, MARCH + DAY], [], 0, by_key=False)) == []


def test_what_is_no_meter_and_what_is_no_model() -> None:
    def faults(name: str) -> list[str]:
        charged = f"  - {{id: openai, name: OpenAI, charges: {{items: {{x: {name}}}}}}}"
        return faults_of(changed("  - {id: openai, name: OpenAI}", charged, SMALL))

    assert "items: 'inputs' is not a meter; write a model, or model/meter" in faults("gpt-4/inputs")[0]
    assert "model 'meta/llama' is not declared" in faults("meta/llama")[0]
