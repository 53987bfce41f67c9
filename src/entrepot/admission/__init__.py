"""Admission. Owns: what a request is measured by, the limits it falls under, what is held for it and how that settles.
Leaves to others: where counters are kept (adapters), what was really used (metering), how a refusal is written (edge).
Always: a hold is settled or given back exactly once; a refusal names its limit and says when the request would fit.
"""
