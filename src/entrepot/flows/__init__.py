"""Flows. Owns: the order of things; one business path per file, read top to bottom.
Leaves to others: each step (rooms), when a path is walked (edge, workers, cli).
Always: no flow calls another; what two share is a room's.
"""
