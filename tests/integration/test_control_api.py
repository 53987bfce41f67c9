"""The control API and the console over real books: who gets in, what is shown, that it is as described."""

import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from starlette.applications import Starlette
from starlette.routing import Route
from starlette.testclient import TestClient

from entrepot.cli.main import main
from entrepot.compose.control_plane import control_app
from entrepot.compose.settings import Settings, load_settings
from entrepot.compose.tokens import admin_token
from entrepot.core.invoices import Invoice
from entrepot.core.periods import DAY, format_instant, parse_instant
from entrepot.edge.console_pages import Frame, invoices_page, overview_page
from entrepot.edge.sessions import COOKIE
from entrepot.flows.show_overview import CustomerRevenue, DeploymentTokens, Overview
from entrepot.reporting.budgets import BudgetReport
from entrepot.reporting.retirements import Retirement
from tests.support.memory_log import ManualClock
from tests.support.offices import USAGE, make_month, write_world
from tests.support.worlds import SMALL, changed

INVOICE = "2024-05-000001"


@pytest.fixture(scope="module")
def settings(tmp_path_factory: pytest.TempPathFactory) -> Settings:
    return load_settings({}, {"home": str(make_month(tmp_path_factory.mktemp("control")))})


@pytest.fixture(scope="module")
def app(settings: Settings) -> Starlette:
    return control_app(settings)


@pytest.fixture
def stranger(app: Starlette) -> Iterator[TestClient]:
    with TestClient(app, follow_redirects=False) as client:
        yield client


@pytest.fixture
def admin(app: Starlette, settings: Settings) -> Iterator[TestClient]:
    headers = {"authorization": f"Bearer {admin_token(settings)}"}
    with TestClient(app, headers=headers, follow_redirects=False) as client:
        yield client


def data(client: TestClient, path: str) -> Any:
    answer = client.get(path)
    assert answer.status_code == 200, answer.text
    return answer.json()


def api_paths(app: Starlette) -> list[str]:
    return [route.path for route in app.routes if isinstance(route, Route) and route.path.startswith("/api/v1/")]


def test_strangers_see_that_it_lives_and_nothing_else(app: Starlette, stranger: TestClient) -> None:
    assert stranger.get("/healthz").status_code == 200
    for path in api_paths(app):
        answer = stranger.get(path.format(number=INVOICE, line=1))
        assert answer.status_code == 401, path
        assert answer.json()["error"]["code"] == "invalid_api_key"
    for path in ("/", "/limits", "/invoices", f"/invoices/{INVOICE}", "/quarantine"):
        answer = stranger.get(path)
        assert (answer.status_code, answer.headers["location"]) == (303, "/login")


@pytest.mark.parametrize("shown", ["Bearer wrong", "Bearer ", "Basic x", "Bearer tökén"])
def test_another_token_does_not_open(stranger: TestClient, shown: str) -> None:
    assert stranger.get("/api/v1/customers", headers={b"authorization": shown.encode()}).status_code == 401


def test_customers_and_deployments(admin: TestClient) -> None:
    assert data(admin, "/api/v1/customers")["data"] == [
        {"id": "acme", "name": "Acme", "parent": "acme-group", "market": "US", "since": "2023-06-01T00:00:00Z"}
    ]
    assert [item["id"] for item in data(admin, "/api/v1/deployments?project=search")["data"]] == ["chat", "small"]
    assert data(admin, "/api/v1/deployments?project=other")["data"] == []


def test_usage_of_a_span_of_time(admin: TestClient) -> None:
    found = data(admin, "/api/v1/usage?since=2024-05-03&until=2024-05-05T00:00:00Z")["data"]
    assert [item["id"] for item in found] == ["u2", "u3"]
    assert found[0]["meters"] == {"input_tokens": 1002, "output_tokens": 200}
    assert found[0]["admitted_at"] == "2024-05-03T08:00:00.500000Z"
    assert len(data(admin, "/api/v1/usage?limit=7")["data"]) == 7


def test_readings_of_a_span_of_time(admin: TestClient) -> None:
    found = data(admin, "/api/v1/readings?since=2024-05-03&until=2024-05-04")["data"]
    assert [(item["hour"], item["meter"], item["quantity"]) for item in found] == [
        ("2024-05-03T08:00:00Z", "input_tokens", "1002"),
        ("2024-05-03T08:00:00Z", "output_tokens", "200"),
    ]


