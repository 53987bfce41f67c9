"""Adapters. Owns: how the ports are met: disks, sockets, databases, model engines, clocks.
Leaves to others: which adapter is used where (compose), what is asked of it (flows).
Always: knows ports and core only, and no other adapter.
"""
