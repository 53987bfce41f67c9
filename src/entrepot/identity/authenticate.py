"""Key or token -> caller, from what a snapshot holds; no lookup leaves the process."""

from dataclasses import dataclass

from entrepot.core.errors import InvalidApiKey, PermissionDenied
from entrepot.core.identifiers import key_digest
from entrepot.core.periods import Instant
from entrepot.core.snapshot import GatewaySnapshot, ServedProject
from entrepot.core.tenancy import Role
from entrepot.identity.tokens import Verified, Verifier, looks_like_token

VERIFIED_TOKENS_MAX = 10_000


@dataclass(frozen=True, slots=True)
class Caller:
    """Who calls. key: the id that usage is recorded under, of the key or of the principal."""

    project: ServedProject
    key: str
    principal: str
    role: Role


class Directory:
    """The callers of one snapshot. Tokens that verified are remembered until they expire."""

    __slots__ = ("_by_digest", "_by_principal", "_by_token", "_verifier")

    def __init__(self, snapshot: GatewaySnapshot) -> None:
        self._by_digest = {
            digest: Caller(snapshot.projects[project], key, f"key {key}", "user")
            for digest, (key, project) in snapshot.keys.items()
            if project in snapshot.projects
        }
        self._by_principal = {
            name: Caller(snapshot.projects[principal.project], name, f"principal {name}", principal.role)
            for name, principal in snapshot.principals.items()
            if principal.project in snapshot.projects
        }
        self._verifier = Verifier(snapshot.identity_providers)
        self._by_token: dict[str, tuple[Caller, Instant]] = {}

    def caller(self, credential: bytes, at: Instant) -> Caller:
        """The caller of a key or of a directory's token. Raises: InvalidApiKey, PermissionDenied."""
        if not credential:
            raise InvalidApiKey(
                "No API key was sent; send it as 'Authorization: Bearer <key>' or in the header 'api-key'."
            )
        digest = key_digest(credential)
        caller = self._by_digest.get(digest)
        if caller is not None:
            return caller
        if looks_like_token(credential):
            return self._caller_of_token(credential, digest, at)
        raise InvalidApiKey("The API key is not known here, or was revoked; check the key and the endpoint.")

    def _caller_of_token(self, token: bytes, digest: str, at: Instant) -> Caller:
        known = self._by_token.get(digest)
        if known is not None and at < known[1]:
            return known[0]
        verified = self._verifier.verify(token, at)
        caller = self._bound(verified)
        if len(self._by_token) >= VERIFIED_TOKENS_MAX:
            self._by_token.clear()
        self._by_token[digest] = (caller, verified.expires_at)
        return caller

    def _bound(self, verified: Verified) -> Caller:
        for name in verified.names:
            caller = self._by_principal.get(name)
            if caller is not None:
                return caller
        raise PermissionDenied(
            f"The principal {verified.names[0]!r} is known to its directory but lacks any role here; "
            "the action needs a principal of the world file that binds it to a project."
        )
