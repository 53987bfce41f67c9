"""The rows that could not be used, kept whole with the reason, one JSON object a line."""

from pathlib import Path
from typing import BinaryIO

import msgspec

from entrepot.core.errors import BadInput
from entrepot.ports.usage_rows import RowFault

_encode = msgspec.json.Encoder().encode


class RejectedRows:
    """A file that is made, or made anew, when the first row comes. Raises: BadInput when it cannot be written."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.count = 0
        self._file: BinaryIO | None = None

    def add(self, fault: RowFault) -> None:
        """Keeps a row."""
        try:
            self._file = self._file or self.path.open("wb")
            self._file.write(_encode(fault) + b"\n")
        except OSError as error:
            raise BadInput(
                f"rejected rows cannot be written to {self.path}: {error.strerror}; choose --rejected"
            ) from None
        self.count += 1

    def close(self) -> None:
        """Ends the file, if there is one."""
        if self._file is not None:
            self._file.close()
