"""Compiling the request path: which modules, and how."""
