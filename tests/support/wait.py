"""Waiting for conditions, free ports, child processes."""

import os
import random
import signal
import socket
import subprocess
import time

# Generous: tests wait for a condition, and only a failing one waits this long.
# Sanitizers and busy machines need the factor.
FACTOR = float(os.environ.get("COEXIST_TEST_PATIENCE", "1"))
PATIENCE = 60 * FACTOR


class Timeout(AssertionError):
    pass


def wait_for(condition, what, deadline=PATIENCE, interval=0.01):
    """Returns the first true value of condition(); Timeout says `what`."""
    end = time.monotonic() + deadline
    while True:
        value = condition()
        if value:
            return value
        if time.monotonic() > end:
            raise Timeout(f"waited {deadline:g} s for {what() if callable(what) else what}")
        time.sleep(interval)
        interval = min(interval * 1.5, 0.25)


_given = set()
# Test runs at the same time take ports from ranges of their own.
PORTS = 1500
FIRST_PORT = 20000 + PORTS * (int(os.environ.get("COEXIST_TEST_WORKER", "0")) % 8)


def free_port(address="127.0.0.1"):
    """A port below the kernel's ephemeral range, so that no client gets it first."""
    while True:
        port = FIRST_PORT + random.randrange(PORTS)
        if (address, port) in _given:
            continue
        with socket.socket() as probe:
            try:
                probe.bind((address, port))
            except OSError:
                continue
        _given.add((address, port))
        return port


def can_connect(address, port):
    try:
        socket.create_connection((address, port), timeout=5).close()
        return True
    except OSError:
        return False


# Whatever becomes of us, our children do not outlive us.
TIED = ("setpriv", "--pdeathsig", "KILL")


class Child:
    """A process of ours, with its output in a file."""

    def __init__(self, argv, log, env=None, cwd=None):
        self.argv = [str(a) for a in argv]
        self.log_path = log
        self.told = False
        with open(log, "ab") as out:
            self.process = subprocess.Popen(
                [*TIED, *self.argv], stdin=subprocess.DEVNULL, stdout=out, stderr=out,
                env=env, cwd=cwd, start_new_session=True)

    @property
    def pid(self):
        return self.process.pid

    def is_running(self):
        return self.process.poll() is None

    def log_text(self):
        with open(self.log_path, encoding="utf-8", errors="replace") as log:
            return log.read()

    def begin_stop(self):
        """SIGTERM, once, as a service manager does it."""
        if not self.told and self.is_running():
            self.process.send_signal(signal.SIGTERM)
        self.told = True

    def terminate(self, deadline=PATIENCE):
        """SIGTERM; the exit code."""
        self.begin_stop()
        return self.wait(deadline)

    def wait(self, deadline=PATIENCE):
        try:
            return self.process.wait(deadline)
        except subprocess.TimeoutExpired:
            self.kill()
            raise Timeout(f"{self.argv[0]} does not end:\n{self.log_text()[-4000:]}") from None

    def kill(self):
        """SIGKILL."""
        if self.is_running():
            self.process.kill()
        self.process.wait()


def run(argv, stdin=None, env=None, check=True, timeout=PATIENCE * 2):
    """A command-line tool; text in, text out. Raises with its output where it fails."""
    done = subprocess.run([str(a) for a in argv], input=stdin, env=env, text=True,
                          capture_output=True, timeout=timeout, check=False)
    if check and done.returncode != 0:
        raise AssertionError(f"{' '.join(map(str, argv))}: exit {done.returncode}\n"
                             f"{done.stdout}{done.stderr}")
    return done
