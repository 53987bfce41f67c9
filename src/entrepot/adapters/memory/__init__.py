"""The ports in memory. Owns: twins that are good enough for tests, simulation and a demonstration.
Leaves to others: what lasts.
Always: deterministic; what chance does comes in as a generator.
"""
