"""The documents agree with the product, and `make docs` notices when they do not."""

import subprocess
import sys

import pytest

from docs import check
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
    for name in ("command entrepot serve", "setting ENTREPOT_HOME", "error code internal"):
        assert any(f"the {name} is described nowhere" in fault for fault in faults), name
    named = list(check.undescribed("`entrepot serve [--demo]`\n```\nENTREPOT_HOME=var\n```\nand `internal`"))
    assert len(named) == len(faults) - 3
