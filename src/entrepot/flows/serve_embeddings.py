"""A request for embeddings, from its body to its answer."""

from collections.abc import AsyncIterator

from entrepot.core.errors import UpstreamUnavailable
from entrepot.ports.model_engine import EmbeddingEngine, Served, ServedJournal, ServedState
from entrepot.serving.embedding_requests import EmbeddingRequest, check_lengths, embeddings_body, read_embeddings
from entrepot.serving.model_cards import ModelCard

# Requests take turns batch by batch, so each waits longer with every other.
REQUESTS_MAX = 64


class EmbeddingExchange:
    """One request being answered. Its parts are to be read to the end, abandoned or not: only then is it kept."""

    streamed = False

    def __init__(self, service: "ServeEmbeddings", request_id: str, request: EmbeddingRequest) -> None:
        self.request_id = request_id
        self._service = service
        self._request = request
        self._abandoned = False

    async def parts(self) -> AsyncIterator[bytes]:
        """The answer, whole; nothing when it was abandoned. Raises: EntrepotError when the runtime failed."""
        vectors: list[bytes] = []
        tokens = 0
        state: ServedState = "cancelled"
        try:
            async for batch in self._service.engine.embed(self._request.texts):
                vectors.extend(item.vector for item in batch)
                tokens += sum(item.tokens for item in batch)
                self._service.journal.note(self.request_id, Served("running", tokens))
                if self._abandoned:
                    break
            else:
                state = "finished"
        finally:
            self._service.end(self.request_id, Served(state, tokens))
        if state == "finished":
            yield embeddings_body(self._request, vectors, self._service.card, tokens)

    def abandon(self) -> None:
        """Stops the work after the batch at hand: nobody waits for the answer any more."""
        self._abandoned = True


class ServeEmbeddings:
    """The embedding model of this process."""

    def __init__(self, card: ModelCard, engine: EmbeddingEngine, journal: ServedJournal) -> None:
        self.card = card
        self.engine = engine
        self.journal = journal
        self._open = 0

    async def embed(self, raw: bytes, request_id: str) -> EmbeddingExchange:
        """The exchange for a body of `POST /v1/embeddings`. Raises: EntrepotError, nothing begun."""
        request = read_embeddings(raw, self.card)
        if self._open >= REQUESTS_MAX:
            raise UpstreamUnavailable(f"The model is busy: {self._open} requests are under way.", retry_after_s=1)
        self._open += 1
        try:
            check_lengths(await self.engine.token_counts(request.texts), self.card)
            self.journal.begin(request_id)
        except BaseException:
            self._open -= 1
            raise
        return EmbeddingExchange(self, request_id, request)

    def end(self, request_id: str, served: Served) -> None:
        """Keeps what a request took."""
        self._open -= 1
        self.journal.close(request_id, served)
