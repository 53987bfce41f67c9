"""Routing. Owns: which deployment a name means, the upstreams that can serve it, their order, health and load.
Leaves to others: connecting to them (relay), when to try the next one (flows).
Always: a caller sees only the deployments of its own project.
"""
