"""A partner's own usage or cost file, as it is read: JSON documents, or the rows of a table by column."""

from collections.abc import Mapping
from typing import NamedTuple


class PartnerFile(NamedTuple):
    """digest: SHA-256 of the file's bytes in hex. documents: JSON values, their fractions as Decimal; of a JSON file.

    rows: cells by column name, each with its line; of a CSV file. Only one of the two has something.
    """

    name: str
    digest: str
    documents: list[object]
    rows: list[tuple[int, Mapping[str, str]]]
