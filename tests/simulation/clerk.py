"""The operator's people in a life: they import usage, close and settle months and give back lines of invoices."""

from collections.abc import Sequence
from random import Random

import msgspec

from entrepot.core.errors import BooksUnavailable, UsageLogUnavailable
from entrepot.core.invoices import Invoice
from entrepot.core.log_records import (
    InvoiceCredited,
    LogRecord,
    MonthClosed,
    MonthSettled,
    UsageRecorded,
    encode_record,
)
from entrepot.core.periods import DAY
from entrepot.core.segments import frame
from entrepot.core.usage_event import UsageEvent
from entrepot.ports.books import Books
from tests.simulation.machine import Machine


class Clerk:
    """Records what people decide. imported, conflicts: what is in the log, or may be."""

    def __init__(self, machine: Machine, chance: Random) -> None:
        self._machine = machine
        self._chance = chance
        self.imported: dict[str, UsageEvent] = {}
        self.conflicts: set[tuple[str, int]] = set()
        self.refused_conflicts: set[tuple[str, int]] = set()  # A log that failed may hold them all the same.

    def record(self, *records: LogRecord) -> None:
        """Appends as a command does. Raises: UsageLogUnavailable."""
        self._machine.commit([frame(encode_record(record)) for record in records], len(records))

    def act(self, books: Books, period: str) -> None:
        """One of all that people do, as they do it: a month is closed or settled whether it is over or not."""
        act = self._chance.choices(("import", "close", "settle", "give back"), (4, 6, 3, 2))[0]
        if act == "import":
            self._import()
        elif act == "give back":
            self._give_back(books)
        else:
            kind = MonthClosed if act == "close" else MonthSettled
            self._recorded([kind(at=self._machine.clock.at, period=period)])

    def _give_back(self, books: Books) -> None:
        """Gives back a line of an invoice, all that is left of it or so much; perhaps more than is left."""
        try:
            issued = [invoice for invoice in books.invoices() if not invoice.corrects]
        except BooksUnavailable:
            return
        lines = [(invoice, line.number) for invoice in issued for line in invoice.lines if line.amount[0] != "-"]
        if lines:
            self._recorded([self._credit(*self._chance.choice(lines))])

    def _credit(self, invoice: Invoice, line: int) -> InvoiceCredited:
        amount = self._chance.choice(("", "0.01", "1"))
        return InvoiceCredited(self._machine.clock.at, invoice.number, ((line, amount),), "outage")

    def _import(self) -> None:
        """Usage from elsewhere: new, known, known with other content, in any order, perhaps twice."""
        chance, events = self._chance, list[UsageEvent]()
        for _ in range(chance.randrange(1, 5)):
            at = self._machine.clock.at - chance.randrange(4 * DAY)
            event = UsageEvent(
                f"import-{len(self.imported)}",
                at,
                at,
                chance.choice(("acme", "beta")),
                "p",
                "chat",
                "m",
                "default",
                {"input_tokens": chance.randrange(1, 1000), "output_tokens": chance.randrange(2000)},
            )
            self.imported[event.id] = event
            events.append(event)
        if chance.random() < 0.5:
            events.append(chance.choice(list(self.imported.values())))
        chance.shuffle(events)
        names = {event.id for event in events}
        if not self._recorded([UsageRecorded(event) for event in events]):
            self._machine.unsure |= names
            return
        self._machine.unsure -= names
        if chance.random() < 0.2:  # Once more, with an error in it: the first word stands.
            wrong = msgspec.structs.replace(events[0], meters={"input_tokens": 12_345})
            is_in = self._recorded([UsageRecorded(wrong)])
            (self.conflicts if is_in else self.refused_conflicts).add((wrong.id, 12_345))

    def _recorded(self, records: Sequence[LogRecord]) -> bool:
        try:
            self.record(*records)
        except UsageLogUnavailable:
            return False
        return True
