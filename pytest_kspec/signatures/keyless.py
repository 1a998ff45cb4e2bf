"""Signatures of identities, judged by the library `sigstore`: certificate, transparency log, time, and who it was.

A trusted root is enough: nothing is asked of a network, but for the root of the public instance where none is given.
"""

from __future__ import annotations

import tempfile
import threading
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from pytest_kspec.errors import SourceUnavailable, UsageError
from pytest_kspec.kube.patterns import Pattern
from pytest_kspec.signatures.keys import require
from pytest_kspec.signatures.stored import Bundle
from pytest_kspec.spec.signers import SignerIdentity

if TYPE_CHECKING:
    from cryptography.x509 import Certificate
    from sigstore.verify import Verifier

_WHERE = "workloads.images.signatures.trustedRoot"


class Keyless:
    """One trusted root; "" is that of the public instance. For several threads."""

    def __init__(self, trusted_root: str) -> None:
        self._root = trusted_root
        self._lock = threading.Lock()
        self._known: Verifier | None = None

    def verify(self, bundle: Bundle, identities: Sequence[SignerIdentity]) -> str:
        """Empty if the bundle is good and by one of these; else why not. Raises UsageError, SourceUnavailable."""
        verifier = self._verifier()
        from cryptography.x509 import ExtensionNotFound
        from sigstore.errors import Error, VerificationError
        from sigstore.models import Bundle as SigstoreBundle

        try:
            kind, payload = verifier.verify_dsse(SigstoreBundle.from_json(bundle.raw), _AnyOf(identities))
        except VerificationError as error:
            return " ".join(str(error).split())[:200]
        except (Error, ExtensionNotFound, ValueError, TypeError, LookupError) as error:
            what = " ".join(str(error).split())[:200]
            raise SourceUnavailable(f"a keyless signature cannot be examined: {what}.") from error
        if (kind, payload) != (bundle.payload_type, bundle.payload):
            return "the library read a different statement than the stored one"
        return ""

    def _verifier(self) -> Verifier:
        require("sigstore")
        from sigstore.errors import Error
        from sigstore.models import TrustedRoot
        from sigstore.verify import Verifier

        with self._lock:
            if self._known is not None:
                return self._known
            try:
                if not self._root:
                    self._known = Verifier.production()
                else:
                    with tempfile.TemporaryDirectory() as folder:
                        path = Path(folder) / "trusted_root.json"
                        path.write_text(self._root, encoding="utf-8")
                        self._known = Verifier(trusted_root=TrustedRoot.from_file(str(path)))
            except (Error, ValueError, TypeError, LookupError, OSError) as error:
                if self._root:
                    raise UsageError("this is not a trusted root of Sigstore.", where=_WHERE) from error
                raise SourceUnavailable(
                    f"the trusted root of the public instance could not be fetched ({type(error).__name__}).",
                    where=_WHERE,
                    fix="Use a file for it.",
                ) from error
            return self._known


class _AnyOf:
    """A policy of the library: the certificate is of one of these identities."""

    def __init__(self, identities: Sequence[SignerIdentity]) -> None:
        self._identities = identities

    def verify(self, cert: Certificate) -> None:
        """Raises VerificationError."""
        from sigstore.errors import VerificationError
        from sigstore.verify.policy import Identity

        subjects = _subjects(cert)
        for asked in self._identities:
            pattern = asked.subject_reg_exp
            matching = (
                [s for s in subjects if Pattern(pattern).fullmatch(s)] if pattern else [asked.subject or ""]
            )
            for subject in matching:
                try:
                    Identity(identity=subject, issuer=asked.issuer).verify(cert)
                except VerificationError:
                    continue
                return
        raise VerificationError(f"the signer is {', '.join(subjects)[:120] or 'unknown'}")


def _subjects(cert: Certificate) -> list[str]:
    from cryptography import x509

    try:
        names = cert.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
    except x509.ExtensionNotFound:
        return []
    return [n.value for n in names if isinstance(n, x509.RFC822Name | x509.UniformResourceIdentifier)]
