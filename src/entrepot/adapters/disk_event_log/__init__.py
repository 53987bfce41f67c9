"""The usage log in segment files. Owns: writing, reading, recovering and checking segments on a Disk.
Leaves to others: the bytes of the format (core.segments), sockets and clients (edge.log_api, adapters.log_client).
Always: one writer; acknowledged means durable; readers see only what is durable; what a successor's header does not
count never happened.
"""
