"""A network of its own for a command: without any way out, or one in which all that is sent is lost."""

from __future__ import annotations

import subprocess
from pathlib import Path

import pytest

LOST = (  # a tunnel that nobody reads from
    "ip tuntap add dev lost mode tun && ip link set lost up && ip addr add 192.0.2.2/24 dev lost "
    "&& ip route add default dev lost"
)


def network(folder: Path, setup: str = ":", **files: str) -> list[str]:
    """The words before a command: `setup` is run first; `files` take the place of /etc/NAME (resolv_conf="...")."""
    lines = ["set -e", "ip link set lo up", setup]
    for name, text in files.items():
        (folder / name).write_text(text)
        lines.append(f"mount --bind {folder / name} /etc/{name.replace('_', '.')}")
    script = folder / "network.sh"
    script.write_text("\n".join([*lines, 'exec "$@"\n']))
    words = ["unshare", "-nm", "bash", str(script)]
    if subprocess.run([*words, "true"], capture_output=True).returncode:
        pytest.skip("a network of its own (unshare -nm, ip) is not permitted here")
    return words
