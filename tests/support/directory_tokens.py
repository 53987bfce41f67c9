"""A directory of the tests' own: a key pair, the key set it would publish, and tokens signed like those of Entra."""

import json
import time

import jwt
from cryptography.hazmat.primitives.asymmetric import rsa
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat, load_pem_private_key
from jwt.algorithms import RSAAlgorithm

ISSUER = "https://directory.example/tenant/v2.0"
AUDIENCES = ("https://cognitiveservices.azure.com", "https://ai.azure.com")
APPLICATION = "7d1f6a52-application"
AUDITOR = "0b2c9e11-auditor"
KEY_ID = "signing-1"


def new_signing_key() -> str:
    """A private RSA key as PEM text."""
    key = rsa.generate_private_key(public_exponent=65537, key_size=2048)
    return key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()).decode()


def published_keys(signing_key: str) -> str:
    """The JWK set of a signing key, as JSON text."""
    key = load_pem_private_key(signing_key.encode(), None)
    assert isinstance(key, rsa.RSAPrivateKey)
    described = RSAAlgorithm.to_jwk(key.public_key(), as_dict=True)
    return json.dumps({"keys": [{**described, "kid": KEY_ID, "use": "sig", "alg": "RS256"}]})


def signed_token(signing_key: str, **claims: object) -> str:
    """A token of the application for the first audience, good for an hour, with other claims."""
    now = int(time.time())
    said = {"iss": ISSUER, "aud": AUDIENCES[0], "oid": APPLICATION, "iat": now, "nbf": now - 1, "exp": now + 3600}
    return jwt.encode({**said, **claims}, signing_key, "RS256", headers={"kid": KEY_ID})
