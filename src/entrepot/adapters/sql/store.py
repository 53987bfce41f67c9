"""What every part of the books is built on."""

from entrepot.adapters.sql.database import Database
from entrepot.adapters.sql.packing import Packer


class Store:
    """One database and one packer, shared by the parts of the books."""

    def __init__(self, database: Database) -> None:
        self._database = database
        self._packer = Packer(database)
