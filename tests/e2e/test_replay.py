"""A real trace, replayed through the running product: what its answers reported is what is booked, token for token."""

import json

from tests.support.product import Product
from tests.support.shared_product import PAST_USAGE
from tests.support.tree import ROOT

TRACE = ROOT / "examples" / "data" / "AzureLLMInferenceTrace_2023_conv.csv.gz"


def test_a_replayed_trace_is_answered_and_booked_token_for_token(product: Product) -> None:
    done = product.run_json(
        "replay",
        str(TRACE),
        *("--base-url", f"{product.gateway}/v1", "--key", product.keys["shop"], "--deployment", "helper", "--stream"),
        *("--limit", "4", "--speed", "1000", "--max-context", "96"),
    )
    result = done["result"]
    assert (result["sent"], result["answered"], result["failed"], result["cut"]) == (4, 4, {}, 4)
    meters = [
        record["meters"]
        for record in product.export().values()
        if record["deployment"] == "helper" and record["id"] != PAST_USAGE["id"]
    ]
    assert len(meters) == 4
    prompt = sum(one.get("input_tokens", 0) + one.get("cached_input_tokens", 0) for one in meters)
    assert prompt == result["input_tokens"]["reported"]
    assert sum(one["output_tokens"] for one in meters) == result["output_tokens"]["reported"]
    assert result["output_tokens"]["reported"] <= result["output_tokens"]["asked"] <= 4 * 24
    assert result["lateness"]["p50_ms"] <= result["lateness"]["p99_ms"] <= result["lateness"]["max_ms"]
    assert json.dumps(done["pace"]) == json.dumps(
        {"at_once_max": 256, "context_tokens": 96, "limit": 4, "scale": "1", "speed": "1000"}
    )
