"""
A Debian root of its own that boots systemd in a namespace of its own (systemd-nspawn), with
loopback as its only network: where packages are installed as on a server.
"""

import os
import shutil
import signal
import subprocess
import time

CACHE = "/var/cache/coexist-tests/debian-root"
MIRROR = "http://deb.debian.org/debian"
# What the server has before Coexist comes: a running Postfix and slapd.
PACKAGES = ("systemd", "systemd-sysv", "dbus", "libpam-systemd", "postfix", "slapd", "ldap-utils", "python3")
ANSWERS = """\
postfix postfix/main_mailer_type select Local only
postfix postfix/mailname string mx.acme.example
slapd slapd/domain string acme.example
slapd shared/organization string acme
slapd slapd/password1 password admin's
slapd slapd/password2 password admin's
"""
# Nothing may start while the root is only a folder: it would be in the network of this host.
POLICY = "#!/bin/sh\nexit 101\n"


def run(argv, check=True, **options):
    done = subprocess.run(argv, text=True, errors="replace", check=False, stdout=subprocess.PIPE,
                          stderr=subprocess.STDOUT, **options)
    if check and done.returncode != 0:
        raise AssertionError(f"{' '.join(map(str, argv))}: exit {done.returncode}\n{done.stdout}")
    return done


def write(path, text, mode=0o644):
    with open(path, "w", encoding="utf-8") as out:
        out.write(text)
    os.chmod(path, mode)


def in_root(root, *argv, **options):
    """In the folder, with the network of this host: only for apt."""
    return run(["chroot", root, "env", "DEBIAN_FRONTEND=noninteractive", "LC_ALL=C.UTF-8", *argv], **options)


def make_base():
    """The root as it is before Coexist, made once."""
    stamp = f"{CACHE}.stamp"
    wanted = f"{MIRROR} {' '.join(PACKAGES)}\n{ANSWERS}"
    if os.path.exists(stamp) and open(stamp, encoding="utf-8").read() == wanted:
        return
    shutil.rmtree(CACHE, ignore_errors=True)
    os.makedirs(os.path.dirname(CACHE), exist_ok=True)
    run(["debootstrap", "--variant=minbase", "bookworm", CACHE, MIRROR])
    write(f"{CACHE}/usr/sbin/policy-rc.d", POLICY, 0o755)
    write(f"{CACHE}/etc/hosts", "127.0.0.1 localhost\n127.0.1.1 mx.acme.example mx\n")
    write(f"{CACHE}/etc/hostname", "mx\n")
    in_root(CACHE, "debconf-set-selections", input=ANSWERS)
    in_root(CACHE, "apt-get", "update")
    in_root(CACHE, "apt-get", "install", "-y", "--no-install-recommends", *PACKAGES)
    os.unlink(f"{CACHE}/usr/sbin/policy-rc.d")
    write(stamp, wanted)


class Machine:
    def __init__(self, folder):
        make_base()
        os.makedirs(folder, exist_ok=True)
        self.root = f"{folder}/root"
        self.log = f"{folder}/boot.log"
        self.process = None
        self.leader = None
        run(["cp", "-a", "--reflink=auto", CACHE, self.root])

    def download(self, *names):
        """Into apt's cache, while there is a network."""
        in_root(self.root, "apt-get", "install", "-y", "-d", *names)

    def boot(self):
        with open(self.log, "ab") as log:
            self.process = subprocess.Popen(
                ["systemd-nspawn", "--quiet", "--register=no", "--keep-unit", "--private-network",
                 "--resolv-conf=off", "--timezone=off", "--link-journal=no", "--hostname=mx",
                 f"--directory={self.root}", "--boot"],
                stdin=subprocess.DEVNULL, stdout=log, stderr=log, start_new_session=True)
        self._wait(lambda: self._find_leader(), "the machine to boot")
        self._wait(lambda: self.sh("systemctl is-system-running", check=False).stdout.strip()
                   in ("running", "degraded"), "the machine to be up")

    def _wait(self, is_true, what, seconds=90):
        until = time.monotonic() + seconds
        while not is_true():
            if self.process.poll() is not None or time.monotonic() > until:
                with open(self.log, encoding="utf-8", errors="replace") as log:
                    raise AssertionError(f"waited for {what}:\n{log.read()[-3000:]}")
            time.sleep(0.2)

    def _find_leader(self):
        """Process 1 of the machine, as this host knows it."""
        wanted = os.stat(self.root)
        for pid in filter(str.isdigit, os.listdir("/proc")):
            try:
                with open(f"/proc/{pid}/status", encoding="ascii", errors="replace") as status:
                    numbers = [line.split()[1:] for line in status if line.startswith("NSpid:")][0]
                root = os.stat(f"/proc/{pid}/root/")
            except OSError:
                continue
            if len(numbers) > 1 and numbers[-1] == "1" and (root.st_dev, root.st_ino) == (wanted.st_dev, wanted.st_ino):
                self.leader = int(pid)
                return True
        return False

    def start(self, command, **options):
        """A shell command in the machine, which goes on."""
        return subprocess.Popen(self._enter(command), text=True, **options)

    def sh(self, command, check=True, **options):
        return run(self._enter(command), check=check, **options)

    def _enter(self, command):
        return ["nsenter", "-t", str(self.leader), "-m", "-u", "-i", "-n", "-p", "-r", "-w", "--",
                "env", "-i", "PATH=/usr/sbin:/usr/bin:/sbin:/bin", "HOME=/root", "LC_ALL=C.UTF-8",
                "sh", "-c", command]

    def close(self):
        """Halts it; its processes end with it."""
        if self.process is not None and self.process.poll() is None:
            os.kill(self.leader or self.process.pid, signal.SIGRTMIN + 4 if self.leader else signal.SIGTERM)
            try:
                self.process.wait(60)
            except subprocess.TimeoutExpired:
                self.process.kill()
                self.process.wait()
