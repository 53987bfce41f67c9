"""A name that nothing uses is found; a name that somebody else uses is left alone."""

from pathlib import Path

from tests.architecture.dead_code import unused_in

MODULE = """
import asyncio

class Line:
    amount: str
    unread = 1

    def shown(self) -> str:
        return self.amount

    def forgotten(self) -> None:
        self.kept = 1

class Wire(asyncio.Protocol):
    def data_received(self, data: bytes) -> None:
        data.hex()

def used(line: "Line", loop: object) -> str:
    loop.slow_callback_duration = 1
    return line.shown()

def dead() -> None:
    used(Line(), Wire())
"""


def test_what_nothing_uses_is_found(tmp_path: Path) -> None:
    (tmp_path / "src").mkdir()
    (tmp_path / "src" / "module.py").write_text(MODULE)
    found = {line.partition(": ")[2] for line in unused_in(("src",), tmp_path)}
    assert found == {
        "unused variable 'unread'",
        "unused method 'forgotten'",
        "unused attribute 'kept'",
        "unused function 'dead'",
    }


def test_what_a_test_uses_is_alive_only_among_tests(tmp_path: Path) -> None:
    (tmp_path / "src").mkdir()
    (tmp_path / "tests").mkdir()
    (tmp_path / "src" / "module.py").write_text("def answer() -> int:\n    return 42\n")
    (tmp_path / "tests" / "test_module.py").write_text("from module import answer\n\nassert answer() == 42\n")
    assert unused_in(("src",), tmp_path) == ["src/module.py:1: unused function 'answer'"]
    assert unused_in(("src", "tests"), tmp_path) == []
