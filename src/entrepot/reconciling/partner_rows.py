"""A partner's file -> rows: OpenAI's organization usage and costs, Azure's cost export, any table with a mapping.

Sources: OpenAI's API description (UsageResponse, CostsResult); Microsoft's cost and usage details schema of Enterprise
Agreements and Customer Agreements, whose column names differ in case and in a few words.
"""

import re
from collections.abc import Iterable, Iterator, Mapping
from decimal import Decimal, InvalidOperation
from typing import Any, NamedTuple

from entrepot.core.errors import BadInput
from entrepot.core.partner_usage import COST, ReportedKind, ReportedRow, summed
from entrepot.core.periods import SECOND, Instant, parse_instant
from entrepot.ports.partner_files import PartnerFile
from entrepot.reconciling.openai_usage import meters_of

COLUMNS = ("day", "account", "key", "item", "meter", "quantity", "cost", "currency")

_AMERICAN = re.compile(r"(\d{1,2})/(\d{1,2})/(\d{4})", re.ASCII)
_UNIT = re.compile(r"(\d+)\s*([KM]?)\b", re.ASCII)  # "1K", "10 K", and not "1 Month".
_MULTIPLES = {"": 1, "K": 1000, "M": 1_000_000}
_PLACES_MAX = 12

# {ours: Azure's names of the column, in lower case, the usual first}
_AZURE = {
    "day": ("date", "usagedate", "usagedatetime"),
    "account": ("subscriptionid", "subscriptionguid"),
    "key": ("resourceid", "instanceid", "instancename"),
    "item": ("metername",),
    "quantity": ("quantity", "usagequantity"),
    "unit": ("unitofmeasure",),
    "cost": ("costinbillingcurrency", "cost", "pretaxcost"),
    "currency": ("billingcurrencycode", "billingcurrency", "currency"),
    "service": ("consumedservice",),
}
_AZURE_SERVICE = "microsoft.cognitiveservices"


class Reported(NamedTuple):
    """What a file says. left_out: how many rows are of nothing that we count, such as another service."""

    rows: list[ReportedRow]
    days: list[tuple[Instant, ReportedKind]]
    left_out: int


def read_rows(file: PartnerFile, columns: Mapping[str, str], zone: str) -> Reported:
    """The rows of a file, those of one cell summed. columns: {one of COLUMNS: the file's}; {} for the known shapes.

    zone: that dates without a time are of. Raises: BadInput naming the row.
    """
    covered: set[tuple[Instant, ReportedKind]] = set()
    if columns:
        found = [_mapped(line, row, columns, zone) for line, row in _tabular(file)]
        return _reported(found, covered, 0)
    if file.documents:
        return _reported(list(_openai(file, covered)), covered, 0)
    names = _azure_columns(file)
    azure = [_azure(line, row, names, zone) for line, row in file.rows]
    return _reported([row for row in azure if row is not None], covered, azure.count(None))


def _reported(rows: Iterable[ReportedRow], covered: set[tuple[Instant, ReportedKind]], left_out: int) -> Reported:
    cells: dict[tuple[object, ...], ReportedRow] = {}
    for row in rows:
        known = cells.get(row.cell)
        cells[row.cell] = row if known is None else summed(known, row)
        if row.quantity:
            covered.add((row.starts, "usage"))
        if row.cost:
            covered.add((row.starts, COST))
    return Reported([cells[cell] for cell in sorted(cells)], sorted(covered), left_out)


# ---- OpenAI ----------------------------------------------------------------------------------------


def _openai(file: PartnerFile, covered: set[tuple[Instant, ReportedKind]]) -> Iterator[ReportedRow]:
    for page in file.documents:
        if not isinstance(page, dict) or page.get("object") != "page" or not isinstance(page.get("data"), list):
            raise BadInput(
                f"{file.name} is not a page of OpenAI's organization usage or costs; name its columns with --columns"
            )
        results = [result for bucket in page["data"] for result in bucket["results"]]
        kind: ReportedKind = COST if _are_costs(file, results) else "usage"
        for bucket in page["data"]:
            starts = int(bucket["start_time"]) * SECOND
            covered.add((starts, kind))
            for result in bucket["results"]:
                yield from _openai_cost(starts, result) if kind == COST else _openai_usage(file, starts, result)


def _are_costs(file: PartnerFile, results: Iterable[Mapping[str, Any]]) -> bool:
    names = {str(result.get("object")) for result in results}
    return names == {"organization.costs.result"} or (not names and "cost" in file.name.lower())


def _openai_cost(starts: Instant, result: Mapping[str, Any]) -> Iterator[ReportedRow]:
    amount = result.get("amount") or {}
    yield ReportedRow(
        starts=starts,
        account=result.get("project_id") or "",
        key=result.get("api_key_id") or "",
        item=result.get("line_item") or "",
        meter="",
        cost=_decimal(amount.get("value", 0), "amount.value"),
        currency=str(amount.get("currency", "usd")).upper(),
    )


