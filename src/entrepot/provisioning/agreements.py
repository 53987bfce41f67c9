"""What is agreed with partners and what they report: two sections of a world file."""

from typing import get_args

from entrepot.core.agreements import Agreement, AgreementKind, Direction, PartnerReport
from entrepot.core.periods import END_OF_TIME, format_instant, parse_period, period_of
from entrepot.provisioning.draft import Declared, Draft
from entrepot.provisioning.fields import Fields
from entrepot.provisioning.scalars import ID, read_amount, read_currency, read_share

_KINDS: tuple[AgreementKind, ...] = get_args(AgreementKind)
_DIRECTIONS: tuple[Direction, ...] = get_args(Direction)
_REPORTED: tuple[AgreementKind, ...] = ("direct_sales_share", "capacity_rental")


def read_agreements(root: Fields, draft: Draft, currency: str) -> None:
    """Adds the agreements to the draft. currency: for those that name none."""
    known = ("partner", "kind", "direction", "percent", "lifetime_cap", "unit", "each", "from", "to", "currency")
    for fields in root.rows("agreements", "agreement", known):
        partner = fields.identifier("partner", ID)
        kind = fields.choice("kind", _KINDS)
        begins = fields.instant("from", "UTC", 0)
        since = format_instant(begins).removesuffix("T00:00:00Z") if fields.has("from") else "always"
        fields.named(f"with {partner} of kind {kind}" if partner else "")
        is_rental = kind == "capacity_rental"
        for key, wanted in (("percent", not is_rental), ("unit", is_rental), ("each", is_rental)):
            if fields.has(key) and not wanted:
                fields.fault(f"{key} does not go with {kind}", key)
        agreement = Agreement(
            id=f"{partner}/{kind}@{since}",
            partner=partner,
            kind=kind,
            direction=fields.choice("direction", _DIRECTIONS),
            begins=begins,
            ends=fields.instant("to", "UTC", END_OF_TIME),
            currency=read_currency(fields) if fields.has("currency") else currency,
            share=0 if is_rental else read_share(fields, "percent"),
            unit=fields.text("unit") if is_rental else "",
            each_pico=read_amount(fields, "each") if is_rental else 0,
            cap_pico=read_amount(fields, "lifetime_cap") if fields.has("lifetime_cap") else None,
        )
        if agreement.ends <= agreement.begins:
            fields.fault("to must be later than from", "to")
        draft.agreements.append(Declared(agreement, fields))


def read_partner_reports(root: Fields, draft: Draft) -> None:
    """Adds what partners report to the draft."""
    for fields in root.rows("partner_reports", "partner report", ("partner", "kind", "period", "sales", "units")):
        partner = fields.identifier("partner", ID)
        kind = fields.choice("kind", _REPORTED)
        period = _period(fields)
        fields.named(f"of {partner} for {period}" if partner and period else "")
        key, other = ("units", "sales") if kind == "capacity_rental" else ("sales", "units")
        if fields.has(other):
            fields.fault(f"{other} does not go with {kind}; it reports {key}", other)
        report = PartnerReport(f"{partner}/{kind}@{period}", partner, kind, period, read_amount(fields, key))
        draft.partner_reports.append(Declared(report, fields))


def check_successions(draft: Draft) -> None:
    """A partner reports whole months, so no month's report can be divided between an agreement and the one after it."""
    of_reports = [item for item in draft.agreements if item.value.kind in _REPORTED]
    for later in of_reports:
        new = later.value
        for old in (item.value for item in of_reports):
            if (old.partner, old.kind) != (new.partner, new.kind) or not old.begins < old.ends <= new.begins:
                continue
            month = period_of(new.begins, "UTC")
            if period_of(old.ends - 1, "UTC") == month:
                later.fields.fault(
                    f"{old.id} holds for a part of {month}, too, and a partner reports whole months: "
                    "let one end and the other begin on the first day of a month",
                    "from",
                )


def _period(fields: Fields) -> str:
    text = fields.text("period")
    try:
        return str(parse_period(text)) if text else ""
    except ValueError as error:
        fields.fault(str(error), "period")
        return ""
