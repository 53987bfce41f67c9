"""One child process that is kept running: started, heard, restarted when it ends by itself, stopped when told."""

import asyncio
import contextlib
import os
import signal
import sys
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field

import msgspec

_PAUSE_S_MIN = 0.1
_PAUSE_S_MAX = 10.0
_STEADY_S = 30.0  # Who ran this long before it ended has not failed at its start.
_LAST_LINES = 5
_MINOR = ("INFO ", "DEBUG ")  # How lines begin that nobody at a terminal has to read.
_LINE_BYTES_MAX = 1 << 20

_said = msgspec.json.Decoder(dict[str, object])

Say = Callable[[str], None]


@dataclass(frozen=True, slots=True)
class Role:
    """What a child is. name: how it is shown; role: its entry in compose.child.ROLES; descriptors: what it inherits."""

    name: str
    role: str
    arguments: tuple[str, ...] = ()
    environment: Mapping[str, str] = field(default_factory=dict)
    descriptors: tuple[int, ...] = ()


class ChildProcess:
    """A child that is started again, after growing pauses, whenever it ends without having been told to.

    A child says that it serves with one JSON object a line on stdout, {"ready": true, …}; on_ready is called with it
    each time. {"outgrown": true} says that another process should take its place; on_outgrown is called then. What it
    says on stderr is for the operator and is passed on.
    """

    def __init__(
        self,
        role: Role,
        *,
        say: Say,
        on_ready: Callable[[Mapping[str, object]], None] | None = None,
        on_outgrown: Callable[[], None] | None = None,
    ) -> None:
        self.role = role
        self.is_outgrown = False
        self.ready = asyncio.Event()
        self.failed = asyncio.Event()  # Ended before it was ever ready.
        self.how_ended = ""
        self.last_words: list[str] = []
        self.starts = 0
        self._say = say
        self._on_ready = on_ready
        self._on_outgrown = on_outgrown
        self._process: asyncio.subprocess.Process | None = None
        self._stopping = False
        self._task = asyncio.create_task(self._keep(), name=role.name)

    @property
    def pid(self) -> int | None:
        """The process id while it runs."""
        return self._process.pid if self._process is not None and self._process.returncode is None else None

    async def stop(self, within_s: float, number: signal.Signals = signal.SIGTERM) -> None:
        """Tells it to stop, waits, and kills it when it takes longer. May be called again, for less patience."""
        self._stopping = True
        self._signal(number)
        if self._process is None or self._process.returncode is not None:
            self._task.cancel()  # It waits to be started again.
        try:
            await asyncio.wait_for(asyncio.shield(self._task), within_s)
        except TimeoutError:
            self._say(f"{self.role.name} took longer than {within_s:g} s to stop and was killed")
            self.kill()
            await asyncio.wait([self._task])
        except asyncio.CancelledError:
            if not self._task.cancelled():
                raise

    def kill(self) -> None:
        """Ends it at once."""
        self._stopping = True
        self._signal(signal.SIGKILL)

    async def _keep(self) -> None:
        clock = asyncio.get_running_loop().time
        pause_s = _PAUSE_S_MIN
        while True:
            began = clock()
            status = await self._run()
            was_ready = self.ready.is_set()
            self.ready.clear()
            self.is_outgrown = False
            if self._stopping:
                return
            self.how_ended = _how(status)
            if not was_ready and self.starts == 1:
                self.failed.set()
            pause_s = _PAUSE_S_MIN if clock() - began > _STEADY_S else pause_s
            self._say(f"{self.role.name} ended ({self.how_ended}); starting it again in {pause_s:g} s")
            await asyncio.sleep(pause_s)
            pause_s = min(pause_s * 2, _PAUSE_S_MAX)

    async def _run(self) -> int:
        self._process = await asyncio.create_subprocess_exec(
            *(sys.executable, "-m", "entrepot.compose.child", str(os.getpid()), self.role.role),
            *self.role.arguments,
            stdin=asyncio.subprocess.DEVNULL,
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.PIPE,
            env={**os.environ, **self.role.environment},
            limit=_LINE_BYTES_MAX,
            pass_fds=self.role.descriptors,
            start_new_session=True,  # Ctrl-C reaches the supervisor alone, which stops its children in order.
        )
        self.starts += 1
        assert self._process.stdout is not None
        assert self._process.stderr is not None
        if self._stopping:
            self._signal(signal.SIGTERM)
        await asyncio.gather(
            self._listen(self._process.stdout, self._hear), self._listen(self._process.stderr, self._relay)
        )
        return await self._process.wait()

    async def _listen(self, stream: asyncio.StreamReader, heard: Callable[[str], None]) -> None:
        while True:
            try:
                line = await stream.readline()
            except ValueError:  # Longer than any line we know; the reader has dropped it.
                continue
            if not line:
                return
            heard(line.decode(errors="replace").rstrip())

    def _hear(self, line: str) -> None:
        try:
            said = _said.decode(line)
        except msgspec.DecodeError:
            return  # Something a library printed.
        if said.get("ready") is True and not self.ready.is_set():
            if self._on_ready is not None:
                self._on_ready(said)
            self.ready.set()
        elif said.get("outgrown") is True and self._on_outgrown is not None:
            self.is_outgrown = True
            self._on_outgrown()

    def _relay(self, line: str) -> None:
        if line and not line.startswith(_MINOR):
            self.last_words = [*self.last_words[-_LAST_LINES + 1 :], line]
            self._say(f"{self.role.name} | {line}")

    def _signal(self, number: signal.Signals) -> None:
        if self._process is not None and self._process.returncode is None:
            with contextlib.suppress(ProcessLookupError):
                self._process.send_signal(number)


async def first_ready(children: Sequence[ChildProcess], within_s: float) -> ChildProcess | None:
    """None when all children are ready; else the first that ended before it was, or that took too long."""
    if not children:
        return None
    waiting = {asyncio.create_task(_outcome(child)) for child in children}
    failed: ChildProcess | None = None
    done, pending = await asyncio.wait(waiting, timeout=within_s)
    for task in pending:
        task.cancel()
    for task in done:
        failed = failed or task.result()
    if failed is None and pending:
        failed = next(child for child in children if not child.ready.is_set())
    return failed


async def _outcome(child: ChildProcess) -> ChildProcess | None:
    ready, failed = (asyncio.create_task(event.wait()) for event in (child.ready, child.failed))
    try:
        await asyncio.wait({ready, failed}, return_when=asyncio.FIRST_COMPLETED)
    finally:
        ready.cancel()
        failed.cancel()
    return None if child.ready.is_set() else child


def say_ready(**facts: object) -> None:
    """Tells the supervisor, from within a child, that it serves."""
    _tell({"ready": True, **facts, "pid": os.getpid()})


def say_outgrown() -> None:
    """Tells the supervisor, from within a child, that another process should take its place."""
    _tell({"outgrown": True})


def _tell(line: Mapping[str, object]) -> None:
    print(msgspec.json.encode(line).decode(), flush=True)


def _how(status: int) -> str:
    if status >= 0:
        return f"status {status}"
    try:
        name = signal.Signals(-status).name
    except ValueError:
        return f"signal {-status}"
    return f"{name}, as the system sends when memory runs out" if name == "SIGKILL" else name
