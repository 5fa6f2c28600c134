"""coexist-syncd over LDIF files with a policy service and a milter beside it, and its disk."""

import os
import re
import shutil

from .daemons import Daemon
from .policyd import PolicyClient
from .syncd import Syncd
from .wait import run


class Estate(Syncd):
    """
    syncd is coexist-syncd-fast; policyd (as `user`) and milter are not started. `disk`: the
    replica is on a file system of its own, of so many bytes.
    """

    def __init__(self, user="", disk=0):
        self.policyd = self.milter = self.filler = None
        self.user = user
        super().__init__()
        self.replica = f"{self.folder}/replica"
        self.daemon.name = "coexist-syncd-fast"
        self.policyd = Daemon("coexist-policyd", self.conf, self.folder)
        self.milter = Daemon("coexist-milter", self.conf, self.folder)
        self.has_disk = bool(disk)
        if disk:
            os.mkdir(self.replica)
            run(["mount", "-t", "tmpfs", "-o", f"size={disk},mode=755", "coexist-test",
                 self.replica])

    def configure(self, directories, options=""):
        super().configure(directories, options + f"""
policyd {{
  policy_listen = {{"unix:{self.folder}/policy"}}
  map_listen = {{"unix:{self.folder}/map"}}
  user = "{self.user}"
}}
milter {{ listen = "unix:{self.folder}/milter" }}
""")

    def ask_policy(self, recipient):
        with PolicyClient(f"unix:{self.folder}/policy") as client:
            return client.ask(policy_context="recipient", recipient=recipient)

    def data_file(self):
        return f"{self.replica}/{os.readlink(f'{self.replica}/current')}"

    def resize(self, size):
        run(["mount", "-o", f"remount,size={size}", self.replica])

    def fill_disk(self):
        """Until nothing goes on it any more."""
        self.filler = f"{self.replica}/filler"
        with open(self.filler, "wb", buffering=0) as out:
            try:
                while True:
                    out.write(bytes(4096))
            except OSError:
                pass

    def free_disk(self):
        os.unlink(self.filler)

    def used(self):
        """Bytes of the files in the replica's folder."""
        return sum(os.lstat(f"{self.replica}/{name}").st_blocks * 512
                   for name in os.listdir(self.replica))

    def close(self):
        try:
            for daemon in (self.milter, self.policyd):
                if daemon:
                    daemon.close()
            self.daemon.close()
        finally:
            if self.has_disk:
                run(["umount", "-l", self.replica], check=False)
            shutil.rmtree(self.folder, ignore_errors=True)


def old_files(pid):
    """Replica files that a process has mapped or open though they are removed."""
    found = []
    with open(f"/proc/{pid}/maps", encoding="utf-8", errors="replace") as maps:
        found += re.findall(r"data-\d+\.mdb\S* \(deleted\)", maps.read())
    for name in os.listdir(f"/proc/{pid}/fd"):
        try:
            target = os.readlink(f"/proc/{pid}/fd/{name}")
        except OSError:
            continue
        found += re.findall(r"data-\d+\.mdb\S* \(deleted\)", target)
    return found
