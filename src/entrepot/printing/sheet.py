"""An issued invoice as it is printed in a language: the same words and numbers for HTML and for pages."""

from collections.abc import Iterator, Mapping, Sequence
from datetime import date, timedelta
from itertools import groupby
from typing import NamedTuple

from babel import Locale

from entrepot.core.invoices import MONTHLY_KINDS, USAGE_KINDS, Conversion, Invoice, InvoiceLine
from entrepot.core.money import format_pico, minor_digits, parse_pico
from entrepot.core.parties import Party
from entrepot.core.periods import Period, parse_period
from entrepot.core.prices import LONG, PRICE_QUANTITY, SERVED_BY_UNITS
from entrepot.core.printed import Fact, Note, PrintedGroup, PrintedInvoice, PrintedLine, PrintedParty
from entrepot.core.tokens import TOKEN_METERS
from entrepot.printing.numbers import Numbers
from entrepot.printing.phrases import LANGUAGES, Language, Phrases, phrases_of

_PER_MILLION = TOKEN_METERS | {"characters"}


class Background(NamedTuple):
    """What an invoice does not say of itself.

    day: it was issued on, in its contract's zone. operator: the name of its seller where that is not on it. clauses:
    {line: ids of the price book versions behind it}. console: the address that pages of invoices are at, or empty.
    """

    day: date
    operator: str
    clauses: Mapping[int, Sequence[str]] = {}
    console: str = ""


def print_invoice(invoice: Invoice, language: str, background: Background) -> PrintedInvoice:
    """The printed invoice. Raises: BadInput for a language there is no catalogue of."""
    return _Printer(invoice, language, background).sheet()


