"""Jobs. Owns: what a batch's input file must hold and what its output files say.
Leaves to others: storing files, sending the requests (ports), when (flows), who may (the gateway).
Always: a task's body is sent, and its answer kept, byte for byte.
"""
