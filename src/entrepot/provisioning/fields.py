"""One mapping of a world file, read key by key. A wrong or missing value is noted and replaced; reading goes on.

YAML is composed into nodes and never constructed into Python values: a scalar keeps its text, so that 0.1 stays the
three characters that were written, and every node knows its line.
"""

import re
import unicodedata
from collections.abc import Collection, Mapping, Sequence
from typing import TypeVar

import yaml

from entrepot.core.periods import Instant, parse_instant
from entrepot.provisioning.faults import Fault, Place, suggestion

_WHOLE_NUMBER = re.compile(r"[0-9]{1,15}")
_UNPRINTABLE = {"Cc", "Zl", "Zp"}
_NULL = "tag:yaml.org,2002:null"
_TRUTHS = {"true": True, "false": False, "yes": True, "no": False}

_Choice = TypeVar("_Choice", bound=str)


class Fields:
    """The keys and values of one mapping.

    what: how messages name the mapping ("customer"). known: the keys it may have. refused: keys that mean something we
    do not do yet, with the sentence that says so.
    """

    __slots__ = ("_faults", "_keys", "_values", "place", "what")

    def __init__(
        self,
        node: yaml.MappingNode,
        *,
        file: str,
        what: str,
        known: Collection[str],
        refused: Mapping[str, str],
        faults: list[Fault],
    ) -> None:
        self.what = f"{what}{_id_in(node)}"
        self.place = Place(file, node.start_mark.line + 1)
        self._faults = faults
        self._keys: dict[str, Place] = {}
        self._values: dict[str, yaml.Node] = {}
        for key_node, value in node.value:
            self._keep(key_node, value, known, refused)

    def _keep(self, key_node: yaml.Node, value: yaml.Node, known: Collection[str], refused: Mapping[str, str]) -> None:
        place = Place(self.place.file, key_node.start_mark.line + 1)
        key = key_node.value if isinstance(key_node, yaml.ScalarNode) else ""
        if key in self._keys:
            self._note(place, f"{self.what} has {key} twice, first in line {self._keys[key].line}")
        elif key in refused:
            if not _is_empty(value):
                self._note(place, refused[key])
        elif key not in known:
            self._note(place, f"{self.what} has an unknown key {key!r}{suggestion(key, known)}")
        else:
            self._keys[key] = place
            self._values[key] = value

    def at(self, key: str) -> Place:
        """Where the key stands, or the mapping when it is absent."""
        return self._keys.get(key, self.place)

    def has(self, key: str) -> bool:
        """Whether the key is there."""
        return key in self._keys

    def fault(self, message: str, key: str = "") -> None:
        """Notes a fault at the key."""
        self._note(self.at(key), f"{self.what}: {message}")

    def only(self, known: Collection[str]) -> None:
        """Notes a fault for every key but these."""
        for key, place in self._keys.items():
            if key not in known:
                self._note(place, f"{self.what} has an unknown key {key!r}{suggestion(key, known)}")

    def named(self, name: str) -> None:
        """From here on messages name the mapping so, for what has no id."""
        if name:
            self.what = f"{self.what} {name}"

    def text(self, key: str, default: str | None = None) -> str:
        """The value as written, of one line, or the default; without one the key must be there. "" after a fault."""
        text = self.block(key, default)
        if any(unicodedata.category(letter) in _UNPRINTABLE for letter in text):
            self.fault(f"{key} has a character that cannot be printed", key)
            return ""
        return text

    def block(self, key: str, default: str | None = None) -> str:
        """Like text, of any number of lines."""
        node = self._values.get(key)
        if node is None:
            if default is None:
                self.fault(f"{key} is missing")
            return default or ""
        if not isinstance(node, yaml.ScalarNode):
            self.fault(f"{key} must be a single value, not {_kind(node)}", key)
            return ""
        if node.tag == _NULL or not node.value:
            self.fault(f"{key} has no value", key)
            return ""
        return str(node.value)

    def identifier(self, key: str, pattern: re.Pattern[str], default: str | None = None) -> str:
        """The value when it is an identifier of the pattern. "" after a fault."""
        text = self.text(key, default)
        if text and not pattern.fullmatch(text):
            self.fault(f"{key} {text!r} may have letters, digits and . _ - only, 128 at most, no blanks", key)
            return ""
        return text

    def integer(self, key: str, default: int | None = None, minimum: int = 0) -> int:
        """The whole number, or the default. The minimum after a fault."""
        if default is not None and not self.has(key):
            return default
        text = self.text(key)
        if text and (not _WHOLE_NUMBER.fullmatch(text) or int(text) < minimum):
            self.fault(f"{key} must be a whole number of at least {minimum}, not {text!r}", key)
            return minimum
        return int(text) if text else minimum

    def truth(self, key: str) -> bool:
        """True or false; false when absent or after a fault."""
        text = self.text(key, "false")
        if text and text.lower() not in _TRUTHS:
            self.fault(f"{key} must be true or false, not {text!r}", key)
        return _TRUTHS.get(text.lower(), False)

    def choice(self, key: str, options: Sequence[_Choice], default: _Choice | None = None) -> _Choice:
        """One of the options, or the default. The first option after a fault."""
        text = self.text(key, default)
        for option in options:
            if option == text:
                return option
        if text:
            self.fault(f"{key} {text!r} is not one of {', '.join(options)}{suggestion(text, options)}", key)
        return options[0]

    def instant(self, key: str, zone: str, default: Instant | None = None) -> Instant:
        """The time, or 00:00 in the zone of a date, or the default. 0 after a fault."""
        if default is not None and not self.has(key):
            return default
        text = self.text(key)
        try:
            return parse_instant(text, zone) if text else 0
        except (ValueError, OverflowError) as error:
            self.fault(f"{key}: {error}", key)
            return 0

    def texts(self, key: str) -> list[tuple[str, Place]]:
        """The values of a list, each with its place; the key must be there."""
        items = []
        for node in self._list(key, required=True):
            place = Place(self.place.file, node.start_mark.line + 1)
            if isinstance(node, yaml.ScalarNode) and node.tag != _NULL and node.value:
                items.append((node.value, place))
            else:
                self._note(place, f"{self.what}: {key} must list single values, not {_kind(node)}")
        return items

    def pairs(self, key: str) -> list[tuple[str, str, Place]]:
        """(name, text) with their place, of a mapping, or of a list of names, whose texts are then the names."""
        node = self._values.get(key)
        if not isinstance(node, yaml.MappingNode):
            return [(text, text, place) for text, place in self.texts(key)]
        pairs = []
        for name, value in node.value:
            place = Place(self.place.file, name.start_mark.line + 1)
            if isinstance(name, yaml.ScalarNode) and isinstance(value, yaml.ScalarNode) and name.value and value.value:
                pairs.append((name.value, value.value, place))
            else:
                self._note(place, f"{self.what}: {key} must map names to names")
        return pairs

    def rows(
        self,
        key: str,
        what: str,
        known: Collection[str],
        refused: Mapping[str, str] | None = None,
        *,
        required: bool = False,
    ) -> list["Fields"]:
        """The mappings of a list."""
        rows = []
        for node in self._list(key, required=required):
            row = self._mapping(node, what, known, refused or {})
            if row is not None:
                rows.append(row)
        return rows

    def section(self, key: str, what: str, known: Collection[str]) -> "Fields | None":
        """The mapping at the key, or None when it is absent or something else."""
        node = self._values.get(key)
        return None if node is None else self._mapping(node, what, known, {})

    def is_mapping(self, key: str) -> bool:
        """Whether keys with values stand there."""
        return isinstance(self._values.get(key), yaml.MappingNode)

    def is_list(self, key: str) -> bool:
        """Whether a list stands there."""
        return isinstance(self._values.get(key), yaml.SequenceNode)

    def _mapping(
        self, node: yaml.Node, what: str, known: Collection[str], refused: Mapping[str, str]
    ) -> "Fields | None":
        if isinstance(node, yaml.MappingNode):
            return Fields(node, file=self.place.file, what=what, known=known, refused=refused, faults=self._faults)
        place = Place(self.place.file, node.start_mark.line + 1)
        self._note(place, f"{what} must be keys with values, not {_kind(node)}")
        return None

    def _list(self, key: str, *, required: bool) -> list[yaml.Node]:
        node = self._values.get(key)
        if node is None:
            if required:
                self.fault(f"{key} is missing")
            return []
        if isinstance(node, yaml.SequenceNode):
            return list(node.value)
        if _is_empty(node) and not required:
            return []
        self.fault(f"{key} must be a list, not {_kind(node)}", key)
        return []

    def _note(self, place: Place, message: str) -> None:
        self._faults.append(Fault(place, message))


def _id_in(node: yaml.MappingNode) -> str:
    """ " x" for a mapping with id x, so that each of its faults can name it."""
    for key, value in node.value:
        if key.value == "id" and isinstance(value, yaml.ScalarNode) and value.value:
            return f" {value.value}"
    return ""


def _is_empty(node: yaml.Node) -> bool:
    """Whether the node declares nothing: no value, or an empty list."""
    return node.tag == _NULL or not node.value


def _kind(node: yaml.Node) -> str:
    if isinstance(node, yaml.MappingNode):
        return "keys with values"
    if isinstance(node, yaml.SequenceNode):
        return "a list"
    return "nothing" if _is_empty(node) else f"the single value {node.value!r}"
