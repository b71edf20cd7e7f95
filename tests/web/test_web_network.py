"""The service speaks to nobody by itself, and speaks TLS when it is given a certificate."""

from __future__ import annotations

import datetime
import gc
import http.client
import ipaddress
import json
import ssl
import subprocess
import sys
import threading
from pathlib import Path

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec

import line
from loopback import free_ports
from waferlens.web.app import build_app
from waferlens.web.server import run_server

WATCHED = """
import sys, json
seen = []
sys.addaudithook(lambda event, told: seen.append(repr(told[1])) if event == "socket.connect" else None)
sys.addaudithook(lambda event, told: seen.append(repr(told[0])) if event == "socket.getaddrinfo" else None)
sys.path.insert(0, sys.argv[1])
import pathlib, line
with line.a_service(pathlib.Path(sys.argv[2])) as service, line.listening(service) as served:
    with served.client() as client:
        answer = client.inspect(line.png(150), "WF-1", 0)
        for path in (answer["heatmap_url"], "/docs", "/openapi.json", "/metrics", "/readyz", "/api/v1/counts"):
            client.get(path)
print(json.dumps(seen))
"""


def test_nothing_but_loopback_is_ever_spoken_to(tmp_path):
    tests = Path(line.__file__).parent
    ran = subprocess.run(
        [sys.executable, "-c", WATCHED, str(tests), str(tmp_path)], capture_output=True, text=True, check=True
    )
    addresses = json.loads(ran.stdout.splitlines()[-1])
    assert addresses
    assert all("127.0.0.1" in address for address in addresses), addresses


def a_certificate(folder: Path) -> tuple[Path, Path]:
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, "localhost")])
    now = datetime.datetime.now(datetime.UTC)
    certificate = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - datetime.timedelta(days=1))
        .not_valid_after(now + datetime.timedelta(days=1))
        .add_extension(
            x509.SubjectAlternativeName([x509.IPAddress(ipaddress.ip_address("127.0.0.1"))]), critical=False
        )
        .sign(key, hashes.SHA256())
    )
    (folder / "cert.pem").write_bytes(certificate.public_bytes(serialization.Encoding.PEM))
    (folder / "key.pem").write_bytes(
        key.private_bytes(
            serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
        )
    )
    return folder / "cert.pem", folder / "key.pem"


def test_with_a_certificate_it_speaks_tls_and_nothing_else(tmp_path):
    certificate, key = a_certificate(tmp_path)
    port = free_ports(1)[0]
    with line.a_service(tmp_path / "home") as service:
        told = {"host": "127.0.0.1", "port": port, "tls_certificate": certificate, "tls_key": key}
        threading.Thread(target=run_server, args=(build_app(service),), kwargs=told, daemon=True).start()
        trusted = ssl.create_default_context(cafile=str(certificate))
        line.wait_until(lambda: asks(port, trusted))
        assert not asks(port, None)
        # A full collection stops every thread; what stays to the end is not gone through.
        assert gc.get_freeze_count() > 100_000
    gc.unfreeze()


def asks(port: int, trusted: ssl.SSLContext | None) -> bool:
    if trusted is None:
        connection = http.client.HTTPConnection("127.0.0.1", port, timeout=5)
    else:
        connection = http.client.HTTPSConnection("127.0.0.1", port, timeout=5, context=trusted)
    try:
        connection.request("GET", "/healthz")
        return connection.getresponse().status == 200
    except (OSError, http.client.HTTPException):
        return False
    finally:
        connection.close()
