"""Compose. Owns: settings, and one module for each process: which adapters it has, how it starts and ends.
Leaves to others: every decision about requests, usage or money (flows and rooms).
Always: the only place that sees rooms and adapters; keeps no globals; reads the environment in settings.py alone.
"""
