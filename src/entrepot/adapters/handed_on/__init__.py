"""Batches of text that leave the process from a thread of their own: lines into a file, spans to a collector.

Owns: the threads, how much may wait for them, what is dropped. Leaves to others: what is in a batch.
Always: nobody waits for them, and nothing that was dropped goes uncounted.
"""
