"""A Sigstore instance of our own: certificate authority, certificate log and transparency log, as keys in memory.

It signs what a test says, also what no honest one would. `make test-cosign` asks cosign whether it believes it too.
"""

from __future__ import annotations

import base64
import hashlib
import json
import struct
from datetime import UTC, datetime, timedelta
from typing import Any

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

from .signing import IN_TOTO, bundle, new_key, statement

ISSUER = "https://issuer.example.com"
SUBJECT = "https://github.com/acme/app/.github/workflows/release.yaml@refs/tags/v1"
_SCT = x509.ObjectIdentifier("1.3.6.1.4.1.11129.2.4.2")
_ISSUER = x509.ObjectIdentifier("1.3.6.1.4.1.57264.1.1")
_ISSUER_V2 = x509.ObjectIdentifier("1.3.6.1.4.1.57264.1.8")
_P256 = "PKIX_ECDSA_P256_SHA_256"


def b64(raw: bytes) -> str:
    return base64.b64encode(raw).decode()


def der(key: ec.EllipticCurvePrivateKey) -> bytes:
    return key.public_key().public_bytes(
        serialization.Encoding.DER, serialization.PublicFormat.SubjectPublicKeyInfo
    )


def log_id(key: ec.EllipticCurvePrivateKey) -> bytes:
    return hashlib.sha256(der(key)).digest()


def made(key: ec.EllipticCurvePrivateKey, data: bytes) -> bytes:
    return key.sign(data, ec.ECDSA(hashes.SHA256()))


def canonical(data: Any) -> bytes:
    return json.dumps(data, sort_keys=True, separators=(",", ":")).encode()


