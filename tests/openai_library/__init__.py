"""The openai library's own API tests, run against a gateway; see run.py."""
