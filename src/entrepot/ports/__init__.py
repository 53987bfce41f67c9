"""Ports. Owns: Protocols, the complete list of what we ask of the outside world.
Leaves to others: how (adapters), when and why (flows).
Always: our words, not a product's; each method lists the errors it may raise.
"""
