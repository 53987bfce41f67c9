"""The worker process: folds the log into the books, resolves what gateways gave up, marks how far usage is complete."""

import os
import signal
import sys
import threading
from collections.abc import Mapping, Sequence

import msgspec

from entrepot.adapters.clocks import SystemClock
from entrepot.adapters.upstream_usage_http import HttpUpstreamUsage
from entrepot.compose.books import open_books, open_log_of_process
from entrepot.compose.local_models import base_urls
from entrepot.compose.settings import Settings, load_settings
from entrepot.compose.upstream_keys import upstream_keys
from entrepot.compose.usage_log import open_log_reader
from entrepot.core.errors import EntrepotError
from entrepot.workers import keep_folding


def main(_: Sequence[str] = ()) -> int:
    """The exit status: 0 when told to stop, 1 with a line on stderr otherwise."""
    stop = threading.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda *_: stop.set())
    try:
        _work(load_settings(os.environ), os.environ, stop)
    except EntrepotError as error:
        sys.stderr.write(f"{error.message}\n")
        return 1
    return 0


def _work(settings: Settings, environment: Mapping[str, str], stop: threading.Event) -> None:
    lookup = HttpUpstreamUsage(lambda upstream: base_urls(settings, upstream), upstream_keys(environment))
    with open_books(settings) as books, open_log_of_process(settings) as log:
        sys.stdout.write(msgspec.json.encode({"ready": True, "pid": os.getpid()}).decode() + "\n")
        sys.stdout.flush()
        keep_folding(books, open_log_reader(settings.home), log, lookup, SystemClock(), stop.wait)


if __name__ == "__main__":
    sys.exit(main())
