"""Trees of UBL: which elements are of which namespace is told by how they are added."""

from xml.etree import ElementTree as ET

_UBL = "urn:oasis:names:specification:ubl:schema:xsd"
_AGGREGATE = f"{_UBL}:CommonAggregateComponents-2"
_BASIC = f"{_UBL}:CommonBasicComponents-2"


class Node:
    """An element that has others in it."""

    __slots__ = ("_element",)

    def __init__(self, element: ET.Element) -> None:
        self._element = element

    def add(self, name: str) -> "Node":
        """A new element at the end, for others to be put in."""
        return Node(ET.SubElement(self._element, f"{{{_AGGREGATE}}}{name}"))

    def put(self, name: str, text: str, **attributes: str) -> None:
        """Puts a text at the end."""
        ET.SubElement(self._element, f"{{{_BASIC}}}{name}", attributes).text = text

    def encoded(self) -> bytes:
        """The document with this root, indented, in UTF-8."""
        ET.indent(self._element)
        body: bytes = ET.tostring(self._element, encoding="utf-8", xml_declaration=True)
        return body + b"\n"


def document(name: str) -> Node:
    """The root of an empty document."""
    namespace = f"{_UBL}:{name}-2"
    for prefix, uri in (("", namespace), ("cac", _AGGREGATE), ("cbc", _BASIC)):
        ET.register_namespace(prefix, uri)
    return Node(ET.Element(f"{{{namespace}}}{name}"))
