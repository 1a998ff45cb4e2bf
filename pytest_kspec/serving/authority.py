"""The webhook's own certificate authority, for clusters without cert-manager.

Everything that rotation needs to know is in the certificates themselves, so that `advance` is a pure function
of what is stored and of the time, and any number of replicas come to the same result. A new authority is in
the bundle for `overlap` before anything is signed by it, and the old one stays for `overlap` after nothing is
signed by it any more: at every moment what is served is trusted by everyone who has read the bundle within
that time.
"""

from __future__ import annotations

import datetime as dt
import ipaddress
from collections.abc import Sequence
from dataclasses import dataclass, replace

from cryptography import x509
from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

from pytest_kspec.errors import KspecError

BACKDATED = dt.timedelta(minutes=5)  # clocks of others may be behind
AUTHORITY_NAME = "kspec-webhook-ca"


class CertificateError(KspecError):
    """A certificate or key cannot be used."""


@dataclass(frozen=True, slots=True)
class Periods:
    """How long things live. The same as what a Certificate of cert-manager is asked for."""

    certificate: dt.timedelta = dt.timedelta(days=90)
    renew_before: dt.timedelta = dt.timedelta(days=30)
    authority: dt.timedelta = dt.timedelta(days=365)
    overlap: dt.timedelta = dt.timedelta(hours=1)


@dataclass(frozen=True, slots=True)
class Material:
    """What is stored, all PEM.

    bundle: certificates of the authorities, newest first: what clients trust (`caBundle`)
    authority_key: key of the newest authority; certificate, key: what is served
    """

    bundle: bytes
    authority_key: bytes
    certificate: bytes
    key: bytes


def advance(
    material: Material | None,
    hosts: Sequence[str],
    now: dt.datetime,
    periods: Periods = Periods(),
) -> Material:
    """What should be stored now; the same object if nothing is to be done.

    hosts: names and addresses that the certificate must be valid for; now: aware
    Raises CertificateError where what is stored could not be read.
    """
    if material is None:
        authority, authority_key = _new_authority(now, periods)
        material = Material(_pem(authority), _key_pem(authority_key), b"", b"")
    bundle = _read_bundle(material.bundle)
    if bundle[0].not_valid_after_utc - now < periods.renew_before + periods.certificate:
        authority, authority_key = _new_authority(now, periods)
        bundle = [authority, *bundle]
        material = replace(
            material, bundle=b"".join(map(_pem, bundle)), authority_key=_key_pem(authority_key)
        )
    newest = bundle[0]
    settled = len(bundle) == 1 or now - _made(newest) >= periods.overlap
    served = _read(material.certificate) if material.certificate else None
    if served is None or _must_renew(served, newest, hosts, now, periods, settled=settled):
        key = ec.generate_private_key(ec.SECP256R1())
        served = _issue(key, newest, _read_key(material.authority_key), hosts, now, periods)
        material = replace(material, certificate=_pem(served), key=_key_pem(key))
    kept = [authority for authority in bundle if _still_needed(authority, newest, served, now, periods)]
    if len(kept) < len(bundle):
        material = replace(material, bundle=b"".join(map(_pem, kept)))
    return material


def verify(material: Material) -> None:
    """See that it is of one piece, before anything is served or published of it: a folder may be anybody's.

    Its keys are those of its certificates, its authorities sign themselves, and one of them signed what is served.
    Raises CertificateError; its text repeats nothing of what is stored.
    """
    bundle = _read_bundle(material.bundle)
    for authority in bundle:
        if not _is_authority(authority) or not _issued_by(authority, authority):
            raise CertificateError("its bundle contains a certificate that is not of an authority.")
    if _public(_read_key(material.authority_key)) != _public(bundle[0]):
        raise CertificateError("the key of the authority does not match its certificate.")
    if material.certificate:
        served = _read(material.certificate)
        if not any(_issued_by(served, authority) for authority in bundle):
            raise CertificateError("no authority of its bundle signed the certificate that is served.")
        if _public(_read_key(material.key)) != _public(served):
            raise CertificateError("the key does not match the certificate that is served.")


def _is_authority(certificate: x509.Certificate) -> bool:
    try:
        return certificate.extensions.get_extension_for_class(x509.BasicConstraints).value.ca
    except (x509.ExtensionNotFound, ValueError):
        return False


def _issued_by(certificate: x509.Certificate, authority: x509.Certificate) -> bool:
    try:
        certificate.verify_directly_issued_by(authority)
    except (ValueError, TypeError, InvalidSignature):
        return False
    return True


def _public(of: x509.Certificate | ec.EllipticCurvePrivateKey) -> bytes:
    return of.public_key().public_bytes(
        serialization.Encoding.DER, serialization.PublicFormat.SubjectPublicKeyInfo
    )


def expiry(certificate: bytes) -> dt.datetime:
    """When a PEM certificate (the first of a chain) expires. Raises CertificateError."""
    return _read(certificate).not_valid_after_utc


