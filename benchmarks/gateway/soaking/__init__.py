"""The soak: mixed load for a long time. Owns: the mixture, the ledger that usage is held against, what is to stay flat.
Leaves to others: sending (load), starting (product), how a figure is made (results).
Always: what clients were told and what the log holds are compared request by request, by id.
"""
