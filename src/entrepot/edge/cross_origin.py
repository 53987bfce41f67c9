"""What lets pages of any origin ask, on OpenAI's routes as OpenAI's own API does; Azure's has none of it.

A page brings the key itself, the browser adds nothing of its user's; so who has no key gets nothing by this. The routes
for operators take no key and stay shut. Source: the Fetch standard, "CORS protocol".
"""

import re

from entrepot.edge.http_requests import RequestHead
from entrepot.edge.routes import Route

# What all answers to pages have: they may read all fields, our ids and limits among them.
OPEN_TO_PAGES = "Access-Control-Allow-Origin: *\r\nAccess-Control-Expose-Headers: *\r\n"
_ASKED_S = 7200  # How long a browser need not ask again; no browser waits longer.
_NAMES = re.compile(rb"[-\w!#$%&'*+.^`|~, ]{1,4000}", re.ASCII)


def lets_pages_in(route: Route) -> bool:
    """Whether pages of other origins may ask the route."""
    return route.version == "undated" and route.kind != "realtime"


def preflight_fields(head: RequestHead, route: Route) -> str:
    """What an answer says beside that to a browser that asks ahead of its page's request; "" of any other head."""
    if head.method != b"OPTIONS" or not lets_pages_in(route) or not head.field(b"access-control-request-method"):
        return ""
    fields = f"Access-Control-Allow-Methods: {allowed(route)}\r\nAccess-Control-Max-Age: {_ASKED_S}\r\n"
    names = head.field(b"access-control-request-headers")  # Given back one by one: * does not stand for a key's.
    if _NAMES.fullmatch(names):
        fields += f"Access-Control-Allow-Headers: {names.decode()}\r\n"
    return fields


def allowed(route: Route) -> str:
    """The route's methods, as a header line lists them."""
    return b", ".join(route.methods).decode()
