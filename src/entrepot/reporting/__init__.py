"""Reporting. Owns: what the books mean to whoever runs the business: concentration, run-rate.
Leaves to others: what is owed (invoicing), what was booked (ledger), how it is shown (cli, edge).
Always: figures are exact fractions of invoiced amounts, rounded once, when they are written down.
"""
