"""Invoicing. Owns: which readings make which line, numbers, the frozen invoice.
Leaves to others: amounts (rating), rounding (core.invoices), postings (ledger).
Always: a line is rounded once; numbers of a period have no gaps; what is issued never changes.
"""
