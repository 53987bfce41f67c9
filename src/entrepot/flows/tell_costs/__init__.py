"""Telling costs: what invoices and usage come to, as rows of FOCUS and as OpenAI tells organizations."""
