"""A network of hosts, each in a network namespace of its own, on one switch; we are on it, too."""

import itertools
import os
import random

from .wait import run

_numbers = itertools.count()


class Host:
    """prefix: runs a command there. cut(): its cable is pulled, which nobody is told; join()."""

    def __init__(self, lan, name, address):
        self.name, self.address, self._lan = name, address, lan
        self.space = f"{lan.bridge}{name}"
        self.prefix = ["ip", "netns", "exec", self.space]
        number = next(_numbers)
        self._outer, inner = f"{lan.bridge}o{number}", f"{lan.bridge}i{number}"
        run(["ip", "netns", "add", self.space])
        run(["ip", "link", "add", self._outer, "type", "veth", "peer", "name", inner,
             "netns", self.space])
        for line in (["address", "add", f"{address}/27", "dev", inner],
                     ["link", "set", inner, "up"], ["link", "set", "lo", "up"]):
            run(["ip", "-n", self.space, *line])
        run(["ip", "link", "set", self._outer, "up"])
        self.join()

    def cut(self):
        run(["ip", "link", "set", self._outer, "nomaster"])

    def join(self):
        run(["ip", "link", "set", self._outer, "master", self._lan.bridge])

    def close(self):
        run(["ip", "netns", "delete", self.space], check=False)
        # Its end of the wire goes with it, and ours with that, a moment later.
        run(["ip", "link", "delete", self._outer], check=False)


class Lan:
    """add(name, kind) -> a Host. `address` is ours."""

    def __init__(self):
        self.bridge = f"cx{os.getpid()}"
        net = f"100.{random.randrange(64, 128)}.{random.randrange(256)}."
        base = 32 * random.randrange(8)
        self.address = f"{net}{base + 1}"
        self._free = (f"{net}{base + n}" for n in range(2, 31))
        self._hosts = []
        run(["ip", "link", "add", self.bridge, "type", "bridge"])
        try:
            run(["ip", "address", "add", f"{self.address}/27", "dev", self.bridge])
            run(["ip", "link", "set", self.bridge, "up"])
        except BaseException:
            self.close()
            raise

    def add(self, name, kind=Host):
        self._hosts.append(kind(self, name, next(self._free)))
        return self._hosts[-1]

    def close(self):
        for host in self._hosts:
            host.close()
        run(["ip", "link", "delete", self.bridge])
