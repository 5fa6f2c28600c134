"""coexist-syncd as a process: start, reload, stop, kill -9, control socket."""

import os
import random
import signal
import socket
import subprocess
import threading

import pytest

from support.daemons import program
from support.syncd import DOMAIN, Syncd, fresh_dump, mailbox, mailboxes
from support.wait import run, wait_for


@pytest.fixture
def syncd():
    made = Syncd()
    made.write(mailboxes(0, 3))
    yield made
    made.close()


def test_killed_anywhere_it_goes_on(syncd):
    syncd.configure({"corp": "max_delete_percent = 100"})
    chance = random.Random(1)
    texts = [mailboxes(0, 300), "\n".join([DOMAIN] + [mailbox(n, cn=f"name {n}")
                                                      for n in range(5, 310)])]
    syncd.write(texts[0])
    for i in range(15):
        syncd.daemon.start(wait=False)
        syncd.write(texts[i % 2])
        # Anywhere: at start, while it loads, while it waits.
        try:
            syncd.daemon.child.process.wait(chance.random() * 1.2)
            raise AssertionError(f"it ended by itself:\n{syncd.daemon.log_text()[-2000:]}")
        except subprocess.TimeoutExpired:
            syncd.daemon.kill()
        if os.path.exists(f"{syncd.folder}/replica/current"):
            run([program("coexistctl"), "-c", syncd.conf, "dump"], check=False)
    syncd.write(texts[1])
    syncd.daemon.start()
    syncd.wait_status(state="loaded", recipients=305)
    assert syncd.dump() == fresh_dump({"corp": texts[1]})


def test_readers_have_the_data_while_it_is_down(syncd):
    syncd.daemon.start()
    syncd.wait_status(state="loaded")
    before = syncd.dump()
    syncd.daemon.kill()
    assert syncd.dump() == before
    syncd.daemon.start()
    assert syncd.dump() == before


def test_a_second_writer_is_refused(syncd):
    syncd.daemon.start()
    other = f"{syncd.folder}/other.conf"
    with open(syncd.conf, encoding="utf-8") as conf, open(other, "w", encoding="utf-8") as out:
        out.write(conf.read().replace("syncd.sock", "other.sock"))
    done = run([program("coexist-syncd"), "-f", "-c", other], check=False)
    assert done.returncode == 75, done.stderr
    same = run([program("coexist-syncd"), "-f", "-c", syncd.conf], check=False)
    assert same.returncode == 74 and "in use" in same.stderr
    assert syncd.ask("refresh") == ["ok"]


def test_a_wrong_configuration_is_refused(syncd):
    with open(syncd.conf, "a", encoding="utf-8") as out:
        out.write("nonsense = 1\n")
    for flag in ("-f", "-t"):
        done = run([program("coexist-syncd"), flag, "-c", syncd.conf], check=False)
        assert done.returncode == 78
        assert f"{syncd.conf}:" in done.stderr


def test_reload_adds_removes_and_reorders(syncd):
    syncd.configure({"corp": "", "pop": ""})
    texts = {"corp": mailboxes(0, 3), "pop": mailbox(50) + "\n" + mailbox(1, mail="x@acme.example")}
    for name, text in texts.items():
        syncd.write(text, name)
    syncd.daemon.start()
    syncd.wait_status("pop", state="loaded", recipients=2)
    before = syncd.wait_status("corp", state="loaded")

    syncd.configure({"pop": "", "new": "", "corp": ""})
    syncd.write(mailbox(70), "new")
    syncd.daemon.reload()
    wait_for(lambda: syncd.daemon.log_lines("configuration reloaded"), "the reload")
    syncd.wait_status("new", state="loaded", recipients=1)
    # The others go on as they were: nothing was loaded again but what they provide by default.
    assert syncd.status("corp")["recipients"] == before["recipients"]
    syncd.wait_status("pop", recipients=2)

    syncd.configure({"corp": ""})
    syncd.daemon.reload()
    wait_for(lambda: len(syncd.daemon.log_lines("configuration reloaded")) == 2, "the reload")
    syncd.wait_status("corp", state="loaded", recipients=3, domains=1)
    assert syncd.dump() == fresh_dump({"corp": texts["corp"]})


def test_reload_leaves_what_did_not_change_alone(syncd):
    syncd.daemon.start()
    before = syncd.wait_status(state="loaded")
    syncd.configure({"corp": ""}, options='postmaster = "root"')
    syncd.daemon.reload()
    wait_for(lambda: syncd.daemon.log_lines("configuration reloaded"), "the reload")
    assert syncd.status()["refreshes"] == before["refreshes"]


