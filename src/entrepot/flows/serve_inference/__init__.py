"""A request's way through the gateway: flow.py walks it to an upstream, exchange.py is what happens from there on."""
