"""Records the cluster of `examples/01-quickstart`: `python -m tools.record_example`, from the root.

A real control plane gets the objects of `example_cluster`; our own recorder reads it as it reads any cluster.
"""

from __future__ import annotations

import sys
from pathlib import Path

from pytest_kspec.cluster.recording.record import record
from pytest_kspec.cluster.sources.open import open_source
from tests.controlplane.server import ControlPlane, Etcd

from .example_cluster import populate

NAME = "prod-eu"
TARGET = Path(__file__).parent.parent / "examples" / "01-quickstart" / f"{NAME}.tar.gz"
MAX_BYTES = 1 << 20


def say(line: str) -> None:
    """Progress, for whoever waits."""
    sys.stderr.write(f"{line}\n")
    sys.stderr.flush()


def main() -> int:
    """Create, record, stop everything. 1 if the recording is larger than a repository should hold."""
    with Etcd() as etcd, ControlPlane(etcd, name=NAME, controllers=True, audited=False) as plane:
        populate(plane, say)
        source = open_source(NAME, kubeconfig=str(plane.kubeconfig(context=NAME)))
        try:
            TARGET.unlink(missing_ok=True)
            record(source, TARGET)
        finally:
            source.close()
    size = TARGET.stat().st_size
    say(f"{TARGET}: {size} bytes")
    return 0 if size <= MAX_BYTES else 1


if __name__ == "__main__":
    sys.exit(main())
