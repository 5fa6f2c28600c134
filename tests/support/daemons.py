"""The Coexist programs: found, started, watched, stopped."""

import json
import os
import re
import signal
import socket

from .wait import Child, PATIENCE, Timeout, run, wait_for

TOP = os.path.abspath(os.path.join(os.path.dirname(__file__), "..", ".."))
BUILD = os.environ.get("COEXIST_BUILD", os.path.join(TOP, "build"))
FOLDERS = {"coexist-syncd": "syncd", "coexist-milter": "milter", "coexist-policyd": "policyd",
           "coexistctl": "ctl", "coexist-syncd-fast": "tests/support",
           "coexist-cookie": "tests/support", "coexist-syncd-crash": "tests/support",
           "sync_changes": "tests/support", "check-reader": "tests/support", "coexist-syncd-jump": "tests/support",
           "coexist-policyd-jump": "tests/support", "coexist-milter-jump": "tests/support"}
SANITIZER = re.compile(r"ERROR: \w+Sanitizer|WARNING: ThreadSanitizer|runtime error:")


def program(name):
    path = os.path.join(BUILD, FOLDERS[name], name)
    assert os.access(path, os.X_OK), f"{path} is not built (COEXIST_BUILD says where)"
    return path


class Daemon:
    """
    One daemon in the foreground. start() returns when it says READY=1 (as systemd would
    wait for it). A stop must exit 0, and no sanitizer may have spoken.
    """

    def __init__(self, name, conf, folder, arguments=()):
        self.name = name
        self.conf = conf
        self.folder = str(folder)
        self.arguments = list(arguments)
        self.prefix = []  # a command that runs another: prlimit, faketime
        self.log = f"{self.folder}/{name}.log"
        self.child = None

    def start(self, wait=True):
        assert not self.is_running(), f"{self.name} runs"
        path = f"{self.folder}/{self.name}.ready"
        if os.path.exists(path):
            os.unlink(path)
        with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as ready:
            ready.bind(path)
            os.chmod(path, 0o777)
            ready.settimeout(0.1)
            env = {**os.environ, "NOTIFY_SOCKET": path,
                   "ASAN_OPTIONS": "detect_stack_use_after_return=1:abort_on_error=0",
                   "UBSAN_OPTIONS": "print_stacktrace=1",
                   "TSAN_OPTIONS": "halt_on_error=0"}
            env.pop("JOURNAL_STREAM", None)
            self.child = Child([*self.prefix, program(self.name), "-f", "-c", self.conf, *self.arguments],
                               self.log, env=env)
            if wait:
                wait_for(lambda: self._is_ready(ready), lambda: f"{self.name} to be ready:\n"
                         f"{self.child.log_text()[-4000:]}", interval=0)

    def _is_ready(self, ready):
        if not self.is_running():
            raise AssertionError(f"{self.name} ended with {self.child.process.returncode}:\n"
                                 f"{self.child.log_text()[-4000:]}")
        try:
            return b"READY=1" in ready.recv(4096).split(b"\n")
        except TimeoutError:
            return False

    def is_running(self):
        return self.child is not None and self.child.is_running()

    @property
    def pid(self):
        return self.child.pid

    def log_text(self):
        return self.child.log_text() if self.child else ""

    def log_lines(self, pattern):
        return [line for line in self.log_text().splitlines() if re.search(pattern, line)]

    def new_lines(self):
        """An iterator over whole lines as they are written; None where there is none yet."""
        with open(self.log, encoding="utf-8", errors="replace") as log:
            part = ""
            while True:
                part += log.readline()
                if part.endswith("\n"):
                    yield part
                    part = ""
                else:
                    yield None

    def reload(self):
        os.kill(self.pid, signal.SIGUSR1)

    def stop(self):
        """SIGTERM; must end with 0."""
        code = self.child.terminate()
        assert code == 0, f"{self.name} ended with {code}:\n{self.log_text()[-4000:]}"

    def begin_stop(self):
        """SIGTERM, and does not wait; close() does."""
        if self.child is not None:
            self.child.begin_stop()

    def kill(self):
        """SIGKILL: what a crash looks like from outside."""
        self.child.kill()

    def restart(self):
        self.stop()
        self.start()

    def complaints(self):
        return self.log_lines(SANITIZER)

    def close(self):
        """Ends it where it runs, and judges how it ended and what it logged."""
        if self.child is not None and self.child.process.returncode != -signal.SIGKILL:
            self.stop()
        assert not self.complaints(), f"{self.name}:\n{self.log_text()[-8000:]}"


def coexistctl(conf, *arguments, stdin=None, check=False, prefix=()):
    """CompletedProcess; output as text."""
    done = run([*prefix, program("coexistctl"), "-c", conf, *arguments], stdin=stdin, check=check)
    assert not SANITIZER.search(done.stderr), done.stderr
    return done


def resolve(conf, address, *arguments, **options):
    """(exit code, the JSON object) of coexistctl resolve --json."""
    done = coexistctl(conf, "resolve", address, "--json", *arguments, **options)
    return done.returncode, json.loads(done.stdout)


__all__ = ["BUILD", "Daemon", "PATIENCE", "Timeout", "coexistctl", "program", "resolve"]
