"""Reconciling. Owns: partners' files as rows, our counts beside theirs, five counts of one hour beside each other.
Leaves to others: where the counts come from (books, log), what is done about a difference (the operator).
Always: exact; nothing that cannot be compared is left out in silence, and a tolerance is declared, never guessed.
"""
