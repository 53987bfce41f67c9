"""The documents agree with the product, and `make docs` notices when they do not."""

import subprocess
import sys

import pytest

from docs import check
from docs.examples import broken_examples, unknown_headers, wrong_defaults
from entrepot.compose.settings import DEFINITIONS
from tests.support.tree import ROOT

DOCUMENT = ROOT / "docs" / "decisions" / "0001-dependencies.md"


def test_the_documents_agree_with_the_product() -> None:
    done = subprocess.run([sys.executable, "docs/check.py"], cwd=ROOT, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr


@pytest.mark.parametrize(
    ("text", "fault"),
    [
        ("[x](missing.md)", "leads nowhere"),
        ("[x](0001-dependencies.md#no-such-heading)", "names no heading"),
        ("![x](missing.png)", "leads nowhere"),
        ("[x](../../../outside.md)", "leads nowhere"),
        ("[x](../../.venv/pyvenv.cfg)", "leads nowhere"),
    ],
)
def test_a_broken_link_is_noticed(text: str, fault: str) -> None:
    assert [fault in line for line in check.broken_links({DOCUMENT: text})] == [True]


@pytest.mark.parametrize(
    "text", ["[x](https://example.org/a)", "`[x](missing.md)`", "```\n[x](missing.md)\n```\n", "[x](#what-runs)"]
)
def test_what_is_no_link_into_the_tree_is_left_alone(text: str) -> None:
    assert list(check.broken_links({DOCUMENT: text})) == []


def test_what_no_document_names_is_noticed() -> None:
    faults = list(check.undescribed("Plain words: entrepot serve, ENTREPOT_HOME, internal."))
    for name in (
        "command entrepot serve",
        "setting ENTREPOT_HOME",
        "error code internal",
        "flag --speed of entrepot replay",
    ):
        assert any(f"the {name} is described nowhere" in fault for fault in faults), name
    named = list(check.undescribed("`entrepot serve [--demo]`\n```\nENTREPOT_HOME=var\n```\nand `internal`"))
    flags = 1  # --demo
    assert len(named) == len(faults) - 3 - flags


@pytest.mark.parametrize(
    ("text", "fault"),
    [
        ("`entrepot key make`", "there is no entrepot key make"),
        ("`entrepot usage list [--cusomer ID]`", "entrepot usage list has no --cusomer"),
        ("## entrepot replay\n\n| `--fast`, `--limit N` | quicker |\n", "entrepot replay has no --fast"),
        ("```sh\n.venv/bin/entrepot close\n```\n", "YYYY-MM"),
        ("```console\n$ entrepot capacity size --model x \\\n    --input 1\n120 units\n```\n", "are required"),
        ("```sh\nentrepot close 2024-03   # `make run` first\n```\n", "zsh takes no comments"),
        ("```sh\ncurl http://[::1]:8080/v1/models\n```\n", "zsh wants quotes"),
        ('```json\n{"error": {…}}\n```\n', "Expecting property name"),
        ("```python\nclient.chat(\n```\n", "never closed"),
        ("```yaml\ndeployments: [{id: chat, project: search, model: gpt-4, queu: 1}]\n```\n", "unknown key 'queu'"),
        ("```yaml\ndeployments: [{id: chat, project: search, model: gpt-5}]\n```\n", "gpt-5"),
    ],
)
def test_an_example_that_the_product_refuses_is_noticed(text: str, fault: str) -> None:
    world = ROOT / "docs" / "reference" / "world.md"
    assert [fault in line for line in broken_examples({world: text})] == [True]


@pytest.mark.parametrize(
    "text",
    [
        "`entrepot key create --project P`, `entrepot report …`, `entrepot ready in N.N s`",
        "## entrepot replay\n\n| `--scale X`, `--limit N` | shorter |\n",
        "```sh\nentrepot invoice show 2024-03-000001 --line 2\n```\n",
        "```text\nentrepot ready in 2.7 s\n```\n",
        "```yaml\nmodels: [{id: gpt-4, partner: maker, context_tokens: 100}]\n```\n",
    ],
)
def test_an_example_that_can_be_copied_is_left_alone(text: str) -> None:
    assert list(broken_examples({ROOT / "docs" / "reference" / "world.md": text})) == []


def test_a_default_and_a_header_that_are_not_are_noticed() -> None:
    table = "\n".join(f"| `{item.variable}` | `{item.default}` | |" for item in DEFINITIONS)
    assert list(wrong_defaults(table)) == []
    [fault] = wrong_defaults(table.replace("`20`", "`30`"))
    assert "ENTREPOT_DRAIN_SECONDS is '20'" in fault
    assert list(unknown_headers(["`x-request-id`, `x-limit-of-requests`"], "x-request-id x-limit-{name}")) == [
        "the header x-limit-of-requests is in no file of the product"
    ]
