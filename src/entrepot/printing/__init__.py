"""Printing. Owns: how an issued invoice is said to its reader: words, numbers and dates of a language, HTML, UBL.
Leaves to others: what is on the invoice (invoicing), pages of a PDF (the typesetter), where it is shown (edge, cli).
Always: the amounts are those of the frozen invoice, digit by digit; the same invoice makes the same bytes.
"""
