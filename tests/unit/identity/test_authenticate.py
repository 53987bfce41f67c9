"""Keys and tokens -> callers."""

import json

import jwt
import pytest
from cryptography.hazmat.primitives.asymmetric import ec, rsa
from jwt.algorithms import ECAlgorithm, RSAAlgorithm

from entrepot.core.catalog import Operation
from entrepot.core.errors import InvalidApiKey, PermissionDenied, SnapshotRefused
from entrepot.core.identifiers import Credential
from entrepot.core.periods import SECOND
from entrepot.core.snapshot import ServedPrincipal
from entrepot.core.tenancy import IdentityProvider
from entrepot.identity.authenticate import Directory
from entrepot.identity.authorize import check_inference
from tests.support.gateway import KEY, deployment, snapshot

NOW_S = 1_700_000_000
NOW = NOW_S * SECOND
ISSUER = "https://login.example/tenant/v2.0"
AUDIENCES = ("https://ai.example/", "https://cognitive.example/")
RSA_KEY = rsa.generate_private_key(65537, 2048)
EC_KEY = ec.generate_private_key(ec.SECP256R1())
JWKS = json.dumps(
    {
        "keys": [
            {**RSAAlgorithm.to_jwk(RSA_KEY.public_key(), as_dict=True), "kid": "rsa"},
            {**ECAlgorithm.to_jwk(EC_KEY.public_key(), as_dict=True), "kid": "ec"},
            {"kty": "oct", "k": "c2VjcmV0LXNlY3JldC1zZWNyZXQtc2VjcmV0LXNlY3JldA", "kid": "shared"},
            {"kty": "who knows", "kid": "odd"},
        ]
    }
)


def directory(keys: str = JWKS, **principals: ServedPrincipal) -> Directory:
    declared = principals or {
        "object-1": ServedPrincipal("search", "user"),
        "app-1": ServedPrincipal("search", "reader"),
    }
    provider = IdentityProvider(ISSUER, AUDIENCES, keys)
    return Directory(snapshot(deployment(), providers=(provider,), principals=declared))


def token(key: object = RSA_KEY, kid: str | None = "rsa", algorithm: str = "RS256", **claims: object) -> bytes:
    said = {"iss": ISSUER, "aud": AUDIENCES[0], "oid": "object-1", "exp": NOW_S + 3600, "nbf": NOW_S - 10}
    kept = {name: value for name, value in {**said, **claims}.items() if value is not None}
    return jwt.encode(kept, key, algorithm, headers={"kid": kid} if kid else {}).encode()  # type: ignore[arg-type]


def test_a_key_acts_for_its_project() -> None:
    caller = directory().caller(Credential(KEY.encode()), NOW)
    assert (caller.project.id, caller.project.customer, caller.key, caller.role) == ("search", "acme", "key-1", "user")


@pytest.mark.parametrize("credential", [b"", b"ek-unknown", KEY[:-1].encode(), b"ey.not.token", b"\xff\xfe"])
def test_unknown_credentials(credential: bytes) -> None:
    with pytest.raises(InvalidApiKey) as refused:
        directory().caller(Credential(credential), NOW)
    assert KEY[:-1] not in refused.value.message


@pytest.mark.parametrize("audience", AUDIENCES)
def test_a_token_for_any_of_the_audiences(audience: str) -> None:
    caller = directory().caller(Credential(token(aud=audience)), NOW)
    assert (caller.project.id, caller.key, caller.principal) == ("search", "object-1", "principal object-1")


def test_a_token_of_another_kind_of_key() -> None:
    assert directory().caller(Credential(token(EC_KEY, "ec", "ES256")), NOW).key == "object-1"


@pytest.mark.parametrize("claim", ["appid", "azp", "sub"])
def test_a_principal_is_found_by_any_of_its_names(claim: str) -> None:
    assert directory().caller(Credential(token(oid="object-of-app", **{claim: "app-1"})), NOW).role == "reader"


