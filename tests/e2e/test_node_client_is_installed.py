"""The Node client that other tests drive is the locked one and loads in the Node that the test requirements bring."""

import json

from tests.support.node import NODE_TESTS, run_node


def test_the_locked_client_loads() -> None:
    wanted = json.loads((NODE_TESTS / "package.json").read_text())["dependencies"]["openai"]
    assert run_node("openai_version.mjs").strip() == wanted
