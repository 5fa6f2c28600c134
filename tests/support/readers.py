"""Readers that check what they read: tests/support/check_reader.c."""

import re

from .daemons import SANITIZER, program
from .wait import Child, run, wait_for


class Reader:
    """
    A process that looks at the replica on and on, or (hold=N) holds N snapshots. close() judges
    what it saw.
    """

    def __init__(self, replica, log, hold=0):
        self.seen = {}
        arguments = ["-h", hold] if hold else []
        self.child = Child([program("check-reader"), *arguments, replica], log)
        wait_for(lambda: "\n" in self.child.log_text() or not self.child.is_running(),
                 "the reader to begin")
        self.assert_content()

    @property
    def pid(self):
        return self.child.pid

    def held(self):
        """How many snapshots it got."""
        return int(re.search(r"holds (\d+)", self.child.log_text()).group(1))

    def assert_content(self):
        text = self.child.log_text()
        assert self.child.is_running() and "wrong" not in text, text

    def kill(self):
        self.child.kill()

    def close(self):
        code = self.child.terminate()
        text = self.child.log_text()
        assert code == 0 and "wrong" not in text and not SANITIZER.search(text), text
        self.seen = {name: int(value) for name, value in re.findall(r"(\w+)=(\d+)", text)}
        return self.seen


def check_whole(replica):
    """One snapshot, checked as a whole."""
    done = run([program("check-reader"), "-1", replica], check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    return {name: int(value) for name, value in re.findall(r"(\w+)=(\d+)", done.stdout)}
