"""Partners' usage and cost files: JSON documents (one, a list, or one a line) or CSV, plain or gzipped."""

import csv
import gzip
import hashlib
import io
from collections.abc import Mapping
from decimal import Decimal
from pathlib import Path

import msgspec

from entrepot.core.errors import BadInput
from entrepot.ports.partner_files import PartnerFile

_GZIP_MAGIC = b"\x1f\x8b"
_json = msgspec.json.Decoder(float_hook=Decimal)  # No binary float comes near money.


def read_partner_file(path: Path) -> PartnerFile:
    """The file. Raises: BadInput when it cannot be read or is neither JSON nor CSV."""
    try:
        content = path.read_bytes()
        if content.startswith(_GZIP_MAGIC):
            content = gzip.decompress(content)
    except (OSError, EOFError) as error:
        raise BadInput(f"{path} cannot be read: {getattr(error, 'strerror', None) or error}") from None
    digest = hashlib.sha256(content).hexdigest()
    try:
        text = content.decode("utf-8-sig")
    except UnicodeDecodeError:
        raise BadInput(f"{path} is not UTF-8 text") from None
    if not text.strip():
        raise BadInput(f"{path} is empty; there is nothing to import")
    if text.lstrip()[0] in "{[":
        return PartnerFile(path.name, digest, _documents(path, text), [])
    return PartnerFile(path.name, digest, [], _rows(path, text))


def _documents(path: Path, text: str) -> list[object]:
    try:
        found = _json.decode(text)
        return list(found) if isinstance(found, list) else [found]
    except msgspec.DecodeError:
        pass
    documents = []
    for number, line in enumerate(text.splitlines(), start=1):
        if line.strip():
            try:
                documents.append(_json.decode(line))
            except msgspec.DecodeError as error:
                raise BadInput(f"{path}: line {number} is not JSON: {error}") from None
    return documents


def _rows(path: Path, text: str) -> list[tuple[int, Mapping[str, str]]]:
    reader = csv.reader(io.StringIO(text, newline=""), strict=True)
    try:
        header = [name.strip() for name in next(reader)]
        rows: list[tuple[int, Mapping[str, str]]] = []
        for cells in reader:
            if cells and len(cells) != len(header):
                raise BadInput(
                    f"{path}: line {reader.line_num} has {len(cells)} cells where the header has {len(header)}"
                )
            if cells:
                rows.append((reader.line_num, dict(zip(header, cells, strict=True))))
    except csv.Error as error:
        raise BadInput(f"{path}: line {reader.line_num} is not CSV: {error}") from None
    return rows
