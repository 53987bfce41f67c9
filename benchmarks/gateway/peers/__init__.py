"""The gateways and proxies of others that the product is measured beside. Owns: how each is installed and started.
Leaves to others: what is measured (phases), what is made of it (results).
Always: each in an environment of its own, from locked files; one that is missing or fails is noted and left out.
"""
