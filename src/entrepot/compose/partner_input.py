"""Partners' files as commands bring them in."""

from collections.abc import Mapping
from pathlib import Path

from entrepot.adapters.clocks import SystemClock
from entrepot.adapters.partner_files import read_partner_file
from entrepot.compose.books import Report, open_current_books, open_log
from entrepot.compose.settings import Settings
from entrepot.flows.reconcile_partner import ImportedReport, import_report


def import_partner_file(
    settings: Settings, partner: str, path: Path, columns: Mapping[str, str], report: Report
) -> ImportedReport:
    """What came of a partner's file, which is in the log and the books afterwards.

    Raises: NotFound, BadInput naming what cannot be read; UsageLogUnavailable.
    """
    file = read_partner_file(path)
    with open_current_books(settings, report) as books, open_log(settings) as log:
        found = import_report(books, log, SystemClock(), partner, file, columns)
    with open_current_books(settings, report):
        return found
