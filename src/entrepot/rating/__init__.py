"""Rating. Owns: reading x price = charge.
Leaves to others: which price version is in force (metering, at admission), whom it is posted to (ledger).
Always: exact, in whole pico; splitting a reading anywhere never changes the total.
"""
