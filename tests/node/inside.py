"""The first process of a node's namespaces: makes the machine that a kubelet expects, then waits for its own end.

Nothing of this is seen outside but the cgroup, which `keeper.py` removes. Runs with `python -I -S`: standard library
only. Arguments: name of the cgroup, a folder, address of the node.
"""

from __future__ import annotations

import contextlib
import os
import select
import subprocess
import sys
from pathlib import Path

CGROUPS = Path("/sys/fs/cgroup")
# What a kubelet requires of the kernel, and would otherwise set for the whole machine.
KERNEL = {"vm/overcommit_memory": 1, "vm/panic_on_oom": 0, "kernel/panic": 10, "kernel/panic_on_oops": 1}
OWN_FOLDERS = ("/run/containerd", "/var/log/pods", "/var/log/containers", "/var/lib/kubelet", "/var/lib/cni")


def run(*command: str) -> None:
    """A command that must succeed."""
    subprocess.run(command, check=True, timeout=30)


def mounts(folder: Path) -> None:
    """Mounts of this mount namespace only; a kubelet needs them to be shared with its pods."""
    run("mount", "--make-rprivate", "/")
    run("mount", "--make-rshared", "/")
    for name, value in KERNEL.items():
        file = folder / name.replace("/", "-")
        file.write_text(f"{value}\n", encoding="ascii")
        run("mount", "--bind", str(file), f"/proc/sys/{name}")
    for path in OWN_FOLDERS:
        run("mount", "-t", "tmpfs", "tmpfs", path)


def network(address: str) -> None:
    """Loopback with the node's address, which must not be in 127/8; packets of pods are forwarded."""
    run("ip", "link", "set", "lo", "up")
    run("ip", "address", "add", f"{address}/32", "dev", "lo")
    run("sysctl", "--quiet", "--write", "net.ipv4.ip_forward=1")


def cgroups(name: str) -> None:
    """A cgroup for the pods: in each hierarchy of version 1, or in the one of version 2."""
    if (CGROUPS / "cgroup.controllers").exists():
        controllers = (CGROUPS / "cgroup.controllers").read_text(encoding="ascii").split()
        for controller in controllers:
            with contextlib.suppress(OSError):  # one that cannot be given away is not needed
                (CGROUPS / "cgroup.subtree_control").write_text(f"+{controller}", encoding="ascii")
        (CGROUPS / name).mkdir()
        return
    for hierarchy in sorted(path for path in CGROUPS.iterdir() if path.is_dir() and not path.is_symlink()):
        (hierarchy / name).mkdir()
        for file in ("cpuset.cpus", "cpuset.mems"):
            if (hierarchy / file).exists():
                (hierarchy / name / file).write_bytes((hierarchy / file).read_bytes())


def wait() -> None:
    """Until standard input ends; what is left behind by others is reaped, as by any first process."""
    while not select.select([sys.stdin], [], [], 0.5)[0] or os.read(0, 1):
        with contextlib.suppress(ChildProcessError):
            while os.waitpid(-1, os.WNOHANG) != (0, 0):
                pass


def main() -> None:
    """Make it, say so, and wait."""
    name, folder, address = sys.argv[1:]
    mounts(Path(folder))
    network(address)
    cgroups(name)
    sys.stdout.write("ready\n")
    sys.stdout.flush()
    wait()


if __name__ == "__main__":
    main()
