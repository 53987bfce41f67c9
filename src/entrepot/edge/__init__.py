"""Edge. Owns: what comes in: HTTP and socket protocols, routes, error bodies.
Leaves to others: what is done about it (flows), how the outside is reached (adapters).
Always: parses, calls one flow or port, shapes the answer.
"""
