"""The control process: the console and the control API on one address, read-only over the books."""

import os
import shutil
import socket
import sys
from collections.abc import Iterator, Sequence

import uvloop
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import PlainTextResponse, Response
from starlette.routing import Route

from entrepot.adapters.clocks import SystemClock
from entrepot.compose.books import open_books
from entrepot.compose.documents import renderer
from entrepot.compose.http_process import http_process
from entrepot.compose.running import missing_roles, read_running
from entrepot.compose.settings import Address, Settings, load_settings
from entrepot.compose.tokens import admin_token
from entrepot.core.errors import BadInput, EntrepotError, RouteNotFound
from entrepot.edge.console import Console
from entrepot.edge.console_pages import Part
from entrepot.edge.control_api import ControlApi, refusal
from entrepot.edge.organization_api import OrganizationApi
from entrepot.edge.sessions import Sessions

_GIB = 1 << 30
_BUSY_S = 1


def main(_: Sequence[str] = ()) -> int:
    """The exit status: 0 when told to stop, 1 with a line on stderr otherwise."""
    try:
        uvloop.run(_serve(load_settings(os.environ)))
    except EntrepotError as error:
        sys.stderr.write(f"{error.message}\n")
        return 1
    return 0


def control_app(settings: Settings) -> Starlette:
    """The application of the control process."""
    sessions, clock = Sessions(admin_token(settings)), SystemClock()
    api = ControlApi(lambda: open_books(settings), sessions, clock)
    organization = OrganizationApi(lambda: open_books(settings), sessions, clock)
    console = Console(lambda: open_books(settings), sessions, clock, lambda: list(parts(settings)), renderer(settings))
    routes = [Route("/healthz", _alive), *api.routes(), *organization.routes(), *console.routes()]

    def no_route(request: Request, _: Exception) -> Response:
        if request.url.path.startswith(("/api/", "/v1/")):
            return refusal(
                RouteNotFound(f"there is no {request.url.path}; GET /api/openapi.json describes what there is")
            )
        return console.no_page(request)

    return Starlette(routes=routes, exception_handlers={404: no_route})


def parts(settings: Settings) -> Iterator[Part]:
    """How the processes and the disk are."""
    running = read_running(settings)
    children = {name: pid for each in running for name, pid in each.children.items()}
    for name, pid in sorted(children.items()):
        yield Part(name, *((True, f"process {pid}") if _is_alive(pid) else (False, "starting again")))
    if not running:
        yield Part("entrepot serve", good=False, detail="not running as a whole")
    for role in missing_roles(running) if running else ():
        yield Part(role, good=False, detail="not running")
    free = shutil.disk_usage(settings.home).free
    enough = free >= settings.disk_free_mb_min * 10**6
    yield Part("disk", good=enough, detail=f"{free / _GIB:.1f} GiB free")


def _is_alive(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    return True


def _alive(_: Request) -> Response:
    return PlainTextResponse("ok\n")


async def _serve(settings: Settings) -> None:
    server = http_process(control_app(settings), drain_s=_BUSY_S)
    with _listening(settings.console_address) as listener:
        await server.serve(sockets=[listener])


def _listening(address: Address) -> socket.socket:
    try:
        return socket.create_server(address, family=socket.AF_INET6 if ":" in address.host else socket.AF_INET)
    except OSError as error:
        raise BadInput(
            f"{address} cannot be listened on: {error.strerror}; set ENTREPOT_CONSOLE_ADDRESS to a free address"
        ) from None


if __name__ == "__main__":
    sys.exit(main())
