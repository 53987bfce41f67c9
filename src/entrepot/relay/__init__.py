"""Relay. Owns: connections to upstreams, HTTP/1.1 answers and event streams as bytes, the tap that counts them.
Leaves to others: what the bytes mean (dialects), where they go and when they end (flows), clients' connections (edge).
Always: what is only forwarded is never parsed; nothing is sent to an upstream twice once it has answered a byte.
"""
