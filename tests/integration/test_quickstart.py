"""What packaging/quickstart shows (it builds first; here the build is there already)."""

import os
import signal
import subprocess

import pytest

from support.daemons import BUILD, TOP
from support.wait import PATIENCE, wait_for


def start(folder, *options):
    return subprocess.Popen(
        ["/usr/bin/python3", "-B", f"{TOP}/packaging/quickstart.py", "--folder", folder, *options],
        env={**os.environ, "COEXIST_BUILD": BUILD, "TMPDIR": folder}, text=True,
        stdout=subprocess.PIPE, stderr=subprocess.STDOUT, start_new_session=True)


def processes_in(folder):
    """Command lines that name the folder."""
    found = []
    for pid in filter(str.isdigit, os.listdir("/proc")):
        try:
            with open(f"/proc/{pid}/cmdline", "rb") as file:
                line = file.read().replace(b"\0", b" ").decode("utf-8", "replace")
        except OSError:
            continue
        if folder in line:
            found.append(line)
    return found


@pytest.mark.parametrize("options", [(), ("--ldif",)], ids=["ldap", "ldif"])
def test_shows_all_it_promises_and_leaves_nothing(folder, options):
    demo = start(folder, *options)
    text, _ = demo.communicate(timeout=PATIENCE * 5)
    assert demo.returncode == 0, text
    assert "All of it happened as it should." in text
    assert not processes_in(folder) and not os.listdir(folder)


def test_stops_what_it_started_on_ctrl_c(folder):
    demo = start(folder)
    lines = []
    while not any("4. Mail" in line for line in lines):
        lines.append(demo.stdout.readline())
        assert lines[-1], "".join(lines)
    demo.send_signal(signal.SIGINT)
    text, _ = demo.communicate(timeout=PATIENCE * 2)
    assert demo.returncode == 130, text
    wait_for(lambda: not processes_in(folder), lambda: str(processes_in(folder)))
    assert not os.listdir(folder)