class Sigstore:
    """One instance. `trusted_root` is what a user of it is given."""

    def __init__(self, now: datetime | None = None) -> None:
        self.now = (now or datetime.now(UTC)).replace(microsecond=0)
        self.authority, self.certificate_log, self.log = new_key(), new_key(), new_key()
        name = x509.Name(
            [
                x509.NameAttribute(NameOID.ORGANIZATION_NAME, "tests"),
                x509.NameAttribute(NameOID.COMMON_NAME, "authority"),
            ]
        )
        public = self.authority.public_key()
        self._root = (
            x509.CertificateBuilder()
            .subject_name(name)
            .issuer_name(name)
            .public_key(public)
            .serial_number(1)
            .not_valid_before(self.now - timedelta(days=10))
            .not_valid_after(self.now + timedelta(days=10))
            .add_extension(x509.BasicConstraints(ca=True, path_length=0), critical=True)
            .add_extension(_usage(signs_certificates=True), critical=True)
            .add_extension(x509.SubjectKeyIdentifier.from_public_key(public), critical=False)
            .sign(self.authority, hashes.SHA256())
        )

    @property
    def trusted_root(self) -> str:
        since = {"start": (self.now - timedelta(days=10)).strftime("%Y-%m-%dT%H:%M:%SZ")}

        def log(key: ec.EllipticCurvePrivateKey, url: str) -> dict[str, Any]:
            return {
                "baseUrl": url,
                "hashAlgorithm": "SHA2_256",
                "publicKey": {"rawBytes": b64(der(key)), "keyDetails": _P256, "validFor": since},
                "logId": {"keyId": b64(log_id(key))},
            }

        root = b64(self._root.public_bytes(serialization.Encoding.DER))
        return json.dumps(
            {
                "mediaType": "application/vnd.dev.sigstore.trustedroot+json;version=0.1",
                "tlogs": [log(self.log, "https://log.example.com")],
                "certificateAuthorities": [
                    {
                        "subject": {"organization": "tests", "commonName": "authority"},
                        "uri": "https://authority.example.com",
                        "certChain": {"certificates": [{"rawBytes": root}]},
                        "validFor": since,
                    }
                ],
                "ctlogs": [log(self.certificate_log, "https://certificates.example.com")],
            }
        )

    def sign(
        self,
        digest: str,
        *,
        subject: str = SUBJECT,
        issuer: str = ISSUER,
        logged_at: datetime | None = None,
        said: bytes | None = None,
    ) -> dict[str, Any]:
        """A bundle by this identity. The certificate is good for ten minutes around `now`."""
        key = new_key()
        certificate = self._certificate(key, subject, issuer)
        found = bundle(key, said or statement(digest), {})
        entry = self._entry(found["dsseEnvelope"], certificate, logged_at or self.now)
        raw = b64(certificate.public_bytes(serialization.Encoding.DER))
        found["verificationMaterial"] = {"certificate": {"rawBytes": raw}, "tlogEntries": [entry]}
        return found

    def _certificate(self, key: ec.EllipticCurvePrivateKey, subject: str, issuer: str) -> x509.Certificate:
        name = x509.RFC822Name(subject) if "@" in subject and ":" not in subject else None
        builder = (
            x509.CertificateBuilder()
            .subject_name(x509.Name([]))
            .issuer_name(self._root.subject)
            .public_key(key.public_key())
            .serial_number(x509.random_serial_number())
            .not_valid_before(self.now - timedelta(minutes=5))
            .not_valid_after(self.now + timedelta(minutes=5))
            .add_extension(_usage(), critical=True)
            .add_extension(x509.ExtendedKeyUsage([ExtendedKeyUsageOID.CODE_SIGNING]), critical=False)
            .add_extension(x509.SubjectKeyIdentifier.from_public_key(key.public_key()), critical=False)
            .add_extension(
                x509.AuthorityKeyIdentifier.from_issuer_public_key(self.authority.public_key()),
                critical=False,
            )
            .add_extension(
                x509.SubjectAlternativeName([name or x509.UniformResourceIdentifier(subject)]), critical=True
            )
            .add_extension(x509.UnrecognizedExtension(_ISSUER, issuer.encode()), critical=False)
            .add_extension(
                x509.UnrecognizedExtension(_ISSUER_V2, bytes([12, len(issuer)]) + issuer.encode()),
                critical=False,
            )
        )
        before = builder.sign(self.authority, hashes.SHA256()).tbs_certificate_bytes
        return builder.add_extension(
            x509.UnrecognizedExtension(_SCT, self._promise_of_certificate(before)), critical=False
        ).sign(self.authority, hashes.SHA256())

    def _promise_of_certificate(self, certificate: bytes) -> bytes:
        """A list of one signed certificate timestamp (RFC 6962)."""
        moment = int(self.now.timestamp() * 1000)
        length = struct.pack("!I", len(certificate))[1:]
        issuer = hashlib.sha256(der(self.authority)).digest()
        signed = struct.pack("!BBQH", 0, 0, moment, 1) + issuer + length + certificate + struct.pack("!H", 0)
        signature = made(self.certificate_log, signed)
        sct = b"\0" + log_id(self.certificate_log) + struct.pack("!QH", moment, 0)
        sct += struct.pack("!BBH", 4, 3, len(signature)) + signature
        listed = struct.pack("!HH", len(sct) + 2, len(sct)) + sct
        return (
            bytes([4, len(listed)]) + listed if len(listed) < 128 else bytes([4, 0x81, len(listed)]) + listed
        )

    def _entry(
        self, envelope: dict[str, Any], certificate: x509.Certificate, moment: datetime
    ) -> dict[str, Any]:
        """An entry of a log that has one entry."""
        payload = base64.b64decode(envelope["payload"])
        pem = certificate.public_bytes(serialization.Encoding.PEM)
        body = canonical(
            {
                "apiVersion": "0.0.1",
                "kind": "dsse",
                "spec": {
                    "envelopeHash": {
                        "algorithm": "sha256",
                        "value": hashlib.sha256(canonical(envelope)).hexdigest(),
                    },
                    "payloadHash": {"algorithm": "sha256", "value": hashlib.sha256(payload).hexdigest()},
                    "signatures": [{"signature": envelope["signatures"][0]["sig"], "verifier": b64(pem)}],
                },
            }
        )
        assert envelope["payloadType"] == IN_TOTO
        root = hashlib.sha256(b"\0" + body).digest()
        note = f"log.example.com - 1\n1\n{b64(root)}\n"
        mark = b64(log_id(self.log)[:4] + made(self.log, note.encode()))
        seconds = int(moment.timestamp())
        promised = {
            "body": b64(body), "integratedTime": seconds, "logID": log_id(self.log).hex(), "logIndex": 0,
        }  # fmt: skip
        return {
            "logIndex": "0",
            "logId": {"keyId": b64(log_id(self.log))},
            "kindVersion": {"kind": "dsse", "version": "0.0.1"},
            "integratedTime": str(seconds),
            "inclusionPromise": {"signedEntryTimestamp": b64(made(self.log, canonical(promised)))},
            "inclusionProof": {
                "logIndex": "0",
                "rootHash": b64(root),
                "treeSize": "1",
                "hashes": [],
                "checkpoint": {"envelope": f"{note}\n— log.example.com {mark}\n"},
            },
            "canonicalizedBody": b64(body),
        }


def _usage(*, signs_certificates: bool = False) -> x509.KeyUsage:
    return x509.KeyUsage(
        digital_signature=not signs_certificates,
        key_cert_sign=signs_certificates,
        crl_sign=signs_certificates,
        content_commitment=False,
        key_encipherment=False,
        data_encipherment=False,
        key_agreement=False,
        encipher_only=False,
        decipher_only=False,
    )
