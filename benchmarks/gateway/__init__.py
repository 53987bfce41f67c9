"""The gateway's benchmark. Owns: the mock upstream, the load client, the targets, the phases and their figures.
Leaves to others: the usage log alone (usage_log.py) and the books (books.py).
Always: targets take turns within each round; CPU time of the whole process tree is what counts.
"""
