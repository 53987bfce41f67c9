"""How a partner's own usage and cost files are read and held against our counts: `charges` of a partner."""

from entrepot.core.money import PICO
from entrepot.core.partner_usage import ANY, COST, DEFAULT_TOLERANCES, PartnerCharges, Tolerance, charged_for
from entrepot.core.periods import SECOND
from entrepot.core.tokens import METERS
from entrepot.provisioning.draft import Draft
from entrepot.provisioning.faults import suggestion
from entrepot.provisioning.fields import Fields
from entrepot.provisioning.scalars import ID, read_amount, read_share, read_zone

_KEYS = ("upstreams", "items", "price_book", "zone", "clock_skew_s", "tolerances")
_SKEW_S = 5


def read_charges(partner: Fields) -> PartnerCharges | None:
    """What the partner's charges say, or None where it has none."""
    fields = partner.section("charges", "charges of a partner", _KEYS)
    if fields is None:
        return None
    items = {theirs: ours for theirs, ours, _ in fields.pairs("items")} if fields.has("items") else {}
    return PartnerCharges(
        upstreams={key: ours for key, ours, _ in fields.pairs("upstreams")} if fields.has("upstreams") else {},
        items=items,
        price_book=fields.identifier("price_book", ID) if fields.has("price_book") else "",
        zone=read_zone(fields),
        skew_us=fields.integer("clock_skew_s", _SKEW_S) * SECOND,
        tolerances=(*_tolerances(fields), *DEFAULT_TOLERANCES),
    )


def check_charges(draft: Draft) -> None:
    """Notes a fault for each name in charges that is not declared."""
    upstreams = {item.value.id for item in draft.upstreams}
    models = {item.value.id for item in draft.models}
    books = {item.value.id for item in draft.books}
    for partner in draft.partners:
        charges = partner.value.charges or PartnerCharges()
        asked = [("upstream", name, upstreams) for name in charges.upstreams.values()]
        for name in (charged_for(declared)[0] for declared in charges.items.values()):
            of, _, meter = name.rpartition("/")
            if of in models and name not in models:
                partner.fields.fault(
                    f"items: {meter!r} is not a meter; write a model, or model/meter: gpt-4/input_tokens", "charges"
                )
            else:
                asked.append(("model", name, models))
        asked += [("price book", charges.price_book, books)] if charges.price_book else []
        for what, name, known in asked:
            if name not in known:
                partner.fields.fault(f"charges: {what} {name!r} is not declared{suggestion(name, known)}", "charges")


def _tolerances(fields: Fields) -> list[Tolerance]:
    found = []
    for row in fields.rows("tolerances", "tolerance", ("of", "percent", "units", "amount")):
        of = row.text("of")
        if of and of not in METERS and of not in (ANY, COST):
            row.fault(f"of {of!r} is neither a meter nor {COST} nor {ANY}", "of")
        key, other = ("amount", "units") if of == COST else ("units", "amount")
        if row.has(other):
            row.fault(f"{other} does not go with {of}; it has {key}", other)
        share = read_share(row, "percent") if row.has("percent") else 0
        least = read_amount(row, key) if row.has(key) else 0
        if key == "units" and least % PICO:
            row.fault("units is a whole number", key)
        found.append(Tolerance(of, share, least))
    return found
