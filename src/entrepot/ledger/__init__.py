"""Ledger. Owns: the chart of accounts, balanced entries, the check of a whole journal.
Leaves to others: what is due (rating), when it is due (flows), paper (invoicing).
Always: postings of an entry sum to zero per currency; entries are appended, never edited.
"""
