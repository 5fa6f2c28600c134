"""
Hosts on a network (lan.py) as an administrator sees them: root's home, /etc, /run and what is
below /var are a host's own, and so are its accounts and its name; apt, ssh, systemctl and
journalctl are stand-ins (standins/host). What systemctl starts is run by the test.
"""

import os
import socketserver
import subprocess
import threading
from concurrent.futures import ThreadPoolExecutor

from . import lan
from .daemons import BUILD, TOP, program
from .wait import Child, PATIENCE, run, wait_for

STANDINS = os.path.join(TOP, "tests", "support", "standins")
DOMAIN = "acme.example"


class Unit:
    """One of our daemons, as systemctl sees it."""

    def __init__(self, daemon):
        self._daemon = daemon
        self.start, self.restart, self.is_running = daemon.start, daemon.restart, daemon.is_running

    def reload(self):
        """As ExecReload= of the units; until the daemon has said what it makes of it."""
        daemon = self._daemon

        def said():
            return len(daemon.log_lines("configuration (not )?reloaded"))
        run([*daemon.prefix, program(daemon.name), "-t", "-c", daemon.conf])
        before = said()
        daemon.reload()
        wait_for(lambda: said() > before, daemon.log_text)


class Host(lan.Host):
    """folder: where what it has of its own lies; units: {name: what systemctl acts on}."""

    def boot(self, folder, hosts, ca):
        """hosts: what stands in /etc/hosts; ca: file of the authority that it trusts."""
        self.full_name = f"{self.name}.{DOMAIN}"
        self.units = {}
        self._hosts = folder
        self.folder = f"{folder}/{self.name}"
        os.makedirs(self.folder)
        os.symlink(ca, f"{self.folder}/ca.pem")
        with open(f"{self.folder}/hosts", "w", encoding="ascii") as out:
            out.write(hosts)
        self._setup = Child([*self.prefix, "unshare", "--mount", "--uts", f"{STANDINS}/host",
                             self.folder, self.full_name], f"{self.folder}/setup.log")

    def wait_up(self):
        def is_up():
            assert self._setup.is_running(), self._setup.log_text()
            return os.path.exists(f"{self.folder}/ready")
        wait_for(is_up, lambda: f"{self.name}:\n{self._setup.log_text()}")
        self.prefix = ["nsenter", "-t", str(self._setup.pid), "-m", "-n", "-u", "--"]
        with open(f"{self.folder}.pid", "w", encoding="ascii") as out:
            out.write(str(self._setup.pid))

    def run(self, script):
        """What an administrator types; CompletedProcess with both outputs as one."""
        env = {"PATH": "/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin", "HOME": "/mnt",
               "COEXIST_TOP": TOP, "COEXIST_BUILD": BUILD, "COEXIST_HOSTS": self._hosts,
               "LC_ALL": "C.UTF-8"}
        return subprocess.run(
            [*self.prefix, "bash", "-e", "-o", "pipefail", "-c", f"cd\n{script}"], env=env,
            stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
            encoding="utf-8", errors="replace", check=False, timeout=PATIENCE)

    def do(self, script):
        """The same, which must end well."""
        done = self.run(script)
        assert done.returncode == 0, f"{self.name}: {script}\n{done.stdout}"

    def rewrite(self, path, edit):
        """A file there becomes edit(its text)."""
        with open(f"{self.folder}{path}", "r+", encoding="utf-8") as file:
            text = edit(file.read())
            file.seek(0)
            file.truncate()
            file.write(text)

    def systemctl(self, verb, unit):
        thing = self.units[unit]
        if verb != "start" or not thing.is_running():
            {"start": thing.start, "restart": thing.restart, "try-restart": thing.restart,
             "reload": getattr(thing, "reload", None)}[verb]()

    def close(self):
        if hasattr(self, "_setup"):
            self._setup.kill()
        super().close()


# A child dies with the thread that started it (PR_SET_PDEATHSIG): this one stays.
_starter = ThreadPoolExecutor(1)


class _Manager(socketserver.StreamRequestHandler):
    def handle(self):
        name, verb, *units = self.rfile.readline().decode().split()
        try:
            for unit in units:
                _starter.submit(self.server.hosts[name].systemctl, verb, unit).result()
        except Exception as error:  # pylint: disable=broad-except
            self.wfile.write(f"systemctl {verb}: {error}\n".encode())


class _Server(socketserver.ThreadingUnixStreamServer):
    daemon_threads = True


class Hosts:
    """hosts[name]: those of a network, on which `address` is ours, called `store`, too."""

    def __init__(self, folder, names, ca, store="store"):
        self.ca = ca
        self._server = None
        self._network = lan.Lan()
        self.address = self._network.address
        try:
            made = [self._network.add(name, Host) for name in names]
            self._by_name = {host.name: host for host in made}
            os.makedirs(f"{folder}/hosts")
            self._serve(f"{folder}/hosts/units", made)
            lines = ["127.0.0.1 localhost", f"{self.address} {store}.{DOMAIN}",
                     *(f"{host.address} {host.name}.{DOMAIN} {host.name}" for host in made)]
            for host in made:
                host.boot(f"{folder}/hosts", "\n".join(lines) + "\n", ca)
            for host in made:
                host.wait_up()
        except BaseException:
            self.close()
            raise

    def _serve(self, path, hosts):
        self._server = _Server(path, _Manager)
        self._server.hosts = {f"{host.name}.{DOMAIN}": host for host in hosts}
        threading.Thread(target=self._server.serve_forever, args=(0.05,), daemon=True).start()

    def __getitem__(self, name):
        return self._by_name[name]

    def close(self):
        if self._server:
            self._server.shutdown()
            self._server.server_close()
        self._network.close()
