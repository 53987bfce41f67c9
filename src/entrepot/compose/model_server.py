"""One model process: `python -m entrepot.compose.model_server --model smollm2-135m --home DIR`.

It prepares the model's files if need be, loads the model, writes one line on stdout when it serves:
`{"ready":true,"model":…,"port":…,"pid":…}`, and serves OpenAI's routes on loopback until it is told to end. SIGTERM or
SIGINT: no new connections, open answers are finished, for `--drain` seconds at most. It also ends when its parent does.
"""

import argparse
import asyncio
import os
import signal
import socket
import sys
import threading
import time
import uuid
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path

import uvloop

from entrepot.adapters.clocks import SystemClock
from entrepot.adapters.model_files import find_minilm, prepare_smollm2
from entrepot.adapters.served_journal import ServedJournalFile
from entrepot.compose.http_process import http_process
from entrepot.compose.processes import say_ready
from entrepot.core.errors import BadInput, EntrepotError
from entrepot.edge.model_api import Operation, model_app
from entrepot.flows.describe_model import DescribeModel
from entrepot.flows.serve_embeddings import ServeEmbeddings
from entrepot.flows.serve_text import ServeText
from entrepot.serving.model_cards import CARDS, ModelCard

PARENT_LOOK_S = 0.5

# A client that keeps connections open must let go of them before this; else it may meet the close while it sends.
IDLE_CONNECTION_S = 600

# Waiting threads of llama.cpp must sleep, not spin: spinning, two threads on two busy cores were slower than one.
_RUNTIME_ENVIRONMENT = {"OMP_WAIT_POLICY": "passive", "GOMP_SPINCOUNT": "0", "TOKENIZERS_PARALLELISM": "false"}


@dataclass(frozen=True, slots=True)
class Options:
    """How a model process is to run. port 0: any free one. slots: texts written at once. threads: of each batch."""

    model: str
    home: Path
    models: Path
    host: str
    port: int
    slots: int
    context_tokens: int
    threads: int
    drain_s: int


def main(arguments: list[str] | None = None) -> int:
    """Runs a model process to its end: 0 after a drain, 1 with a line on stderr when it cannot serve."""
    options = _options(arguments)
    _watch_parent(os.getppid(), lambda: os.kill(os.getpid(), signal.SIGTERM), options.drain_s)
    try:
        with _model(options) as parts, asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
            runner.run(_serve(options, *parts))
    except EntrepotError as error:
        print(f"model {options.model}: {error.message}", file=sys.stderr)
        return 1
    return 0


@contextmanager
def _model(options: Options) -> Iterator[tuple[Mapping[str, Operation], DescribeModel]]:
    """The loaded model's operations; it is unloaded after."""
    card = replace(CARDS[options.model], context_tokens=options.context_tokens)
    journal = ServedJournalFile(options.home / "models" / f"{card.id}.served.jsonl")
    try:
        open_model = _open_text if card.kind == "text" else _open_embedding
        operations, close = open_model(options, card, journal)
        try:
            yield operations, DescribeModel(card, journal)
        finally:
            close()
    finally:
        journal.shut()


def _open_text(
    options: Options, card: ModelCard, journal: ServedJournalFile
) -> tuple[Mapping[str, Operation], Callable[[], None]]:
    files = prepare_smollm2(options.models, lambda what: print(what, file=sys.stderr, flush=True))
    os.environ.update(_RUNTIME_ENVIRONMENT)
    from entrepot.adapters.llama_cpp_engine import LlamaCppEngine

    engine = LlamaCppEngine(
        files.model,
        files.vocabulary,
        slots=options.slots,
        context_tokens=options.context_tokens,
        threads=options.threads,
    )
    service = ServeText(card, engine, journal, SystemClock())
    return {"/v1/chat/completions": service.chat, "/v1/completions": service.complete}, engine.close


def _open_embedding(
    options: Options, card: ModelCard, journal: ServedJournalFile
) -> tuple[Mapping[str, Operation], Callable[[], None]]:
    os.environ.update(_RUNTIME_ENVIRONMENT)
    from entrepot.adapters.onnx_embedder import OnnxEmbedder

    engine = OnnxEmbedder(find_minilm(), threads=options.threads)
    return {"/v1/embeddings": ServeEmbeddings(card, engine, journal).embed}, engine.close


async def _serve(options: Options, operations: Mapping[str, Operation], describe: DescribeModel) -> None:
    app = model_app(operations, describe, lambda: uuid.uuid4().hex)
    server = http_process(app, drain_s=options.drain_s, keep_alive_s=IDLE_CONNECTION_S)
    with _listening(options) as listener:
        server.on_ready = lambda: say_ready(model=options.model, port=listener.getsockname()[1])
        await server.serve(sockets=[listener])


def _listening(options: Options) -> socket.socket:
    try:
        return socket.create_server((options.host, options.port), backlog=512)
    except OSError as error:
        raise BadInput(
            f"{options.host}:{options.port} cannot be listened on: {error.strerror}. Choose another --port."
        ) from error


def _watch_parent(parent: int, end: Callable[[], None], drain_s: int) -> None:
    """Ends this process after its parent. It looks, for a death signal comes already when the parent's thread ends."""

    def watch() -> None:
        while os.getppid() == parent:
            time.sleep(PARENT_LOOK_S)
        end()
        time.sleep(drain_s + 1)
        os._exit(1)

    threading.Thread(target=watch, name="parent", daemon=True).start()


def _options(arguments: list[str] | None) -> Options:
    parser = argparse.ArgumentParser(
        prog="python -m entrepot.compose.model_server", description="Serves one local model."
    )
    parser.add_argument("--model", required=True, choices=sorted(CARDS))
    parser.add_argument(
        "--home", required=True, type=Path, help="data directory; what was served is kept in HOME/models"
    )
    parser.add_argument("--models", type=Path, help="where prepared model files are (default: HOME/models)")
    parser.add_argument("--host", default="127.0.0.1")
    parser.add_argument("--port", type=int, default=0, help="0 takes any free one, which the ready line tells")
    parser.add_argument("--slots", type=_at_least_one, default=4, help="texts written at once; others wait")
    parser.add_argument("--context", type=_at_least_one, help="tokens of prompt and answer (default: the model's)")
    parser.add_argument("--threads", type=_at_least_one, default=max(1, (os.cpu_count() or 1) // 2))
    parser.add_argument("--drain", type=int, default=30, help="seconds to finish open answers when told to end")
    given = parser.parse_args(arguments)
    return Options(
        model=given.model,
        home=given.home,
        models=given.models or given.home / "models",
        host=given.host,
        port=given.port,
        slots=given.slots,
        context_tokens=given.context or CARDS[given.model].context_tokens,
        threads=given.threads,
        drain_s=given.drain,
    )


def _at_least_one(text: str) -> int:
    value = int(text)
    if value < 1:
        raise ValueError
    return value


if __name__ == "__main__":
    sys.exit(main())
