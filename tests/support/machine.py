"""
A host in namespaces of its own (mounts, network, processes), with the paths, ports, accounts and
names that a host has: a Postfix and an OpenLDAP that somebody uses already. What is written
there is gone with it. See standins/setup; apt, systemctl and journalctl are stand-ins.
"""

import os
import shutil
import subprocess
import tempfile

from .daemons import BUILD, TOP
from .wait import Child, PATIENCE, wait_for

STANDINS = os.path.join(TOP, "tests", "support", "standins")


class Machine:
    def __init__(self):
        self.folder = tempfile.mkdtemp(prefix="cx-")
        os.chmod(self.folder, 0o755)
        self.home = f"{self.folder}/home"
        self.child = Child(
            ["unshare", "--mount", "--net", "--uts", "--pid", "--fork", "--kill-child", "--mount-proc",
             f"{STANDINS}/setup", self.folder], f"{self.folder}/setup.log")
        try:
            wait_for(self._is_ready, lambda: f"the machine:\n{self.child.log_text()}")
        except BaseException:
            self.close()
            raise

    def _is_ready(self):
        assert self.child.is_running(), self.child.log_text()
        return os.path.exists(f"{self.folder}/ready")

    def _inside(self):
        """The process whose namespaces they are."""
        with open(f"/proc/{self.child.pid}/task/{self.child.pid}/children", encoding="ascii") as file:
            return file.read().split()[0]

    def run(self, script, source=""):
        """What an administrator types; CompletedProcess with both outputs as one."""
        env = {"PATH": f"{self.folder}/bin:/usr/sbin:/usr/bin:/sbin:/bin", "HOME": self.home,
               "COEXIST_TOP": TOP, "COEXIST_BUILD": BUILD, "LC_ALL": "C.UTF-8"}
        if source:
            env["SWAKS_OPT_local_interface"] = source
        return subprocess.run(
            ["nsenter", "-t", self._inside(), "-m", "-n", "-u", "-p", "bash", "-e", "-o", "pipefail",
             "-c", f"cd\n{script}"], env=env, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT, encoding="utf-8", errors="replace", check=False,
            timeout=PATIENCE)

    def log_text(self):
        return self.run("cat /var/log/mail.log").stdout

    def close(self):
        self.child.kill()
        shutil.rmtree(self.folder, ignore_errors=True)