def test_an_answer_about_a_span_of_time_says_which(admin: TestClient) -> None:
    may = {"since": "2024-05-03T00:00:00Z", "until": "2024-05-05T00:00:00Z"}
    for path in ("/api/v1/readings?until=2024-05-05", "/api/v1/usage?until=2024-05-05"):
        answer = data(admin, path)
        assert {name: answer[name] for name in may} == may
    answer = data(admin, "/api/v1/readings")
    days = parse_instant(answer["until"]) - parse_instant(answer["since"])
    assert days == 2 * DAY
    assert list(data(admin, "/api/v1/usage")) == ["data"]  # The newest, of whatever time.


def test_invoices_lead_to_requests(admin: TestClient) -> None:
    (invoice,) = data(admin, "/api/v1/invoices?period=2024-05")["data"]
    assert data(admin, f"/api/v1/invoices/{INVOICE}") == invoice
    behind = data(admin, f"/api/v1/invoices/{INVOICE}/lines/1/requests")["data"]
    assert len(behind) == 20
    assert data(admin, "/api/v1/invoices?period=2024-04")["data"] == []


def test_ledger_quarantine_and_concentration(admin: TestClient) -> None:
    ledger = data(admin, "/api/v1/ledger/balances")
    assert ledger["root"].startswith("sha256:")
    assert {"account": "assets:receivable:invoiced:acme", "currency": "USD", "balance": "0.85"} in ledger["data"]
    (waiting,) = data(admin, "/api/v1/quarantine")["data"]
    assert (waiting["kind"], waiting["event"]["id"]) == ("unpriced", "odd")
    (report,) = data(admin, "/api/v1/reports/concentration?period=2024-05")["data"]
    assert (report["revenue"], report["customers"][0]["share_percent"]) == ("0.85", "100.00")


@pytest.mark.parametrize(
    ("path", "status", "param"),
    [
        ("/api/v1/usage?limit=0", 400, "limit"),
        ("/api/v1/usage?limit=many", 400, "limit"),
        ("/api/v1/budgets?limit=0", 400, "limit"),
        ("/api/v1/usage?since=yesterday", 400, "since"),
        ("/api/v1/usage?since=2024-05-03&until=tomorrow", 400, "until"),
        ("/api/v1/readings?since=2024-05-04&until=2024-05-03", 400, "since"),
        ("/api/v1/invoices?period=May", 400, "period"),
        ("/api/v1/reports/concentration", 400, "period"),
        ("/api/v1/invoices/none", 404, None),
        (f"/api/v1/invoices/{INVOICE}/lines/9/requests", 404, "line"),
        (f"/api/v1/invoices/{INVOICE}/lines/{'9' * 5000}/requests", 404, "line"),
        (f"/api/v1/usage?limit={'9' * 5000}", 400, "limit"),
    ],
)
def test_what_cannot_be_answered_is_said(admin: TestClient, path: str, status: int, param: str | None) -> None:
    answer = admin.get(path)
    assert answer.status_code == status
    assert answer.json()["error"]["param"] == param


def test_the_description_describes_every_route_and_every_field(app: Starlette, admin: TestClient) -> None:
    described = admin.get("/api/openapi.json").json()
    assert sorted(described["paths"]) == sorted(api_paths(app))
    schemas = described["components"]["schemas"]
    for path, schema in (
        ("customers", "Customer"),
        ("deployments", "Deployment"),
        ("usage", "UsageEvent"),
        ("readings?since=2024-05-01&until=2024-06-01", "Reading"),
        ("invoices", "Invoice"),
        ("quarantine", "Quarantined"),
    ):
        (first, *_) = data(admin, f"/api/v1/{path}")["data"]
        unless_declared = {"seller", "buyer"} if schema == "Invoice" else set()
        assert sorted(first) == sorted(set(schemas[schema]["properties"]) - unless_declared), schema
    assert data(admin, "/api/v1/budgets") == data(admin, "/api/v1/reports/retirements") == {"data": []}
    assert sorted(BudgetReport.__struct_fields__) == sorted(schemas["Budget"]["properties"])
    assert sorted(Retirement.__struct_fields__) == sorted(schemas["Retirement"]["properties"])
    (line, *_) = data(admin, f"/api/v1/invoices/{INVOICE}")["lines"]
    assert sorted([*line, "shares"]) == sorted(schemas["InvoiceLine"]["properties"])


