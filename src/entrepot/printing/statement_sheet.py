"""A partner's statement as it is printed in a language, on the same kind of sheet as an invoice."""

from collections.abc import Iterator, Mapping, Sequence
from datetime import date, timedelta
from typing import NamedTuple

from entrepot.core.agreements import Agreement, Direction
from entrepot.core.money import format_minor, parse_pico
from entrepot.core.parties import Party
from entrepot.core.periods import DAY, END_OF_TIME, Instant, parse_period
from entrepot.core.printed import Fact, Note, PrintedGroup, PrintedInvoice, PrintedLine, PrintedParty
from entrepot.core.statements import Statement, StatementItem
from entrepot.printing.numbers import Numbers
from entrepot.printing.phrases import LANGUAGES, phrases_of
from entrepot.printing.sheet import days_of, party_lines

_DIRECTIONS: tuple[Direction, ...] = ("pay", "receive")
_EPOCH = date(1970, 1, 1)


class Parties(NamedTuple):
    """Who states what to whom. agreements: by id, those of the statement as far as they are declared."""

    day: date
    operator: Party
    agreements: Mapping[str, Agreement]


def print_statement(statement: Statement, language: str, parties: Parties) -> PrintedInvoice:
    """The printed statement. Raises: BadInput for a language there is no catalogue of."""
    return _Printer(statement, language, parties).sheet()


class _Printer:
    """One statement on its way into one language."""

    def __init__(self, statement: Statement, language: str, parties: Parties) -> None:
        self._statement = statement
        self._words = phrases_of(language, "statement_phrases")
        self._common = phrases_of(language)
        self._language = LANGUAGES[language]
        self._numbers = Numbers(self._language.locale)
        self._parties = parties

    def sheet(self) -> PrintedInvoice:
        statement, words, common, operator = self._statement, self._words, self._common, self._parties.operator
        return PrintedInvoice(
            language=self._language.tag,
            day=self._parties.day.isoformat(),
            title=words["statement"],
            number=statement.number,
            seller=PrintedParty(words["operator"], operator.name, party_lines(operator, common, self._language)),
            buyer=PrintedParty(words["partner"], statement.partner_name, ()),
            facts=tuple(self._facts()),
            columns=(
                common["column_number"],
                words["agreement"],
                words["base"],
                words["rate"],
                words["cap_left"],
                common["column_amount"],
            ),
            groups=tuple(self._groups()),
            sums=tuple(self._sums()),
            payment=(),
            payment_heading="",
            notes=(Note(words["counted"], words["counted_how"]), Note(words["net"], words["net_how"])),
            page=common["page"],
        )

    def _facts(self) -> Iterator[Fact]:
        statement, words, numbers = self._statement, self._words, self._numbers
        yield Fact(words["number"], statement.number)
        yield Fact(self._common["issued"], numbers.day(self._parties.day))
        yield Fact(words["period"], numbers.days(*days_of(parse_period(statement.period))))
        yield Fact(self._common["currency"], numbers.currency(statement.currency))

    def _groups(self) -> Iterator[PrintedGroup]:
        number = 0
        for direction in _DIRECTIONS:
            items = [item for item in self._statement.documents if item.direction == direction]
            if items:
                lines = tuple(self._line(at, item) for at, item in enumerate(items, start=number + 1))
                yield PrintedGroup(self._say("pays" if direction == "pay" else "receives"), lines)
                number += len(items)

    def _line(self, number: int, item: StatementItem) -> PrintedLine:
        numbers, currency = self._numbers, self._statement.currency
        agreement = self._parties.agreements.get(item.agreement)
        is_rental = item.kind == "capacity_rental"
        return PrintedLine(
            number=str(number),
            what=self._words[item.kind],
            clause=f"{item.agreement}, {self._term(agreement)}" if agreement else item.agreement,
            quantity=numbers.count(item.base) if is_rental else numbers.money(item.base, currency),
            price=numbers.money(item.rate, currency) if is_rental else numbers.percent(item.rate),
            per=self._words.say("of_unit", unit=agreement.unit.replace("_", " ")) if is_rental and agreement else "",
            exact="" if item.cap_left is None else numbers.money(item.cap_left, currency),
            amount=numbers.money(item.amount, currency),
        )

    def _term(self, agreement: Agreement) -> str:
        """When it is in force; the last day is the last that it is in force on."""
        begins = self._numbers.day(_day_of(agreement.begins))
        if agreement.ends == END_OF_TIME:
            return self._words.say("in_force_from", begins=begins)
        return self._words.say("in_force", begins=begins, ends=self._numbers.day(_day_of(agreement.ends - 1)))

    def _sums(self) -> Iterator[Fact]:
        statement, numbers = self._statement, self._numbers
        for direction, label in zip(_DIRECTIONS, ("payable", "receivable"), strict=True):
            items = [item for item in statement.documents if item.direction == direction]
            if items:
                yield Fact(self._say(label), numbers.money(_sum(items, statement.currency), statement.currency))
        owes = "owed_to" if statement.net.startswith("-") else "owed_by"
        yield Fact(self._say(owes), numbers.money(statement.net.removeprefix("-"), statement.currency))

    def _say(self, key: str) -> str:
        return self._words.say(key, operator=self._parties.operator.name, partner=self._statement.partner_name)


def _sum(items: Sequence[StatementItem], currency: str) -> str:
    return format_minor(sum(parse_pico(item.amount) for item in items), currency)


def _day_of(at: Instant) -> date:
    """The day in UTC, which is what dates of agreements mean."""
    return _EPOCH + timedelta(days=at // DAY)
