"""May this caller do this?"""

from typing import Final

from entrepot.core.catalog import Operation
from entrepot.core.errors import PermissionDenied
from entrepot.identity.authenticate import Caller

# The data actions as Azure's roles name them, which is how administrators know them.
_ACTIONS: Final[dict[Operation, str]] = {
    "chat": "deployments/chat/completions/action",
    "completions": "deployments/completions/action",
    "embeddings": "deployments/embeddings/action",
    "responses": "responses/write",
    "images": "deployments/images/generations/action",
    "image_edits": "deployments/images/edits/action",
    "image_variations": "deployments/images/variations/action",
    "speech": "deployments/audio/speech/action",
    "transcriptions": "deployments/audio/transcriptions/action",
    "translations": "deployments/audio/translations/action",
    "moderations": "deployments/moderations/action",
    "rerank": "deployments/rerank/action",
    "realtime": "deployments/realtime/action",
}


_ACTION_ON_JOBS = "batch-jobs/write"


def check_inference(caller: Caller, operation: Operation) -> None:
    """Nothing, when the caller may ask for the operation; a reader may only list. Raises: PermissionDenied."""
    if caller.role != "user":
        raise _lacking(caller, _ACTIONS[operation])


def check_jobs(caller: Caller) -> None:
    """Nothing, when the caller may work with files and batches. Raises: PermissionDenied."""
    if caller.role != "user":
        raise _lacking(caller, _ACTION_ON_JOBS)


def _lacking(caller: Caller, action: str) -> PermissionDenied:
    return PermissionDenied(
        f"The {caller.principal} lacks the permission for the action {action}; "
        "as a reader it may only list deployments. An administrator can give it the role user."
    )
