"""Valkey. Owns: the connection to a Valkey (or Redis) server, its wire format, what we keep there.
Leaves to others: what a missing answer means (flows).
Always: nobody waits for the server longer than a small bound; what it does not say in time, it does not say.
"""
