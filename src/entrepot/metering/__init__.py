"""Metering. Owns: what a usage event is counted as, or the reason why it cannot be; readings; completeness.
Leaves to others: what it costs (rating), where it is kept (the books), when it is counted (flows).
Always: the event and the world in force decide, once, at admission; nothing is dropped and nothing is free by accident.
"""