def test_a_browser_logs_in_looks_around_and_logs_out(stranger: TestClient, settings: Settings) -> None:
    assert "Admin token" in stranger.get("/login").text
    refused = stranger.post("/login", data={"token": "wrong"})
    assert refused.status_code == 401
    assert "not the admin token" in refused.text
    assert COOKIE not in stranger.cookies
    entered = stranger.post("/login", data={"token": admin_token(settings)})
    assert (entered.status_code, entered.headers["location"]) == (303, "/")
    cookie = entered.headers["set-cookie"].lower()
    assert "httponly" in cookie
    assert "samesite=strict" in cookie
    assert admin_token(settings) not in cookie
    assert "Meridian Cloud" in stranger.get("/").text
    assert INVOICE in stranger.get("/invoices").text
    assert "Acme" in stranger.get(f"/invoices/{INVOICE}").text
    assert "u7" in stranger.get(f"/invoices/{INVOICE}?line=1").text
    assert "gpt-9" in stranger.get("/quarantine").text
    assert stranger.get("/invoices/none").status_code == 404
    stranger.post("/logout")
    assert stranger.get("/").status_code == 303


NOW = parse_instant("2024-05-31T23:59:59Z")
BUDGETS = changed(
    "customer: acme}",
    "customer: acme, budget: {total: 5000000, in: tokens, mode: soft}}",
    changed("since: 2023-06-01}", "since: 2023-06-01, budget: {monthly: 20}}"),
)


@pytest.fixture
def at_month_end(monkeypatch: pytest.MonkeyPatch) -> None:
    """Everything happens NOW."""
    for module in ("books", "control_plane"):
        monkeypatch.setattr(f"entrepot.compose.{module}.SystemClock", lambda: ManualClock(NOW))


def used(folder: Path, text: str) -> Settings:
    """Where 1,000 tokens in and 200 out, which come to 0.042 USD, were used of the deployment chat."""
    row = {**USAGE[0], "admitted_at": format_instant(NOW), "finished_at": format_instant(NOW)}
    (folder / "usage.jsonl").write_text(json.dumps(row) + "\n")
    home = ("--home", str(folder / "home"))
    assert main(["apply", write_world(folder, text), *home]) == 0
    assert main(["usage", "import", str(folder / "usage.jsonl"), *home]) == 0
    return load_settings({}, {"home": str(folder / "home")})


@pytest.mark.usefixtures("at_month_end")
def test_limits_say_what_may_be_used_what_is_used_and_when_it_begins_anew(tmp_path: Path) -> None:
    text = BUDGETS + "  - {id: spare, project: search, model: smollm2-135m, tokens_per_minute: 1000}\n"
    settings = used(tmp_path, text)
    with TestClient(control_app(settings), headers={"authorization": f"Bearer {admin_token(settings)}"}) as client:
        every, ours, others = (
            client.get(path).text for path in ("/limits", "/limits?customer=acme", "/limits?customer=x")
        )
    # The month begins anew at the first.
    for shown in ("acme<small>customer", 'title="0.042"', "0 %", "5\u2009000\u2009000", "240\u2009000"):
        assert shown in every, shown
    assert re.findall(r"(\d{4}-\d\d-01) 00:00", every)[0] == "2024-06-01"
    assert every.index("chat<small>") < every.index("spare<small>")  # By how much of it is used.
    assert "small<small>" not in every  # It has no limit.
    assert ours.count("<tr>") == every.count("<tr>")
    assert "No budget." in others
    assert "No deployment has limits." in others


@pytest.mark.usefixtures("at_month_end")
def test_budgets_are_those_of_the_page_of_limits(tmp_path: Path) -> None:
    settings = used(tmp_path, changed("total: 5000000", "total: 2000", BUDGETS))
    with TestClient(control_app(settings), headers={"authorization": f"Bearer {admin_token(settings)}"}) as client:
        tokens, money = data(client, "/api/v1/budgets")["data"]
        page = client.get("/limits").text
        assert data(client, "/api/v1/budgets?customer=acme&limit=1")["data"] == [tokens]
        assert data(client, "/api/v1/budgets?customer=x")["data"] == []
    assert tokens == {
        "id": "project/search/total/tokens",
        "scope": "project",
        "owner": "search",
        "customer": "acme",
        "kind": "total",
        "mode": "soft",
        "unit": "tokens",
        "period": "",
        "limit": "2000",
        "spent": "1200",
        "held": "0",
        "left": "800",
        "percent": 60,
        "forecast": None,
        "resets_at": None,
        "thresholds": [50, 80, 100],
    }
    shown = {name: money[name] for name in ("id", "unit", "period", "limit", "spent", "held", "left", "percent")}
    assert shown == {
        "id": "customer/acme/monthly/money",
        "unit": "USD",
        "period": "2024-05",
        "limit": "20.00",
        "spent": "0.042",
        "held": "0.00",
        "left": "19.958",
        "percent": 0,
    }
    assert (money["forecast"], money["resets_at"]) == ("0.042000015681", "2024-06-01T00:00:00Z")
    for amount in (money["spent"], money["left"], money["limit"]):
        assert f'title="{amount}"' in page
    assert page.index("search<small>project of") < page.index("acme<small>customer")


