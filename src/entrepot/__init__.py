"""Entrepôt: an open model cloud. Sells models by the token, from request to invoice."""

__version__ = "0.1.0"
