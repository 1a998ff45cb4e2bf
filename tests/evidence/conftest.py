"""Keys as users make them, with openssl."""

from __future__ import annotations

import subprocess
from pathlib import Path
from typing import NamedTuple

import pytest


class Keys(NamedTuple):
    private: Path
    public: Path


def openssl(*words: str | Path) -> subprocess.CompletedProcess[str]:
    return subprocess.run(["openssl", *words], capture_output=True, text=True, timeout=60, check=False)


def make_keys(folder: Path, *, curve: str = "P-256", passphrase: str = "") -> Keys:
    keys = Keys(folder / "key.pem", folder / "key.pub")
    folder.mkdir(parents=True, exist_ok=True)
    words: list[str | Path] = [
        "genpkey",
        "-algorithm",
        "EC",
        "-pkeyopt",
        f"ec_paramgen_curve:{curve}",
        "-out",
        keys.private,
    ]
    if passphrase:
        words += ["-aes256", "-pass", f"pass:{passphrase}"]
    made = openssl(*words)
    assert made.returncode == 0, made.stderr
    secret = ["-passin", f"pass:{passphrase}"] if passphrase else []
    assert openssl("pkey", "-in", keys.private, "-pubout", "-out", keys.public, *secret).returncode == 0
    return keys


@pytest.fixture(scope="session")
def keys(tmp_path_factory: pytest.TempPathFactory) -> Keys:
    return make_keys(tmp_path_factory.mktemp("keys"))
