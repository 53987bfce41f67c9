"""The gateway with nothing counted or told of a request's end, to know what that costs."""

import sys
from typing import Any

from entrepot.compose import gateway
from entrepot.edge.inference_api import InferenceApi
from entrepot.edge.inference_call import InferenceCall


def unwatched(*parts: Any) -> InferenceApi:
    """The gateway's front, which tells nobody what has ended."""
    api = InferenceApi(*parts)
    api.desk.ended = ignore
    return api


def ignore(call: InferenceCall) -> None:
    """Nothing is done for a request that has ended."""


if __name__ == "__main__":
    vars(gateway)["InferenceApi"] = unwatched
    sys.exit(gateway.main())
