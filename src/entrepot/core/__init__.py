"""Core. Owns: values and arithmetic; same input, same answer, always.
Leaves to others: time, disks, networks, randomness (ports), and the order of things (flows).
Always: pure; money is an integer number of pico, time an integer number of microseconds UTC.
"""
