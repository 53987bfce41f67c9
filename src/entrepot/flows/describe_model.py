"""What a model process says about itself and about what it served."""

import msgspec

from entrepot.ports.model_engine import ServedJournal
from entrepot.serving.model_cards import ModelCard, check_name, entry, listing
from entrepot.serving.served_usage import usage_body


class DescribeModel:
    """The model of this process and its journal. Answers are JSON bodies."""

    def __init__(self, card: ModelCard, journal: ServedJournal) -> None:
        self.model_id = card.id
        self._card = card
        self._journal = journal

    def models(self) -> bytes:
        """The list of the one model."""
        return msgspec.json.encode(listing(self._card))

    def model(self, asked: str) -> bytes:
        """The model's entry. Raises: DeploymentNotFound for another name."""
        check_name(self._card, asked)
        return msgspec.json.encode(entry(self._card))

    def usage(self, request_id: str) -> bytes:
        """What a request took. Raises: NotFound when it never came here."""
        return usage_body(request_id, self._journal.find(request_id))
