"""Routing. Owns: which deployment a name means, and the upstreams that can serve it, in order.
Leaves to others: connecting to them (relay), when to try the next one (flows).
Always: a caller sees only the deployments of its own project.
"""
