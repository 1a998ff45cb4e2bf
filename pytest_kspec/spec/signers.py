"""Who signs which images: `workloads.images.signatures`, and the files that its entries name.

Keys are written in the specification or lie in files beside it. Files are read when the specification is: a
requirement that cannot be evaluated for want of a key is known before a cluster is asked, and the digest of a
specification, and the bundle that holds it, cover its keys.
"""

import hashlib
import os
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Annotated, Any, Self

from pytest_kspec.files import open_named
from pytest_kspec.spec.base import Regex, Registry, Text, no_entries
from pytest_kspec.spec.declared import AfterValidator, Field, SpecModel, model_validator

MAX_KEY_BYTES = 64 << 10
MAX_ROOT_BYTES = 4 << 20
_PEM = "-----BEGIN "


def is_pem(text: str) -> bool:
    """Whether this is a key itself and not the path of a file."""
    return text.lstrip().startswith(_PEM)


def _public_key(value: str) -> str:
    if is_pem(value) and "PUBLIC KEY-----" not in value.lstrip().partition("\n")[0]:
        raise ValueError("this is not a public key in PEM format (-----BEGIN PUBLIC KEY-----).")
    return value


PublicKey = Annotated[Text, AfterValidator(_public_key)]


class SignerIdentity(SpecModel):
    """Identity of a signer who has no key (keyless signing), as the identity provider states it."""

    issuer: Text = Field(
        description="OIDC issuer in the certificate, such as https://token.actions.githubusercontent.com."
    )
    subject: Text | None = Field(
        None,
        description="Subject in the certificate: an e-mail address, or the URI of a workflow or workload.",
    )
    subject_reg_exp: Regex | None = Field(
        None,
        description="Regular expression (RE2) that must match the whole subject. Cannot be combined with subject.",
    )

    @model_validator(mode="after")
    def _one_subject(self) -> Self:
        if (self.subject is None) == (self.subject_reg_exp is None):
            raise ValueError("set either subject or subjectRegExp.")
        return self


class ImageSigners(SpecModel):
    """Signers of a group of images. One valid signature by one of them is sufficient."""

    images: list[Registry] = Field(
        default_factory=no_entries,
        description="Registries or repositories that the entry applies to, as in "
        "allowedRegistries. Empty: every image.",
    )
    public_keys: list[PublicKey] = Field(
        default_factory=no_entries,
        description="Public keys: PEM data, or the path of a file relative to the specification.",
    )
    identities: list[SignerIdentity] = Field(
        default_factory=no_entries,
        description="Identities in certificates of a Sigstore instance (keyless signing).",
    )
    trusted_root: Text | None = Field(
        None,
        description="Trusted root of the Sigstore instance: JSON data, or the path of a file relative to the "
        "specification. Default: the trusted root of the public instance, which is fetched from the network.",
    )

    @model_validator(mode="after")
    def _someone(self) -> Self:
        if not self.public_keys and not self.identities:
            raise ValueError("has no signer: set publicKeys or identities.")
        if self.trusted_root is not None and not self.identities:
            raise ValueError("trustedRoot: has no effect without identities.")
        return self


Problem = Callable[[str, str], None]
"""Called with the key ("signatures[0].publicKeys[1]") and what is wrong there."""


def with_files(
    signers: list[ImageSigners], folder: Path | None, problem: Problem
) -> tuple[list[ImageSigners], Mapping[str, str]]:
    """The same with the contents of files in the place of their paths, and path → SHA-256 of each file.

    folder: what paths are relative to; None where no file may be read, as for a custom resource: who may write one
            need not be allowed to read the files of the machine
    """
    files: dict[str, str] = {}

    def content(key: str, path: str, limit: int) -> str:
        if folder is None:
            problem(key, "paths are only allowed in specification files: write the content instead.")
            return path
        name = os.path.normpath(folder / path)
        try:
            with open_named(name) as file:
                raw = file.read(limit + 1)
            text = raw.decode()
        except (OSError, ValueError) as error:
            what = getattr(error, "strerror", None) or "it is not a text file"
            problem(key, f"the file {name} could not be read: {what}.")
            return path
        if len(raw) > limit:
            problem(key, f"the file {name} is larger than {limit >> 10} KiB.")
        files[name] = hashlib.sha256(raw).hexdigest()
        return text

    made: list[ImageSigners] = []
    for index, entry in enumerate(signers):
        at = f"signatures[{index}]"
        change: dict[str, Any] = {}
        keys = [
            key if is_pem(key) else content(f"{at}.publicKeys[{number}]", key, MAX_KEY_BYTES)
            for number, key in enumerate(entry.public_keys)
        ]
        for number, (given, key) in enumerate(zip(entry.public_keys, keys, strict=True)):
            if key is not given and not (is_pem(key) and "PUBLIC KEY-----" in key):
                problem(
                    f"{at}.publicKeys[{number}]",
                    f"the file {given} does not contain a public key in PEM format.",
                )
        if keys != entry.public_keys:
            change["public_keys"] = keys
        root = entry.trusted_root
        if root is not None and not root.lstrip().startswith("{"):
            change["trusted_root"] = content(f"{at}.trustedRoot", root, MAX_ROOT_BYTES)
        made.append(entry.model_copy(update=change) if change else entry)
    return made, files
