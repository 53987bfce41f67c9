"""Lines in the currency of prices into lines in the currency of the invoice."""

from collections.abc import Iterable, Sequence

import msgspec

from entrepot.core.exchange import ExchangeRate, convert_pico, rate_at
from entrepot.core.invoices import Conversion, LineDraft
from entrepot.core.money import PICO, format_pico, parse_pico
from entrepot.core.periods import Period, parse_period
from entrepot.core.tenancy import Contract
from entrepot.core.terms import LockedRate


def conversions_of(rates: Sequence[ExchangeRate], contract: Contract, periods: Iterable[str]) -> tuple[Conversion, ...]:
    """How lines of each service period become the invoice's currency; none where prices are in it already.

    The contract's own rate, or else the one in force at the end of the period the usage belongs to. Asserts that there
    is one: no period is closed without.
    """
    if contract.charged_in == contract.currency:
        return ()
    found = []
    for period in sorted(periods):
        rate = _rate(rates, contract, parse_period(period))
        assert rate is not None, f"no rate from {contract.charged_in} to {contract.currency} for {period}"
        found.append(Conversion(period, contract.charged_in, format_pico(rate)))
    return tuple(found)


def converted(lines: Iterable[LineDraft], conversions: Iterable[Conversion]) -> list[LineDraft]:
    """The lines in the invoice's currency, each from its exact amount; unit prices stay what they are."""
    rates = {conversion.period: parse_pico(conversion.rate) for conversion in conversions}
    if not rates:
        return list(lines)
    return [_converted(line, rates[line.period]) for line in lines]


def _converted(line: LineDraft, rate_pico: int) -> LineDraft:
    exact_pico = convert_pico(line.exact_pico, rate_pico)
    shares = line.shares
    if shares:  # The last one has what the others leave, so that they sum to the line.
        costs = [convert_pico(parse_pico(share.exact), rate_pico) for share in shares[:-1]]
        costs.append(exact_pico - sum(costs))
        shares = tuple(
            msgspec.structs.replace(share, exact=format_pico(cost)) for share, cost in zip(shares, costs, strict=True)
        )
    return msgspec.structs.replace(line, exact_pico=exact_pico, shares=shares)


def missing_rate(rates: Sequence[ExchangeRate], contract: Contract, period: Period) -> str:
    """Why lines of a period could not be converted, in a sentence; "" when they can be."""
    if _rate(rates, contract, period) is not None:
        return ""
    return (
        f"contract {contract.id} is invoiced in {contract.currency} and no exchange rate from "
        f"{contract.charged_in} is in force at the end of {period}; declare one under exchange_rates"
    )


def _rate(rates: Sequence[ExchangeRate], contract: Contract, period: Period) -> int | None:
    if contract.charged_in == contract.currency:
        return PICO
    for term in contract.terms:
        if isinstance(term, LockedRate):
            return term.rate_pico
    return rate_at(rates, contract.charged_in, contract.currency, period.end(contract.zone) - 1)
