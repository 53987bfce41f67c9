"""Where upstream keys are read from, and when they are read again."""

from pathlib import Path

import pytest

from entrepot.compose.upstream_keys import KEY_BYTES_MAX, KeyWatch, upstream_keys
from entrepot.core.errors import BadInput


def test_a_key_is_in_the_environment_or_in_a_file(tmp_path: Path) -> None:
    file = tmp_path / "key"
    file.write_text(" sk-of-a-file\n")
    key_at = upstream_keys({"THE_KEY": " sk-of-the-environment "})
    assert [key_at("THE_KEY"), key_at(str(file)), key_at("")] == ["sk-of-the-environment", "sk-of-a-file", ""]
    file.write_text("sk-the-next")
    assert key_at(str(file)) == "sk-the-next"


def test_a_key_that_is_not_there_is_named_by_its_place_alone(tmp_path: Path) -> None:
    empty, large = tmp_path / "empty", tmp_path / "large"
    empty.write_text("\n")
    large.write_text("x" * (KEY_BYTES_MAX + 1))
    key_at = upstream_keys({})
    for place, said in (
        ("NOT_SET", "the environment variable NOT_SET, which holds its key, is not set"),
        (str(tmp_path / "gone"), "cannot be read: No such file"),
        (str(empty), "must hold its key and nothing else"),
        (str(large), "must hold its key and nothing else"),
    ):
        with pytest.raises(BadInput, match=said):
            key_at(place)


def test_a_file_that_was_written_or_replaced_has_changed_once(tmp_path: Path) -> None:
    file, other = tmp_path / "key", tmp_path / "next"
    file.write_text("one")
    watch = KeyWatch()
    both = [str(file), str(file)]
    places = [*both, "THE_KEY"]  # Two upstreams have the same one.

    def changed() -> list[str]:
        return watch.look(lambda has_changed: [place for place in places if has_changed(place)])

    assert [changed(), changed()] == [both, []]  # It may have since it was read.
    file.write_text("longer")
    assert [changed(), changed()] == [both, []]
    other.write_text("longer")  # While the first is there: its inode, and the time of a tick, may be given again.
    file.unlink()
    assert changed() == []
    other.rename(file)
    assert [changed(), changed()] == [both, []]
    watch.distrust()
    assert [changed(), changed()] == [places, []]
