"""Usage files. Owns: JSON Lines, CSV and Parquet files of usage records, and published traces, in and out.
Leaves to others: what a record means (metering), where it goes (flows).
Always: memory stays flat; a line that cannot be read costs that line only; every fault has a line number.
"""
