"""Exporting. Owns: the forms in which others read the books: plain-text accounting, FOCUS, OpenAI's usage and costs.
Leaves to others: what was booked (ledger), what was invoiced (invoicing), files and sockets (adapters, edge).
Always: amounts leave as they stand in the books, every digit of them; what is rounded stands in a row of its own.
"""