def test_a_login_that_is_too_long_is_not_read(stranger: TestClient) -> None:
    assert stranger.post("/login", data={"token": "x" * 10_000}).status_code == 413


def test_pages_load_nothing_from_elsewhere(admin: TestClient) -> None:
    for path in ("/", "/limits", "/invoices", f"/invoices/{INVOICE}", "/quarantine", "/login"):
        page = admin.get(path)
        assert page.headers["content-security-policy"].startswith("default-src 'none'")
        loaded = re.findall(r'(?:src|href|action)="([^"]+)"', page.text)
        assert loaded
        assert all(target.startswith("/") for target in loaded)
        assert "<script" not in page.text
        assert "style=" not in page.text
    assert admin.get("/console/console.css").headers["content-type"].startswith("text/css")
    assert admin.get("/console/icon.svg").status_code == 200


def test_names_of_customers_are_no_markup(tmp_path: Path) -> None:
    text = SMALL.replace("name: Acme,", "name: '<b>&\"Acme',").replace("Meridian Cloud", "'<i>Cloud'")
    home = tmp_path / "home"
    assert main(["apply", write_world(tmp_path, text), "--home", str(home)]) == 0
    settings = load_settings({}, {"home": str(home)})
    with TestClient(control_app(settings), headers={"authorization": f"Bearer {admin_token(settings)}"}) as client:
        page = client.get("/").text
    assert "&lt;b&gt;&amp;&quot;Acme" in page
    assert "<b>" not in page
    assert "<i>" not in page


def test_before_the_first_world_there_is_little_to_see(tmp_path: Path) -> None:
    settings = load_settings({}, {"home": str(tmp_path)})
    with TestClient(control_app(settings), headers={"authorization": f"Bearer {admin_token(settings)}"}) as client:
        assert "No contract is in force." in client.get("/").text
        assert client.get("/api/v1/customers").json() == {"data": []}
        assert json.loads(client.get("/api/v1/ledger/balances").text)["entries"] == 0


def test_an_address_without_a_page_says_so(admin: TestClient, stranger: TestClient) -> None:
    page = admin.get("/invoces")
    assert (page.status_code, page.headers["content-type"]) == (404, "text/html; charset=utf-8")
    assert "There is no page /invoces." in page.text
    assert 'href="/invoices"' in page.text
    for path in ("/api/v1/nothing", "/v1/nothing"):
        answer = admin.get(path)
        assert (answer.status_code, answer.json()["error"]["code"]) == (404, "route_not_found")
    assert stranger.get("/invoces").headers["location"] == "/login"


def test_invoices_of_a_month_and_of_a_customer(admin: TestClient) -> None:
    for asked in ("?period=2024-05", "?customer=acme", "?customer=acme&period=2024-05", ""):
        assert f'href="/invoices/{INVOICE}"' in admin.get(f"/invoices{asked}").text
    for asked in ("?period=2024-04", "?customer=other"):
        assert "No invoice." in admin.get(f"/invoices{asked}").text
    refused = admin.get("/invoices?period=May")
    assert (refused.status_code, "Not understood" in refused.text) == (400, True)


def test_long_lists_show_their_beginning_and_say_so() -> None:
    at = "2024-06-01T00:00:00Z"
    invoice = Invoice(INVOICE, "2024-05", "acme", "Acme", "", "USD", at, (), "", "", "1234567.80", "")
    page = invoices_page(Frame("", "/invoices", ""), [invoice] * 201, None, None)
    assert page.count("<tr>") == 1 + 200
    assert "200 of 201" in page
    assert "1\u2009234\u2009567.80" in page
    few = [CustomerRevenue("acme", "Acme", "2024-05", "USD", "0", "0.00")] * 21
    tokens = [DeploymentTokens("acme", "search", "chat", "large", 1, 1)] * 21
    overview = Overview("", "", 1, "", tuple(few), tuple(tokens), (), (), 0, 0, 0)
    page = overview_page(Frame("", "/", ""), overview, ())
    assert page.count("20 of 21") == 2
    assert page.count("<tr>") == 2 * 21
