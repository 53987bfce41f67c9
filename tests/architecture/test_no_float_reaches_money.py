"""Money is whole pico from the world file to the invoice: where it is counted there is no float to be rounded by."""

import ast
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.support.tree import SOURCE

COUNTS_MONEY = [
    *(SOURCE / "core" / f"{name}.py" for name in ("money", "prices", "charges", "journal", "invoices", "tokens")),
    *sorted((SOURCE / "rating").rglob("*.py")),
    *sorted((SOURCE / "ledger").rglob("*.py")),
    *sorted((SOURCE / "invoicing").rglob("*.py")),
]


@pytest.mark.parametrize("path", COUNTS_MONEY, ids=lambda path: str(path.relative_to(SOURCE)))
def test_there_is_no_float(path: Path) -> None:
    assert list(floats_in(path.read_text())) == []


@pytest.mark.parametrize("code", ["x = 0.5", "x = float('1')", "x = 7 / 2", "x = 7\nx /= 2", "x: float = 1"])
def test_a_planted_float_is_noticed(code: str) -> None:
    assert list(floats_in(code)) != []


def floats_in(code: str) -> Iterator[str]:
    """Each place where a float is written or made, `line: code`."""
    for node in ast.walk(ast.parse(code)):
        literal = isinstance(node, ast.Constant) and isinstance(node.value, float)
        named = isinstance(node, ast.Name) and node.id == "float"
        divides = isinstance(node, ast.BinOp | ast.AugAssign) and isinstance(node.op, ast.Div)
        if literal or named or divides:
            yield f"{getattr(node, 'lineno', 0)}: {ast.unparse(node)}"