def _must_renew(
    served: x509.Certificate,
    newest: x509.Certificate,
    hosts: Sequence[str],
    now: dt.datetime,
    periods: Periods,
    *,
    settled: bool,
) -> bool:
    if not settled:
        # Clients may not trust the newest authority yet, and the key of the one before it is gone.
        return served.not_valid_after_utc <= now
    return (
        not _signed_by(served, newest)
        or served.not_valid_after_utc - now < periods.renew_before
        or _hosts_of(served) != set(hosts)
    )


def _still_needed(
    authority: x509.Certificate,
    newest: x509.Certificate,
    served: x509.Certificate,
    now: dt.datetime,
    periods: Periods,
) -> bool:
    if authority is newest:
        return True
    in_use = not _signed_by(served, newest) or now - _made(served) < periods.overlap
    return in_use and authority.not_valid_after_utc > now


def _made(certificate: x509.Certificate) -> dt.datetime:
    return certificate.not_valid_before_utc + BACKDATED


def _signed_by(certificate: x509.Certificate, authority: x509.Certificate) -> bool:
    signer = certificate.extensions.get_extension_for_class(x509.AuthorityKeyIdentifier).value
    own = authority.extensions.get_extension_for_class(x509.SubjectKeyIdentifier).value
    return signer.key_identifier == own.digest


def _hosts_of(certificate: x509.Certificate) -> set[str]:
    names = certificate.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
    return {str(name.value) for name in names}


def _new_authority(now: dt.datetime, periods: Periods) -> tuple[x509.Certificate, ec.EllipticCurvePrivateKey]:
    key = ec.generate_private_key(ec.SECP256R1())
    identifier = x509.SubjectKeyIdentifier.from_public_key(key.public_key())
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, AUTHORITY_NAME)])
    builder = _builder(name, name, key, identifier, now, periods.authority).add_extension(
        x509.BasicConstraints(ca=True, path_length=0), critical=True
    )
    builder = builder.add_extension(_usage(signs_certificates=True), critical=True)
    return builder.sign(key, hashes.SHA256()), key


def _issue(
    key: ec.EllipticCurvePrivateKey,
    authority: x509.Certificate,
    authority_key: ec.EllipticCurvePrivateKey,
    hosts: Sequence[str],
    now: dt.datetime,
    periods: Periods,
) -> x509.Certificate:
    signer = authority.extensions.get_extension_for_class(x509.SubjectKeyIdentifier).value
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, hosts[0][:64])])
    builder = _builder(name, authority.subject, key, signer, now, periods.certificate)
    builder = (
        builder.add_extension(x509.BasicConstraints(ca=False, path_length=None), critical=True)
        .add_extension(_usage(signs_certificates=False), critical=True)
        .add_extension(x509.ExtendedKeyUsage([ExtendedKeyUsageOID.SERVER_AUTH]), critical=False)
        .add_extension(x509.SubjectAlternativeName([_alternative(host) for host in hosts]), critical=False)
    )
    return builder.sign(authority_key, hashes.SHA256())


def _builder(
    subject: x509.Name,
    issuer: x509.Name,
    key: ec.EllipticCurvePrivateKey,
    signer: x509.SubjectKeyIdentifier,
    now: dt.datetime,
    lifetime: dt.timedelta,
) -> x509.CertificateBuilder:
    public = key.public_key()
    return (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(issuer)
        .public_key(public)
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - BACKDATED)
        .not_valid_after(now + lifetime)
        .add_extension(x509.SubjectKeyIdentifier.from_public_key(public), critical=False)
        # Strict verifiers refuse a chain without it, and it tells two authorities of one name apart.
        .add_extension(x509.AuthorityKeyIdentifier.from_issuer_subject_key_identifier(signer), critical=False)
    )


def _usage(*, signs_certificates: bool) -> x509.KeyUsage:
    return x509.KeyUsage(
        digital_signature=True,
        content_commitment=False,
        key_encipherment=False,
        data_encipherment=False,
        key_agreement=False,
        key_cert_sign=signs_certificates,
        crl_sign=signs_certificates,
        encipher_only=False,
        decipher_only=False,
    )


def _alternative(host: str) -> x509.GeneralName:
    try:
        return x509.IPAddress(ipaddress.ip_address(host))
    except ValueError:
        return x509.DNSName(host)


def _pem(certificate: x509.Certificate) -> bytes:
    return certificate.public_bytes(serialization.Encoding.PEM)


def _key_pem(key: ec.EllipticCurvePrivateKey) -> bytes:
    return key.private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    )


def _read(pem: bytes) -> x509.Certificate:
    return _read_bundle(pem)[0]


def _read_bundle(pem: bytes) -> list[x509.Certificate]:
    try:
        return x509.load_pem_x509_certificates(pem)
    except ValueError as error:
        raise CertificateError("this is not a PEM certificate.") from error


def _read_key(pem: bytes) -> ec.EllipticCurvePrivateKey:
    try:
        key = serialization.load_pem_private_key(pem, None)
    except (ValueError, TypeError) as error:
        raise CertificateError("this is not a PEM private key.") from error  # never with what it holds
    if not isinstance(key, ec.EllipticCurvePrivateKey):
        raise CertificateError("the authority's key is not an elliptic curve key.")
    return key
