"""Tokens of a directory: signed JSON (JWT), verified against the keys that the operator declared for its issuer."""

import json
from typing import TYPE_CHECKING, Any, NamedTuple

from entrepot.core.errors import InvalidApiKey, SnapshotRefused
from entrepot.core.periods import SECOND, Instant
from entrepot.core.tenancy import IdentityProvider

if TYPE_CHECKING:
    from jwt import PyJWK

# Signatures only a directory can make; never a shared secret, which a public key could be mistaken for.
ALGORITHMS = ("RS256", "RS384", "RS512", "PS256", "PS384", "PS512", "ES256", "ES384", "ES512", "EdDSA")

# Who a token speaks for, the surest first. Source: Microsoft's access token claims reference.
_NAME_CLAIMS = ("oid", "appid", "azp", "sub")
_APPLICATION_CLAIMS = ("appid", "azp")  # In a token with `scp` they name the program a person used, not who acts.
_CLOCK_SKEW = 60 * SECOND


class Verified(NamedTuple):
    """What a token that verified says: its principal's names, the surest first, and when it stops being good."""

    issuer: str
    names: tuple[str, ...]
    expires_at: Instant


def looks_like_token(credential: bytes) -> bool:
    """Whether the credential has the form of a signed token: three parts, the first a JSON object in base64."""
    return credential.startswith(b"ey") and credential.count(b".") == 2


class Verifier:
    """Verifies tokens of the declared directories."""

    __slots__ = ("_by_issuer",)

    def __init__(self, providers: tuple[IdentityProvider, ...]) -> None:
        self._by_issuer = {provider.issuer: (provider.audiences, _keys_of(provider)) for provider in providers}

    def verify(self, token: bytes, at: Instant) -> Verified:
        """What the token says. Raises: InvalidApiKey with the reason."""
        import jwt

        try:
            header = jwt.get_unverified_header(token)
            issuer = jwt.decode(token, options={"verify_signature": False}).get("iss")
        except jwt.PyJWTError:
            raise InvalidApiKey("The token cannot be read; it is not a signed JSON Web Token.") from None
        if not isinstance(issuer, str) or issuer not in self._by_issuer:
            raise InvalidApiKey("The token's issuer is not a directory that this service accepts.")
        audiences, keys = self._by_issuer[issuer]
        key = _key_for(keys, header.get("kid"))
        try:
            claims = jwt.decode(
                token,
                key,
                algorithms=ALGORITHMS,
                audience=audiences,
                issuer=issuer,
                # Times are checked below, against the clock that everything else here goes by.
                options={
                    "require": ["exp", "aud", "iss"],
                    "verify_exp": False,
                    "verify_nbf": False,
                    "verify_iat": False,
                },
            )
        except jwt.InvalidAudienceError:
            raise InvalidApiKey(f"The token is for another audience; ask for one of: {', '.join(audiences)}.") from None
        except jwt.PyJWTError as error:
            raise InvalidApiKey(f"The token does not verify: {error}.") from None
        return _within_its_time(claims, at)


def _within_its_time(claims: dict[str, Any], at: Instant) -> Verified:
    expires_at, not_before = _instant(claims.get("exp")), _instant(claims.get("nbf", 0))
    if expires_at is None or at >= expires_at:
        raise InvalidApiKey("The token has expired; get a new one from the directory.")
    if not_before is None or at + _CLOCK_SKEW < not_before:
        raise InvalidApiKey("The token is not valid yet; check the clocks.")
    spoken_for = _APPLICATION_CLAIMS if "scp" in claims else ()
    told = (claims.get(claim) for claim in _NAME_CLAIMS if claim not in spoken_for)
    names = tuple(name for name in told if isinstance(name, str) and name)
    if not names:
        raise InvalidApiKey(f"The token names no principal; it needs one of the claims {', '.join(_NAME_CLAIMS)}.")
    return Verified(claims["iss"], names, expires_at)


def _instant(seconds: object) -> Instant | None:
    """The instant of a NumericDate claim, or None for anything else."""
    return int(seconds) * SECOND if isinstance(seconds, int | float) and not isinstance(seconds, bool) else None


def _keys_of(provider: IdentityProvider) -> "dict[str | None, PyJWK]":
    """The directory's usable keys by id; a key of a kind we do not accept is left out."""
    import jwt

    keys: dict[str | None, PyJWK] = {}
    try:
        published = json.loads(provider.keys)["keys"]
    except (ValueError, KeyError, TypeError):
        raise SnapshotRefused(f"the keys of the identity provider {provider.issuer} are not a JWK set") from None
    for described in published:
        try:
            key = jwt.PyJWK(described)
        except jwt.PyJWTError:
            continue
        if key.key_type != "oct":
            keys[key.key_id] = key
    return keys


def _key_for(keys: "dict[str | None, PyJWK]", key_id: object) -> "PyJWK":
    if isinstance(key_id, str) and key_id in keys:
        return keys[key_id]
    if key_id is None and len(keys) == 1:
        return next(iter(keys.values()))
    raise InvalidApiKey("The token is signed with a key that its directory has not published here.")