def test_a_changed_mapping_forces_a_full_refresh(syncd):
    syncd.write(mailboxes(0, 2) + "\n" + mailbox(5, mailAlternateAddress="five@acme.example"))
    syncd.daemon.start()
    syncd.wait_status(state="loaded")
    assert "five@acme.example" not in syncd.dump()
    syncd.configure({"corp": 'attributes { proxy_address = "mailAlternateAddress" }'})
    syncd.daemon.reload()
    wait_for(lambda: "five@acme.example" in syncd.dump(), "the new mapping to show")


def test_a_wrong_configuration_does_not_replace_a_good_one(syncd):
    syncd.daemon.start()
    syncd.wait_status(state="loaded")
    for signum, mapping in ((signal.SIGUSR1, "nosuch"), (signal.SIGHUP, "norone")):
        syncd.configure({"corp": f'mapping = "{mapping}"'})
        os.kill(syncd.daemon.pid, signum)
        wait_for(lambda what=mapping: syncd.daemon.log_lines(
            f"configuration not reloaded: .*{what}"), "the error")
    syncd.write(mailboxes(0, 4))
    syncd.wait_status(recipients=4)


def test_a_storm_of_signals_drops_nothing(syncd):
    syncd.daemon.start()
    before = syncd.wait_status(state="loaded")
    for _ in range(200):
        syncd.daemon.reload()
    syncd.write(mailboxes(0, 4))
    after = syncd.wait_status(recipients=4)
    assert after["refreshes"] == before["refreshes"] + 1


def test_a_storm_of_stops_ends_it_in_order(syncd):
    for _ in range(5):
        syncd.daemon.start()
        child = syncd.daemon.child
        while child.is_running():
            child.process.send_signal(signal.SIGTERM)
        assert child.process.wait() == 0, syncd.daemon.log_text()[-2000:]


def test_the_socket_is_for_root_and_us(syncd):
    syncd.daemon.start()
    assert os.stat(syncd.socket).st_mode & 0o777 == 0o600
    os.chmod(syncd.socket, 0o666)
    # Who gets through all the same is told by its credentials.
    code = ("import socket,sys; s=socket.socket(socket.AF_UNIX); s.connect(sys.argv[1])\n"
            "try:\n s.sendall(b'status\\n'); print(len(s.recv(9999)))\n"
            "except (BrokenPipeError, ConnectionResetError): print(0)")
    done = subprocess.run(["/usr/bin/python3", "-c", code, syncd.socket], user=65534, group=65534,
                          extra_groups=[], capture_output=True, text=True, check=True, timeout=60)
    assert done.stdout == "0\n"
    assert len(syncd.ask("status")) == 1


def send(client, data):
    try:
        client.sendall(data)
        client.shutdown(socket.SHUT_WR)
    except OSError:
        pass


GARBAGE = {
    "NULs": b"\0" * 100 + b"\n",
    "a long line": b"x" * 100000,
    "blank lines": b"\n" * 20000,
    "a NUL in a command": b"status\0more\n",
    "no UTF-8": b"\xff\xfe\n",
    "an argument missing": b"accept\n",
    "half a line": b"stat",
}


@pytest.mark.parametrize("case", GARBAGE)
def test_garbage_disturbs_nobody(syncd, case):
    syncd.daemon.start()
    answers = b""
    with socket.socket(socket.AF_UNIX) as client:
        client.settimeout(60)
        client.connect(syncd.socket)
        try:
            sender = threading.Thread(target=send, args=(client, GARBAGE[case]))
            sender.start()
            while part := client.recv(65536):
                answers += part
            sender.join()
        except ConnectionResetError:
            pass
    lines = answers.splitlines()
    assert all(line.startswith(b"error: ") for line in lines)
    assert len(lines) == {"blank lines": 20000, "half a line": 0}.get(case, 1)
    assert syncd.ask("refresh") == ["ok"]


def test_many_clients_at_once(syncd):
    syncd.daemon.start()
    syncd.wait_status(state="loaded")
    idle = [socket.socket(socket.AF_UNIX) for _ in range(30)]
    for client in idle:
        client.connect(syncd.socket)
    answers = []

    def ask():
        for _ in range(20):
            answers.append(syncd.ask("status", "refresh")[1])

    threads = [threading.Thread(target=ask) for _ in range(10)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert answers == ["ok"] * 200
    for client in idle:
        client.close()
