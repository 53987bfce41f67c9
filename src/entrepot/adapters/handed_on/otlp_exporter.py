"""Batches to an OpenTelemetry collector. Source: OTLP 1.7, "OTLP/HTTP Request", JSON Protobuf encoding."""

import http.client
from urllib.parse import urlsplit

from entrepot.adapters.handed_on.batch_thread import WAITING_BYTES_MAX, BatchThread
from entrepot.core.errors import BadInput

_TIMEOUT_S = 5.0
_PATH = "/v1/traces"


class OtlpExporter(BatchThread):
    """Meets the port BatchSink; an item is a span. One connection, kept open; a batch is sent twice at most."""

    def __init__(self, endpoint: str, waiting_bytes_max: int = WAITING_BYTES_MAX) -> None:
        """endpoint: of the collector, to which /v1/traces is added. Raises: BadInput."""
        super().__init__("spans", self._post, waiting_bytes_max)
        parts = urlsplit(endpoint)
        if parts.scheme not in {"http", "https"} or not parts.hostname or parts.query:
            raise BadInput(f"otlp_endpoint {endpoint!r} must be like http://127.0.0.1:4318", param="otlp_endpoint")
        kind = http.client.HTTPSConnection if parts.scheme == "https" else http.client.HTTPConnection
        self._connection = kind(parts.hostname, parts.port, timeout=_TIMEOUT_S)
        self._path = parts.path.rstrip("/") + _PATH

    def _end(self) -> None:
        self._connection.close()

    def _post(self, batch: bytes) -> None:
        try:
            status = self._status_of(batch)
        except (http.client.HTTPException, ConnectionError):  # Most often the kept connection had gone stale.
            status = self._status_of(batch)
        if not 200 <= status < 300:
            raise OSError(f"the collector answered with the status {status}")

    def _status_of(self, batch: bytes) -> int:
        try:
            self._connection.request("POST", self._path, batch, {"Content-Type": "application/json"})
            answer = self._connection.getresponse()
            answer.read()
        except (http.client.HTTPException, OSError) as error:
            self._connection.close()
            if isinstance(error, OSError):
                raise
            raise OSError(f"the collector does not speak HTTP: {error!r}") from error
        return answer.status
