"""Serving. Owns: what a model process of our own says: requests checked, prompts rendered, answers shaped.
Leaves to others: running the model and keeping what was served (ports), order and waiting (flows), HTTP (edge).
Always: what cannot be honoured is refused by name, never dropped; the same request gives the same prompt.
Always: usage counts the model's own tokens, the ones we add to a prompt included.
"""
