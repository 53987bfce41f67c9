"""Identity. Owns: who calls (key or directory token -> caller) and what a caller may do.
Leaves to others: issuing keys (provisioning), which deployment serves (routing), how a refusal looks (edge).
Always: only digests of keys are known here; a token is good only as long as its own expiry says.
"""
