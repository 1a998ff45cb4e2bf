"""What a machine must have for a node, and how to get it: one line where something is missing."""

from __future__ import annotations

import os
import shutil
import sys
from pathlib import Path

SYSTEM_PATH = "/usr/sbin:/usr/bin:/sbin:/bin"
PLUGINS = Path("/usr/lib/cni")
# Command or file, and the Debian package that has it.
PARTS = {
    "containerd": "containerd",
    "runc": "runc",
    str(PLUGINS / "bridge"): "containernetworking-plugins",
    "iptables": "iptables",
    "conntrack": "conntrack",
    "ip": "iproute2",
    "sysctl": "procps",
    "unshare": "util-linux",
    "setpriv": "util-linux",
    "nsenter": "util-linux",
    "gcc": "gcc",
    "buildah": "buildah",
    "mmdebstrap": "mmdebstrap",
}


class NoNode(RuntimeError):
    """This machine cannot run a node; the message says why, and what to do."""


def command(name: str) -> str:
    """The path of a system command. Raises NoNode."""
    found = shutil.which(name, path=SYSTEM_PATH)
    if found is None:
        raise NoNode(f"No node: {name} is missing. Install it: apt-get install {PARTS[name]}")
    return found


def problem() -> str:
    """Why this machine cannot run a node, in one line; "" where it can."""
    if sys.platform != "linux":
        return "No node: it needs Linux."
    if os.geteuid() != 0:
        return "No node: it needs root, for namespaces, mounts and cgroups of its own."
    missing = {
        package
        for part, package in PARTS.items()
        if not (Path(part).exists() if part.startswith("/") else shutil.which(part, path=SYSTEM_PATH))
    }
    if missing:
        return f"No node: parts are missing. Install them: apt-get install {' '.join(sorted(missing))}"
    if not os.access("/sys/fs/cgroup", os.W_OK):
        return "No node: /sys/fs/cgroup cannot be written. Run on the machine itself, or in a privileged container."
    return ""


def main() -> int:
    """For scripts: the line, and status 1, where a node cannot run."""
    said = problem()
    if said:
        sys.stdout.write(said + "\n")
    return 1 if said else 0


if __name__ == "__main__":
    sys.exit(main())
