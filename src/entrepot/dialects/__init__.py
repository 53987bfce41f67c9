"""Dialects. Owns: wire formats of model APIs: bytes in, values out, and back.
Leaves to others: connections (relay, edge), who may ask (identity), statuses of our own errors (edge).
Always: no I/O; a field we do not decide by passes through as it was written.
"""
