"""A model that is retired, or in preview without a grant, or has no units, answers on no route and to no caller."""

from collections.abc import Iterator
from typing import Any, get_args

import openai
import pytest

from entrepot.core.catalog import Operation
from entrepot.core.identifiers import INTERNAL_PREFIX, key_digest
from entrepot.core.log_records import Admitted
from entrepot.core.periods import END_OF_TIME
from entrepot.core.snapshot import ServedDeployment
from entrepot.core.turns import at_once
from entrepot.dialects.operations import OPERATIONS
from entrepot.edge.routes import ROUTES, Route
from tests.support.gateway import KEY, Gateway, deployment, running_gateway, snapshot, target
from tests.support.operations import client_of
from tests.support.requests import Reply, ask

TOKEN = INTERNAL_PREFIX + "of-the-tests"
EVERYTHING: tuple[Operation, ...] = get_args(Operation)
WEBSOCKET = {
    "Connection": "Upgrade",
    "Upgrade": "websocket",
    "Sec-WebSocket-Version": "13",
    "Sec-WebSocket-Key": "dGhlIHNhbXBsZSBub25jZQ==",
}
# {deployment: what it is, the code of its refusal}
UNUSABLE: dict[str, tuple[dict[str, Any], str]] = {
    "gone": ({"stage": "retired"}, "model_retired"),
    "early": ({"stage": "preview"}, "permission_denied"),
    "empty": ({"usable": ((0, 1),)}, "model_not_found"),
}
AZURE_CODES = {
    "model_retired": "ModelRetired",
    "permission_denied": "PermissionDenied",
    "model_not_found": "DeploymentNotFound",
}
ASKED = [route for route in ROUTES if route.kind in {"inference", "realtime"}]


@pytest.fixture(scope="module")
def gateway() -> Iterator[Gateway]:
    """A gateway of deployments that offer everything, of which none may be used."""
    with running_gateway(published=False) as gateway:
        published = snapshot(*(of_everything(gateway, name, **more) for name, (more, _) in UNUSABLE.items()))

        async def adopt() -> list[str]:
            return at_once(gateway.flow.adopting(published, key_digest(TOKEN)))

        assert gateway.run(adopt()) == []
        yield gateway


def of_everything(gateway: Gateway, name: str, **more: Any) -> ServedDeployment:
    tiers = {"batch": ((0, END_OF_TIME),)}
    return deployment(name, target(gateway.upstream.base_url), operations=EVERYTHING, tiers=tiers, **more)


def use(gateway: Gateway, route: Route, name: str, fields: dict[str, str]) -> Reply:
    """The answer to a request that any usable deployment would take up."""
    path = route.path.replace("{deployment}", name)
    path += "?api-version=2025-04-01-preview" if route.is_azure else ""
    if route.kind == "realtime":
        path += f"{'&deployment' if route.is_azure else '?model'}={name}"
        return ask(gateway, path=path, headers=fields | WEBSOCKET)
    if OPERATIONS[route.operation].is_form:
        parts = "".join(
            f'--b\r\nContent-Disposition: form-data; name="{key}"\r\n\r\n{value}\r\n'
            for key, value in (("model", name), ("prompt", "a"), ('image"; filename="a.png', "a"))
        )
        return ask(
            gateway,
            f"{parts}--b--\r\n".encode(),
            path=path,
            headers=fields | {"Content-Type": "multipart/form-data; boundary=b"},
        )
    more = b"" if "/responses" in route.path else b',"messages":[],"prompt":"a","query":"a","documents":["a"]'
    body = b'{"model":"%b","input":"a"%b}' % (name.encode(), more)
    return ask(gateway, body, path=path, headers=fields | {"Content-Type": "application/json"})


@pytest.mark.parametrize("name", UNUSABLE)
@pytest.mark.parametrize("route", ASKED, ids=lambda route: route.path)
def test_no_route_answers(gateway: Gateway, route: Route, name: str) -> None:
    code = UNUSABLE[name][1]
    refused = use(gateway, route, name, {"Authorization": f"Bearer {KEY}"})
    assert refused.error["code"] == (AZURE_CODES[code] if route.is_azure else code), refused.body
    assert gateway.of(Admitted) == []
    assert gateway.upstream.served == {}


@pytest.mark.parametrize("name", UNUSABLE)
@pytest.mark.parametrize(
    "route", [route for route in ASKED if route.path.startswith("/v1")], ids=lambda route: route.path
)
def test_nor_does_one_to_a_batch(gateway: Gateway, route: Route, name: str) -> None:
    fields = {"x-entrepot-project": "search", "x-entrepot-tier": "batch", "Authorization": f"Bearer {TOKEN}"}
    refused = use(gateway, route, name, fields)
    # Sessions are of nobody's batch, and take no project from anybody.
    assert refused.status >= 400 if route.kind == "realtime" else refused.error["code"] == UNUSABLE[name][1]
    assert gateway.of(Admitted) == []
    assert gateway.upstream.served == {}


@pytest.mark.parametrize("path", ["/v1/models", "/openai/v1/models", "/openai/models?api-version=2024-10-21"])
def test_no_list_has_it(gateway: Gateway, path: str) -> None:
    assert ask(gateway, path=path).json()["data"] == []
    for name in UNUSABLE:
        one = path.partition("?")
        assert ask(gateway, path=f"{one[0]}/{name}{one[1]}{one[2]}").status == 404


@pytest.mark.parametrize("more", [{"stage": "retired"}, {"stage": "preview"}])
def test_what_it_stored_is_not_told_any_more_and_can_still_be_removed(more: dict[str, Any]) -> None:
    with running_gateway(published=False) as gateway, client_of(gateway) as client:
        gateway.serve(of_everything(gateway, "gpt"))
        made = client.responses.create(model="gpt", input="hi").id
        gateway.serve(of_everything(gateway, "gpt", **more))
        for read in (client.responses.retrieve, client.responses.cancel, client.responses.input_items.list):
            with pytest.raises(openai.NotFoundError):
                list(read(made))
        client.responses.delete(made)
        gateway.serve(of_everything(gateway, "gpt"))
        with pytest.raises(openai.NotFoundError):
            client.responses.retrieve(made)


def test_what_is_named_by_leaving_it_out_is_what_can_be_used() -> None:
    with running_gateway(published=False) as gateway, client_of(gateway) as client:
        gateway.serve(of_everything(gateway, "gone", stage="retired"), of_everything(gateway, "gpt"))
        assert client.moderations.create(input="a").results
        assert gateway.admitted().deployment == "gpt"
