"""Three hosts on a switch whose ports can be pulled, as network namespaces inside those that ``run`` makes for the story:
nothing outside sees them, and they go with the process."""

from __future__ import annotations

import subprocess
from typing import Dict, List

#: Address of the switch itself, where the story stands.
OWN = "10.83.0.254"


class Network:
    """The hosts, by name."""

    def __init__(self, hosts: List[str]) -> None:
        # Namespaces are kept as files here, which is not ours to write to outside.
        _run("mount", "-t", "tmpfs", "tmpfs", "/run")
        _run("ip", "link", "set", "lo", "up")
        _run("ip", "link", "add", "switch", "type", "bridge")
        _run("ip", "addr", "add", f"{OWN}/24", "dev", "switch")
        _run("ip", "link", "set", "switch", "up")
        self._addresses: Dict[str, str] = {}
        for number, host in enumerate(hosts, start=1):
            self._addresses[host] = f"10.83.0.{number}"
            self._add(host)

    def address(self, host: str) -> str:
        """Of a host."""
        return self._addresses[host]

    def command(self, host: str, words: List[str]) -> List[str]:
        """The command line that runs `words` on a host."""
        return ["nsenter", f"--net=/run/netns/{host}", *words]

    def cut(self, host: str) -> None:
        """Pulls a host's plug: it reaches itself alone."""
        _run("ip", "link", "set", f"to-{host}", "down")

    def mend(self, host: str) -> None:
        """Puts it in again."""
        _run("ip", "link", "set", f"to-{host}", "up")

    def _add(self, host: str) -> None:
        port = f"to-{host}"
        _run("ip", "netns", "add", host)
        _run("ip", "link", "add", port, "type", "veth", "peer", "name", "eth0", "netns", host)
        _run("ip", "link", "set", port, "master", "switch")
        _run("ip", "link", "set", port, "up")
        for words in [
            ["addr", "add", f"{self._addresses[host]}/24", "dev", "eth0"],
            ["link", "set", "lo", "up"],
            ["link", "set", "eth0", "up"],
        ]:
            _run(*self.command(host, ["ip", *words]))


def _run(*words: str) -> None:
    done = subprocess.run(words, text=True, capture_output=True)
    if done.returncode != 0:
        raise RuntimeError(f"{' '.join(words)}: {done.stderr.strip()}")
