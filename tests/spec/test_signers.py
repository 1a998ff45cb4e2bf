"""`workloads.images.signatures`: what is refused, keys in files, and how bases hand them on."""

from __future__ import annotations

import hashlib
from pathlib import Path
from typing import Any

import pytest
import yaml

from pytest_kspec.errors import SpecError
from pytest_kspec.spec.loading import LoadedSpec, load_spec, spec_from_part

PEM = "-----BEGIN PUBLIC KEY-----\nMFkw\n-----END PUBLIC KEY-----\n"
SOMEONE = {"issuer": "https://a.example", "subject": "ci@example.com"}


def part(*signers: dict[str, Any], **images: Any) -> dict[str, Any]:
    return {"workloads": {"images": {"requireSignatures": True, "signatures": list(signers), **images}}}


def write(path: Path, spec: dict[str, Any]) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    document = {
        "apiVersion": "kspec.dev/v1",
        "kind": "ClusterSpecification",
        "metadata": {"name": path.stem, "version": "1.0.0"},
        "spec": spec,
    }
    path.write_text(yaml.safe_dump(document))
    return path


def keys(loaded: LoadedSpec) -> list[str]:
    workloads = loaded.spec.workloads
    assert workloads is not None
    assert workloads.images is not None
    return [key for entry in workloads.images.signatures for key in entry.public_keys]


@pytest.mark.parametrize(
    ("spec", "problem"),
    [
        (part({}), "has no signer: set publicKeys or identities."),
        (part({"publicKeys": [PEM], "trustedRoot": "{}"}), "trustedRoot: has no effect without identities"),
        (part({"publicKeys": ["-----BEGIN PRIVATE KEY-----\nx"]}), "this is not a public key in PEM format"),
        (part({"publicKeys": ["key.pub"]}), "paths are only allowed in specification files"),
        (part({"identities": [{"issuer": "https://a.example"}]}), "either subject or subjectRegExp"),
        (part({"identities": [{**SOMEONE, "subjectRegExp": "x"}]}), "either subject or subjectRegExp"),
        (part({"identities": [{"issuer": "x", "subjectRegExp": "("}]}), "is not a regular expression"),
        (part({"identities": [{"subject": "x"}]}), "issuer: required key is missing"),
        (part({"images": ["https://a"], "publicKeys": [PEM]}), "remove the scheme"),
    ],
)
def test_what_could_not_mean_what_its_author_thinks(spec: dict[str, Any], problem: str) -> None:
    with pytest.raises(SpecError, match="signatures") as caught:
        spec_from_part(spec)
    assert problem in str(caught.value)


def test_keys_in_files_are_part_of_the_specification(tmp_path: Path) -> None:
    (tmp_path / "keys").mkdir()
    (tmp_path / "keys" / "ci.pub").write_text(PEM)
    (tmp_path / "root.json").write_text("{}")
    signers = {"publicKeys": ["keys/ci.pub", PEM], "identities": [SOMEONE], "trustedRoot": "root.json"}
    path = write(tmp_path / "prod.yaml", part(signers))
    loaded = load_spec(path)
    assert keys(loaded) == [PEM, PEM]
    assert loaded.spec.workloads.images.signatures[0].trusted_root == "{}"  # type: ignore[union-attr]
    files = [path, tmp_path / "keys" / "ci.pub", tmp_path / "root.json"]
    assert loaded.files == tuple(map(str, files))
    digests = "".join(f"{hashlib.sha256(file.read_bytes()).hexdigest()}\n" for file in files)
    assert loaded.sha256 == hashlib.sha256(digests.encode()).hexdigest()


@pytest.mark.parametrize(
    ("content", "problem"),
    [
        (None, "could not be read: No such file or directory"),
        (b"\xff\xfe", "could not be read: it is not a text file"),
        (b"ssh-ed25519 AAAA", "does not contain a public key in PEM format"),
        (b"-----BEGIN PRIVATE KEY-----\nx", "does not contain a public key in PEM format"),
        (PEM.encode() + b" " * (64 << 10), "is larger than 64 KiB"),
    ],
)
def test_a_file_that_holds_no_key(tmp_path: Path, content: bytes | None, problem: str) -> None:
    if content is not None:
        (tmp_path / "ci.pub").write_bytes(content)
    path = write(tmp_path / "prod.yaml", part({"publicKeys": ["ci.pub"]}))
    with pytest.raises(SpecError, match="publicKeys") as caught:
        load_spec(path)
    (line,) = caught.value.problems
    assert problem in line
    assert line.startswith(f"{path}:")
    assert "publicKeys[0]" in line


def test_paths_of_a_base_are_relative_to_the_base(tmp_path: Path) -> None:
    (tmp_path / "bases").mkdir()
    (tmp_path / "bases" / "ci.pub").write_text(PEM)
    write(tmp_path / "bases" / "base.yaml", part({"publicKeys": ["ci.pub", PEM]}))
    other = PEM.replace("MFkw", "MFkx")
    own = {**part({"publicKeys": [other]}), "policyInheritance": {"basePolicies": ["bases/base.yaml"]}}
    loaded = load_spec(write(tmp_path / "prod.yaml", own))
    assert keys(loaded) == [PEM, PEM, other]
    assert str(tmp_path / "bases" / "ci.pub") in loaded.files


def test_a_specification_may_decline_what_its_base_requires(tmp_path: Path) -> None:
    write(tmp_path / "base.yaml", part({"publicKeys": [PEM]}))
    own = {
        "workloads": {"images": {"requireSignatures": False}},
        "policyInheritance": {"basePolicies": ["base.yaml"]},
    }
    loaded = load_spec(write(tmp_path / "prod.yaml", own))
    assert loaded.get("workloads.images.requireSignatures") is False
    (note,) = loaded.not_evaluated
    assert note.key == "workloads.images.signatures"
    assert note.reason == "it has no effect without workloads.images.requireSignatures: true"
