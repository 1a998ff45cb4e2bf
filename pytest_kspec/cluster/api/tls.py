"""Whom to believe and what to show in TLS: certificates of a kubeconfig or of an exec plugin → an SSL context.

As in Go: each certificate of the authority is trusted by itself, an intermediate or a server's own one too, and
only these; without an authority, those of the system.
"""

from __future__ import annotations

import ssl
import tempfile
from pathlib import Path

from urllib3.util.ssl_ import create_urllib3_context

from pytest_kspec.cluster.api.contexts import Context


def make_context(context: Context, certificate: bytes, key: bytes) -> ssl.SSLContext:
    """certificate, key: the client's, in PEM; b"" for none. Raises SourceUnavailable."""
    cluster = context.cluster
    insecure = bool(cluster.insecure_skip_tls_verify)
    made = create_urllib3_context(cert_reqs=ssl.CERT_NONE if insecure else ssl.CERT_REQUIRED)
    # Python 3.13's default refuses authorities of clusters that Go accepts.
    made.verify_flags &= ~ssl.VERIFY_X509_STRICT
    made.verify_flags |= ssl.VERIFY_X509_PARTIAL_CHAIN
    authority = context.material(
        "certificate-authority", cluster.certificate_authority_data, cluster.certificate_authority
    )
    if cluster.certificate_authority or cluster.certificate_authority_data:
        try:
            made.load_verify_locations(cadata=authority.decode("ascii"))
        except (ssl.SSLError, ValueError):
            raise context.wrong(
                "`certificate-authority` does not contain certificates in PEM format."
            ) from None
    elif not insecure:
        made.load_default_certs()
    if certificate:
        _load_client(made, context, certificate, key)
    return made


def _load_client(made: ssl.SSLContext, context: Context, certificate: bytes, key: bytes) -> None:
    # The ssl module reads them from files only.
    with tempfile.TemporaryDirectory(prefix="kspec-") as folder:
        certificate_path, key_path = Path(folder, "client.crt"), Path(folder, "client.key")
        certificate_path.write_bytes(certificate)
        key_path.write_bytes(key)
        try:
            made.load_cert_chain(certificate_path, key_path, _no_passphrase)
        except _Encrypted:
            raise context.wrong("the client key is encrypted.", "kubectl cannot use it either.") from None
        except (ssl.SSLError, ValueError) as error:
            mismatch = getattr(error, "reason", "") == "KEY_VALUES_MISMATCH"
            what = "do not belong together" if mismatch else "are not both in PEM format"
            raise context.wrong(f"the client certificate and its key {what}.") from None


class _Encrypted(Exception):
    pass


def _no_passphrase() -> str:
    """Without it, OpenSSL asks on the terminal."""
    raise _Encrypted
