"""The books in one SQLite file: WAL, a flush per commit, append-only where it must be.

`open_books(":memory:")` is the same code without a file; `open_books("")` spills to a private temporary file.
"""