class _Printer:
    """One invoice on its way into one language."""

    def __init__(self, invoice: Invoice, language: str, background: Background) -> None:
        self._invoice = invoice
        self._phrases: Phrases = phrases_of(language)
        self._language = LANGUAGES[language]
        self._numbers = Numbers(self._language.locale)
        self._background = background

    def sheet(self) -> PrintedInvoice:
        invoice, words = self._invoice, self._phrases
        seller = invoice.seller or Party(name=self._background.operator, country="")
        buyer = invoice.buyer or Party(name=invoice.customer_name, country="")
        return PrintedInvoice(
            language=self._language.tag,
            day=self._background.day.isoformat(),
            title=words["credit_note" if invoice.corrects else "invoice"],
            number=invoice.number,
            seller=self._party("seller", seller),
            buyer=self._party("buyer", buyer),
            facts=tuple(self._facts(seller)),
            columns=(
                words["column_number"],
                words["column_item"],
                words["column_quantity"],
                words["column_price"],
                words["column_exact"],
                words["column_amount"],
            ),
            groups=tuple(self._groups()),
            sums=tuple(self._sums()),
            payment=tuple(self._payment(seller)),
            payment_heading=words["payment"],
            notes=tuple(self._notes()),
            page=words["page"],
        )

    def _party(self, role: str, party: Party) -> PrintedParty:
        return PrintedParty(self._phrases[role], party.name, party_lines(party, self._phrases, self._language))

    def _facts(self, seller: Party) -> Iterator[Fact]:
        invoice, words, numbers = self._invoice, self._phrases, self._numbers
        yield Fact(words["credit_number" if invoice.corrects else "number"], invoice.number)
        yield Fact(words["issued"], numbers.day(self._background.day))
        if invoice.corrects:
            yield Fact(words["corrects"], invoice.corrects)
            yield Fact(words["reason"], invoice.reason)
        else:
            if seller.payment_days:
                yield Fact(words["due"], numbers.day(due_day(self._background.day, seller)))
            yield Fact(words["period"], numbers.days(*days_of(parse_period(invoice.period))))
        yield Fact(words["contract"], invoice.contract)
        yield Fact(words["currency"], numbers.currency(invoice.currency))

    def _groups(self) -> Iterator[PrintedGroup]:
        for heading, lines in groupby(self._invoice.lines, self._heading):
            yield PrintedGroup(heading, tuple(map(self._line, lines)))

    def _heading(self, line: InvoiceLine) -> str:
        is_of_month = line.kind in {*MONTHLY_KINDS, "credit"}
        return self._of_month(line) if is_of_month else self._phrases["terms"]

    def _of_month(self, line: InvoiceLine) -> str:
        return self._phrases.say(line.kind, month=self._numbers.month(parse_period(line.period)))

    def _line(self, line: InvoiceLine) -> PrintedLine:
        digits = minor_digits(self._invoice.currency)
        price, per = self._price(line)
        console = self._background.console
        return PrintedLine(
            number=str(line.number),
            what=self._what(line) if line.model or line.kind == "reservation" else self._of_month(line),
            clause="; ".join((*self._clauses(line), *self._shares(line))),
            quantity=self._numbers.count(line.quantity) if line.counts else "",
            price=price,
            per=per,
            exact=self._numbers.amount(line.exact, digits),
            amount=self._numbers.amount(line.amount, digits),
            link=f"{console}/invoices/{self._charging}?line={line.number}#requests" if console else "",
        )

    def _shares(self, line: InvoiceLine) -> Iterator[str]:
        """How much of a reservation was used, and what that and the rest cost."""
        for share in line.shares or ():
            exact = self._numbers.amount(share.exact, minor_digits(self._invoice.currency))
            yield f"{self._phrases[share.name]} {self._numbers.count(share.quantity)} = {exact}"

    def _what(self, line: InvoiceLine) -> str:
        words = self._phrases
        meter = words.meter(line.meter) if line.meter else words["all_meters"]
        tier = words[line.tier] if line.tier not in {"", "default"} else ""
        price_class = line.price_class
        if price_class == SERVED_BY_UNITS or (price_class and line.kind == "subscription"):
            price_class = words[price_class]
        if price_class.startswith(LONG):
            price_class = words.say("long_input", count=self._numbers.count(price_class.removeprefix(LONG)))
        return " · ".join(word for word in (line.model, meter, tier, price_class) if word)

    def _price(self, line: InvoiceLine) -> tuple[str, str]:
        """(the unit price, what unit it is for)."""
        if line.unit_price is None:
            return (self._phrases["as_agreed"], "") if line.meter and line.kind in USAGE_KINDS else ("", "")
        if line.meter in _PER_MILLION:
            million = format_pico(parse_pico(line.unit_price) * PRICE_QUANTITY)
            return self._unit_price(million), self._phrases["per_million"]
        return self._unit_price(line.unit_price), self._phrases["each"]

    def _unit_price(self, price: str) -> str:
        """With its currency where that is another one than the invoice's."""
        if self._invoice.conversions:
            return self._numbers.money(price, self._invoice.conversions[0].currency)
        return self._numbers.amount(price, minor_digits(self._invoice.currency))

    def _clauses(self, line: InvoiceLine) -> Iterator[str]:
        if line.kind == "reservation":
            return  # Its price is the contract's.
        tier = "" if line.tier == "default" else line.tier
        of = " / ".join(word for word in (line.model, line.meter, tier, line.price_class) if word)
        for version in self._background.clauses.get(line.number, ()):
            book, _, begins = version.partition("@")
            yield f"{self._phrases.say('clause', book=book, version=begins)}, {of}"

    def _sums(self) -> Iterator[Fact]:
        invoice, words, currency = self._invoice, self._phrases, self._invoice.currency
        yield Fact(words["net"], self._numbers.money(invoice.net, currency))
        for tax in invoice.taxes:
            percent, net = self._numbers.percent(tax.percent), self._numbers.money(tax.net, currency)
            label = words.say("tax_on", tax=tax.name or words["tax"], percent=percent, net=net)
            if tax.reverse_charge:
                label = words.say("reverse_charge_on", net=net)
            yield Fact(label, self._numbers.money(tax.amount, currency))
        if not invoice.taxes:
            yield Fact(words["tax"], self._numbers.money(invoice.tax, currency))
        yield Fact(words["credited" if invoice.corrects else "total"], self._numbers.money(invoice.total, currency))

    def _payment(self, seller: Party) -> Iterator[Fact]:
        words = self._phrases
        if parse_pico(self._invoice.total) <= 0 or not seller.iban:
            return
        yield Fact(words["holder"], seller.name)
        yield Fact(words["iban"], " ".join(seller.iban[at : at + 4] for at in range(0, len(seller.iban), 4)))
        if seller.bic:
            yield Fact(words["bic"], seller.bic)
        yield Fact(words["reference"], self._invoice.number)
        if seller.payment_days:
            yield Fact(words["pay_by"], self._numbers.day(due_day(self._background.day, seller)))

    def _notes(self) -> Iterator[Note]:
        invoice, words = self._invoice, self._phrases
        if not invoice.corrects:  # What is given back are whole amounts of lines.
            residual = self._numbers.money(invoice.residual, invoice.currency)
            yield Note(words["rounding"], words.say("rounding_left", residual=residual))
        rates = (self._rate(conversion) for conversion in invoice.conversions)
        if invoice.conversions:
            yield Note(words["exchange"], "; ".join(rates))
        if any(tax.reverse_charge and tax.lines for tax in invoice.taxes):
            yield Note(words["reverse_charge"], words["reverse_charge_why"])
        command = f"entrepot invoice show {self._charging} --line N --requests"
        yield Note(words["tracing"], words["traced_by"], command)

    @property
    def _charging(self) -> str:
        """The number of the invoice that charged for the requests."""
        return self._invoice.corrects or self._invoice.number

    def _rate(self, conversion: Conversion) -> str:
        month = self._numbers.month(parse_period(conversion.period))
        rate = self._numbers.amount(conversion.rate)
        return f"1 {conversion.currency} = {rate} {self._invoice.currency} ({month})"


def party_lines(party: Party, words: Phrases, language: Language) -> tuple[str, ...]:
    """Address and registrations of a party, as far as it has any."""
    town = f"{party.postal_code} {party.city}".strip()
    lines = [party.street, town, Locale.parse(language.locale).territories.get(party.country, party.country)]
    told = [(words[key], value) for key in ("tax_id", "registration") if (value := getattr(party, key))]
    lines += [f"{label}{language.colon}{value}" for label, value in told]
    return tuple(line for line in (*lines, party.email) if line)


def days_of(period: Period) -> tuple[date, date]:
    """The first and the last day of a month."""
    after = period.next()
    return date(period.year, period.month, 1), date(after.year, after.month, 1) - timedelta(days=1)


def due_day(day: date, seller: Party) -> date:
    """When an invoice of the day is to be paid by."""
    return day + timedelta(days=seller.payment_days)