def _openai_usage(file: PartnerFile, starts: Instant, result: Mapping[str, Any]) -> Iterator[ReportedRow]:
    try:
        meters = meters_of(result)
    except ValueError as error:
        raise BadInput(f"{file.name}: {error}") from None
    for meter, quantity in meters.items():
        yield ReportedRow(
            starts=starts,
            account=result.get("project_id") or "",
            key=result.get("api_key_id") or "",
            item=result.get("model") or "",
            meter=meter,
            quantity=str(quantity),
        )


# ---- Azure -----------------------------------------------------------------------------------------


def _azure_columns(file: PartnerFile) -> dict[str, str]:
    """{what: the file's column}."""
    header = {name.lower(): name for name in (file.rows[0][1] if file.rows else {})}
    names = {what: next((header[name] for name in known if name in header), "") for what, known in _AZURE.items()}
    missing = [_AZURE[what][0] for what in ("day", "item", "quantity", "cost") if not names[what]]
    if missing:
        raise BadInput(
            f"{file.name} is not a cost export of Azure: it has no column {', '.join(missing)}; name its columns with "
            "--columns day=…,item=…,quantity=…"
        )
    return names


def _azure(line: int, row: Mapping[str, str], names: Mapping[str, str], zone: str) -> ReportedRow | None:
    """The row; None when it is of another service."""

    def cell(what: str) -> str:
        return row[names[what]].strip() if names[what] else ""

    if cell("service") and cell("service").lower() != _AZURE_SERVICE:
        return None
    unit = _UNIT.match(cell("unit").upper())
    multiple = int(unit[1]) * _MULTIPLES[unit[2]] if unit else 1
    quantity, quantity_slack = _printed(line, cell("quantity"), multiple)
    cost, cost_slack = _printed(line, cell("cost"), 1)
    return ReportedRow(
        starts=_day(line, cell("day"), zone),
        account=cell("account"),
        key=cell("key").rstrip("/").rpartition("/")[2],
        item=cell("item"),
        meter="",
        quantity=quantity,
        cost=cost,
        currency=cell("currency").upper(),
        quantity_slack=quantity_slack,
        cost_slack=cost_slack,
    )


# ---- any table -------------------------------------------------------------------------------------


def _tabular(file: PartnerFile) -> list[tuple[int, Mapping[str, Any]]]:
    if not file.documents:
        return list(file.rows)
    rows: list[tuple[int, Mapping[str, Any]]] = []
    for line, row in enumerate(file.documents, start=1):
        if not isinstance(row, dict):
            raise BadInput(f"{file.name}: row {line} is not a JSON object")
        rows.append((line, row))
    return rows


def _mapped(line: int, row: Mapping[str, Any], columns: Mapping[str, str], zone: str) -> ReportedRow:
    def cell(what: str) -> str:
        name = columns.get(what)
        if name is None:
            return ""
        if name not in row:
            raise BadInput(f"row {line} has no column {name!r}; it has {', '.join(map(str, row))[:200]}")
        return "" if row[name] is None else str(row[name]).strip()

    quantity, quantity_slack = _printed(line, cell("quantity"), 1)
    cost, cost_slack = _printed(line, cell("cost"), 1)
    return ReportedRow(
        starts=_day(line, cell("day"), zone),
        account=cell("account"),
        key=cell("key"),
        item=cell("item"),
        meter=cell("meter"),
        quantity=quantity,
        cost=cost,
        currency=cell("currency").upper(),
        quantity_slack=quantity_slack,
        cost_slack=cost_slack,
    )


def _day(line: int, text: str, zone: str) -> Instant:
    american = _AMERICAN.fullmatch(text)
    if american:
        text = f"{american[3]}-{int(american[1]):02d}-{int(american[2]):02d}"
    try:
        return parse_instant(text, zone)
    except ValueError as error:
        raise BadInput(f"row {line}: {error}") from None


def _printed(line: int, text: str, multiple: int) -> tuple[str, str]:
    """(a printed number times a multiple, how far printing may have rounded it: half of its last digit)."""
    if not text:
        return "", "0"
    places = len(text.partition(".")[2]) if "e" not in text.lower() else 0
    slack = Decimal(multiple) / 2 / 10**places if places else Decimal(0)
    return _decimal(Decimal(_decimal(text, f"row {line}")) * multiple, f"row {line}"), _decimal(slack, f"row {line}")


def _decimal(value: object, where: str) -> str:
    """The number as decimal text of at most 12 places; what an API writes as a float may have more."""
    try:
        number = value if isinstance(value, Decimal) else Decimal(str(value))
    except InvalidOperation:
        raise BadInput(f"{where}: {str(value)[:50]!r} is not a number") from None
    if not number.is_finite():
        raise BadInput(f"{where}: {value} is not a number")
    text = f"{round(number, _PLACES_MAX):f}"
    return (text.rstrip("0").rstrip(".") if "." in text else text) or "0"
