"""Caching. Owns: which requests may be answered by an earlier answer, when two are the same, what is kept of an answer.
Leaves to others: where answers are kept (adapters), what one from the cache costs (prices), when to look (flows).
Always: an answer is given again only to the project it was made for, and only while it is what would be asked for.
"""
