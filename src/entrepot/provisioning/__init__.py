"""Provisioning. Owns: world files and their faults, what a change of the world changes, and the snapshot made of it.
Leaves to others: whether a change may be applied and its record (flows), disks (adapters), serving (gateway).
Always: pure; every fault is named with file and line, all of them at once; no number of a world file becomes a float.
"""
