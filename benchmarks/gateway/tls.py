"""The mock upstream behind TLS: nginx before it, on the load's core, with a certificate made for the run."""

import datetime as dt
import ipaddress
from pathlib import Path

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

from benchmarks.gateway.load import MockUpstream
from benchmarks.gateway.native_tools import HERE
from benchmarks.gateway.processes import Children, free_port
from benchmarks.gateway.targets import TlsUpstream, filled, nginx_program


def start_front(children: Children, mock: MockUpstream) -> TlsUpstream:
    """The mock behind TLS 1.3. Raises: ToolMissing without nginx."""
    program = nginx_program()
    scratch, port = children.bench.scratch, free_port()
    name = f"tls-front-{port}"
    certificate, key = scratch / f"{name}.pem", scratch / f"{name}.key"
    write_certificate(certificate, key)
    values = {
        "NAME": name,
        "CERTIFICATE": certificate,
        "CERTIFICATE_KEY": key,
        "PORT": port,
        "UPSTREAM_PORT": mock.port,
    }
    settings = filled(children, HERE / "tls_front.conf.template", values, name)
    children.start(name, [program, "-c", str(settings), "-p", str(scratch)], children.bench.load_core)
    return TlsUpstream(port, certificate)


def write_certificate(certificate: Path, key: Path) -> None:
    """Leaves a certificate for 127.0.0.1 that vouches for itself, and its key."""
    secret = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "benchmark upstream")])
    now = dt.datetime.now(dt.UTC)
    signed = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(secret.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - dt.timedelta(days=1))
        .not_valid_after(now + dt.timedelta(days=2))
        .add_extension(x509.SubjectAlternativeName([x509.IPAddress(ipaddress.ip_address("127.0.0.1"))]), critical=False)
        .add_extension(x509.BasicConstraints(ca=True, path_length=None), critical=True)
        .sign(secret, hashes.SHA256())
    )
    certificate.write_bytes(signed.public_bytes(serialization.Encoding.PEM))
    key.write_bytes(
        secret.private_bytes(
            serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
        )
    )