@pytest.mark.parametrize("claim", ["appid", "azp"])
def test_a_person_is_not_the_program_that_person_uses(claim: str) -> None:
    with pytest.raises(PermissionDenied, match="stranger"):
        directory().caller(Credential(token(oid="stranger", scp="user_impersonation", **{claim: "app-1"})), NOW)


@pytest.mark.parametrize(
    ("made", "said"),
    [
        (lambda: token(aud="https://other.example"), "another audience"),
        (lambda: token(aud=None), "aud"),
        (lambda: token(exp=NOW_S), "expired"),
        (lambda: token(exp=None), "exp"),
        (lambda: token(nbf=NOW_S + 3600), "not valid yet"),
        (lambda: token(iss="https://elsewhere"), "issuer"),
        (lambda: token(iss=None), "issuer"),
        (lambda: token(oid=None), "names no principal"),
        (lambda: token(kid="new"), "not published"),
        (lambda: token(kid=None), "not published"),
        (lambda: token(rsa.generate_private_key(65537, 2048)), "does not verify"),
        (lambda: token(b"secret-secret-secret-secret-secret", "shared", "HS256"), "not published"),
        (lambda: token(b"x" * 64, "rsa", "HS256"), "does not verify"),
        (lambda: token()[:-4] + b"AAAA", "does not verify"),
        (lambda: b"eyJhbGciOiJub25lIn0." + token().split(b".")[1] + b".", "not published|does not verify"),
        (lambda: b"eyJ.eyJ.x", "cannot be read"),
    ],
)
def test_tokens_that_are_refused(made: object, said: str) -> None:
    assert callable(made)
    with pytest.raises(InvalidApiKey, match=said):
        directory().caller(Credential(made()), NOW)


def test_a_token_is_remembered_until_it_expires_and_no_longer() -> None:
    asked = directory()
    good = token(exp=NOW_S + 5)
    caller = asked.caller(Credential(good), NOW)
    assert asked.caller(Credential(good), NOW + 4 * SECOND) is caller
    with pytest.raises(InvalidApiKey, match="expired"):
        asked.caller(Credential(good), NOW + 5 * SECOND)


def test_a_directory_speaks_for_its_own_principals_only() -> None:
    """Whoever runs a directory can put any name into its tokens."""
    other = IdentityProvider("https://other.example", AUDIENCES, JWKS)
    both = (IdentityProvider(ISSUER, AUDIENCES, JWKS), other)
    bound = {"object-1": ServedPrincipal("search", "user", ISSUER)}
    asked = Directory(snapshot(deployment(), providers=both, principals=bound))
    assert asked.caller(Credential(token()), NOW).key == "object-1"
    with pytest.raises(PermissionDenied, match="'object-1'"):
        asked.caller(Credential(token(iss=other.issuer)), NOW)


def test_a_known_identity_without_a_role_is_denied_by_name() -> None:
    with pytest.raises(PermissionDenied, match="'stranger'"):
        directory().caller(Credential(token(oid="stranger")), NOW)


@pytest.mark.parametrize(
    ("operation", "action"), [("chat", "deployments/chat/completions/action"), ("embeddings", "deployments/embeddings")]
)
def test_a_reader_may_not_infer_and_hears_which_action_it_lacks(operation: Operation, action: str) -> None:
    reader = directory().caller(Credential(token(oid=None, appid="app-1")), NOW)
    with pytest.raises(PermissionDenied, match=f"principal app-1 .*{action}"):
        check_inference(reader, operation)
    check_inference(directory().caller(Credential(KEY.encode()), NOW), operation)


@pytest.mark.parametrize("keys", ["", "[]", '{"no": "keys"}'])
def test_keys_that_are_no_set_make_no_directory(keys: str) -> None:
    with pytest.raises(SnapshotRefused, match="JWK set"):
        directory(keys)
