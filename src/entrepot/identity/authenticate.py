"""Key or token -> caller, from what a snapshot holds; no lookup leaves the process."""

from collections.abc import Collection
from dataclasses import dataclass

from entrepot.core.errors import InvalidApiKey, PermissionDenied
from entrepot.core.identifiers import Credential
from entrepot.core.periods import Instant
from entrepot.core.snapshot import GatewaySnapshot, ServedProject
from entrepot.core.tenancy import Role
from entrepot.core.tokens import TIERS
from entrepot.identity.tokens import Verified, Verifier, looks_like_token

VERIFIED_TOKENS_MAX = 10_000
JOBS = "jobs"  # What the usage of batches is recorded under, in the place of a key.


@dataclass(frozen=True, slots=True)
class Caller:
    """Who calls, to be served at a tier. key: the id that usage is recorded under, of the key or of the principal."""

    project: ServedProject
    key: str
    principal: str
    role: Role
    tier: str = "default"


class Directory:
    """The callers of one snapshot. Tokens that verified are remembered until they expire.

    The caller of a key is made when it first calls: most of a hundred thousand keys do not before the next snapshot.
    """

    __slots__ = ("_by_digest", "_by_token", "_keys", "_principals", "_projects", "_trusted", "_verifier")

    def __init__(self, snapshot: GatewaySnapshot, trusted: str = "") -> None:
        """trusted: the digest of the token of this installation's own processes, or "" for none."""
        self._projects = snapshot.projects
        self._trusted = trusted
        self._keys = snapshot.keys
        self._by_digest: dict[str, Caller] = {}
        self._principals = snapshot.principals
        self._verifier = Verifier(snapshot.identity_providers)
        self._by_token: dict[str, tuple[Caller, Instant]] = {}

    def caller(self, credential: Credential, at: Instant, project: bytes = b"", tier: bytes = b"") -> Caller:
        """The caller of a key or of a directory's token.

        project, tier: whom a process of this installation acts for; they mean nothing from anybody else.
        Raises: InvalidApiKey, PermissionDenied.
        """
        caller = self._by_digest.get(credential.digest) or self._caller_of_key(credential.digest)
        if caller is not None:
            return caller
        if not credential.text:
            raise InvalidApiKey(
                "No API key was sent; send it as 'Authorization: Bearer <key>' or in the header 'api-key'."
            )
        if project and credential.digest == self._trusted:
            return self._acting_for(project.decode("ascii", "replace"), tier.decode("ascii", "replace"))
        if looks_like_token(credential.text):
            return self._caller_of_token(credential, at)
        # OpenAI's first words, by which clients (LiteLLM) tell a wrong key from other requests that are at fault.
        raise InvalidApiKey(
            "Incorrect API key provided: it is not known here, or was revoked; check the key and the endpoint."
        )

    @property
    def held(self) -> list[Collection[object]]:
        """What it is made of, and there may be many of."""
        return [self._by_digest, self._keys, self._principals, self._projects]

    def _caller_of_key(self, digest: str) -> Caller | None:
        key = self._keys.get(digest)
        project = None if key is None else self._projects.get(key.project)
        if key is None or project is None:
            return None
        caller = self._by_digest[digest] = Caller(project, key.id, f"key {key.id}", "user")
        return caller

    def _acting_for(self, name: str, tier: str) -> Caller:
        project = self._projects.get(name)
        if project is None or tier not in TIERS:
            raise PermissionDenied(f"The project {name!r} is not declared any more, or {tier!r} is not a tier.")
        return Caller(project, JOBS, "jobs process", "user", tier)

    def _caller_of_token(self, token: Credential, at: Instant) -> Caller:
        known = self._by_token.get(token.digest)
        if known is not None and at < known[1]:
            return known[0]
        verified = self._verifier.verify(token.text, at)
        caller = self._bound(verified)
        if len(self._by_token) >= VERIFIED_TOKENS_MAX:
            self._by_token.clear()
        self._by_token[token.digest] = (caller, verified.expires_at)
        return caller

    def _bound(self, verified: Verified) -> Caller:
        for name in verified.names:
            bound = self._principals.get(name)
            if bound is not None and bound.issuer in (verified.issuer, ""):
                project = self._projects.get(bound.project)
                if project is not None:
                    return Caller(project, name, f"principal {name}", bound.role)
        raise PermissionDenied(
            f"The principal {verified.names[0]!r} is known to its directory but lacks any role here; "
            "the action needs a principal of the world file that binds it to a project."
        )
