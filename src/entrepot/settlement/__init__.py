"""Settlement. Owns: what agreements with partners come to, from invoices and from partners' reports.
Leaves to others: what customers are invoiced (invoicing), how it is posted (ledger), when (flows).
Always: a statement is what the period comes to by now less what was stated before; a cap is never passed.
"""
