"""Commands. Owns: arguments, what is printed, exit statuses: one module for each group of commands.
Leaves to others: everything that is done (compose builds it, flows do it).
Always: --json prints one JSON document on stdout and nothing else; 0 done, 2 bad usage, 1 otherwise with a clear line.
"""
