"""
The replica's files where they should not be, or with the wrong permissions: readers say what is
wrong and answer "try again later", never from what is not a replica; syncd puts right what it can.
"""

import os
import shutil

import pytest

from support.daemons import coexistctl, program
from support.estate import Estate
from support.readers import check_whole
from support.syncd import mailboxes
from support.wait import run, wait_for

NOBODY = "nobody"
ENTRIES = 500
FAIL = "451 4.3.0"


@pytest.fixture
def estate():
    made = []

    def make(**options):
        made.append(Estate(**options))
        made[-1].write(mailboxes(0, ENTRIES))
        return made[-1]

    yield make
    for one in made:
        one.close()


def load(made):
    """The group of `nobody` may read what there is, and not what comes."""
    made.daemon.start()
    made.wait_status(state="loaded", recipients=ENTRIES)
    share(made.data_file())
    os.chown(made.replica, 0, 65534)
    os.chmod(made.replica, 0o750)


def share(data_file):
    for name in ("", "-lock"):
        os.chown(data_file + name, 0, 65534)


def answers(made):
    return made.ask_policy("u1@acme.example") == "DUNNO"


def wait_said(daemon, *patterns):
    for pattern in patterns:
        wait_for(lambda p=pattern: daemon.log_lines(p), lambda p=pattern:
                 f"{p!r} in\n{daemon.log_text()}")


# --- Permissions ---

@pytest.mark.parametrize("suffix, mode", [("", 0o640), ("-lock", 0o660)])
def test_files_that_a_reader_may_not_open(estate, suffix, mode):
    """The reader names the file; a new start of syncd gives its permissions back."""
    made = estate(user=NOBODY)
    load(made)
    made.daemon.stop()
    path = made.data_file() + suffix
    os.chmod(path, 0o600)
    made.policyd.start()
    wait_said(made.policyd, f"replica: {path}: Permission denied .*mode {mode:04o}")
    assert made.ask_policy("u1@acme.example").startswith(FAIL)
    made.daemon.start()
    assert os.stat(path).st_mode & 0o777 == mode
    wait_for(lambda: answers(made), made.policyd.log_text)
    wait_said(made.policyd, "replica: can be read again")


def test_a_directory_that_a_reader_may_not_enter(estate):
    made = estate(user=NOBODY)
    load(made)
    os.chmod(made.replica, 0o700)
    made.policyd.start()
    wait_said(made.policyd, f"replica: {made.replica}/current: Permission denied")
    assert made.ask_policy("u1@acme.example").startswith(FAIL)
    os.chmod(made.replica, 0o750)
    wait_for(lambda: answers(made), made.policyd.log_text)


def test_a_new_file_that_a_running_reader_may_not_open(estate):
    """It goes on with the old one, and says so."""
    made = estate(user=NOBODY)
    load(made)
    old = made.data_file()
    made.policyd.start()
    wait_for(lambda: answers(made), made.policyd.log_text)
    made.configure({"corp": "", "pop": ""})
    made.write(mailboxes(1000, 3), "pop")
    made.daemon.reload()
    wait_for(lambda: made.daemon.log_lines("configuration reloaded"), made.daemon.log_text)
    made.wait_status("pop", state="loaded")
    assert made.data_file() != old
    wait_said(made.policyd, f"replica: {made.data_file()}: Permission denied")
    assert answers(made)
    share(made.data_file())
    wait_said(made.policyd, "replica: can be read again")
    assert made.ask_policy("u1001@acme.example") == "DUNNO"


def test_a_link_in_the_place_of_the_lock_file(estate):
    """LMDB writes to the lock file: the account that owns the folder must not have root overwrite another file."""
    made = estate(user=NOBODY)
    made.daemon.start()
    made.wait_status(state="loaded", recipients=ENTRIES)
    made.daemon.stop()
    lock, victim = f"{made.data_file()}-lock", f"{made.folder}/victim"
    with open(victim, "w", encoding="ascii") as out:
        out.write("precious")
    os.chmod(victim, 0o600)
    for path in (made.replica, made.data_file(), lock):
        os.chown(path, 65534, 65534)
    assert coexistctl(made.conf, "resolve", "u1@acme.example").returncode == 0
    os.rename(lock, f"{made.replica}/aside")
    os.symlink(victim, lock)
    done = coexistctl(made.conf, "resolve", "u1@acme.example")
    with open(victim, encoding="ascii") as source:
        assert source.read() == "precious"
    assert done.returncode == 75 and f"{lock}: Permission denied" in done.stdout + done.stderr, done
    os.rename(f"{made.replica}/aside", lock)
    assert coexistctl(made.conf, "resolve", "u1@acme.example").returncode == 0


def as_nobody(made):
    """syncd's complaint and exit code, as a user who owns nothing of what is there."""
    os.chmod(made.conf, 0o644)
    os.chmod(made.folder, 0o777)
    done = run(["setpriv", "--reuid=65534", "--regid=65534", "--clear-groups",
                program("coexist-syncd"), "-f", "-c", made.conf], check=False)
    return done.returncode, done.stderr


@pytest.mark.parametrize("path", ["", "/writer.lock", "DATA", "DATA-lock"])
def test_what_syncd_may_not_write(estate, path):
    made = estate()
    load(made)
    made.daemon.stop()
    os.chmod(made.ldif(), 0o644)
    data = made.data_file()
    if path:
        for name in os.listdir(made.replica):
            if not os.path.islink(f"{made.replica}/{name}"):
                os.chown(f"{made.replica}/{name}", 65534, 65534)
        os.chown(made.replica, 65534, 65534)
        path = path.replace("DATA", data) if "DATA" in path else made.replica + path
        os.chown(path, 0, 0)
        os.chmod(path, 0o600)
    else:
        os.chmod(made.replica, 0o755)
    code, said = as_nobody(made)
    assert code == 74 and "Permission denied" in said, (code, said)
    assert (path or made.replica) in said, said
    # The data files are LMDB's matter: mode and owner are said of those.
    if not path.startswith(data):
        assert f"for nobody: {made.replica} and all in it must be its own" in said, said
    # Nothing was lost. (Root reads with the rights of the folder's owner.)
    if path:
        os.chown(path, 65534, 65534)
    assert check_whole(made.replica)["records"] == ENTRIES + 1


@pytest.mark.parametrize("mode, is_warned", [(0o2750, False), (0o2770, True), (0o777, True)])
def test_a_folder_that_others_can_write_is_warned_of(estate, mode, is_warned):
    made = estate()
    os.makedirs(made.replica, exist_ok=True)
    os.chmod(made.replica, mode)
    load(made)
    said = made.daemon.log_lines(f"{made.replica}: others can make files in it, say chmod 2750")
    assert bool(said) == is_warned, made.daemon.log_text()


def test_syncd_makes_good_what_it_owns(estate):
    made = estate()
    load(made)
    made.daemon.stop()
    os.chmod(made.data_file(), 0o666)
    os.unlink(made.data_file() + "-lock")
    made.daemon.start()
    assert os.stat(made.data_file()).st_mode & 0o777 == 0o640
    assert os.stat(made.data_file() + "-lock").st_mode & 0o777 == 0o660


# --- Places ---

def test_a_replica_that_is_a_file(estate):
    made = estate()
    with open(made.replica, "w", encoding="utf-8") as out:
        out.write("not a directory")
    for name, code in (("coexist-syncd", 78), ("coexist-policyd", 78), ("coexist-milter", 78)):
        done = run([program(name), "-f", "-c", made.conf], check=False)
        assert done.returncode == code, (name, done)
        assert made.replica in done.stderr and "ot a directory" in done.stderr, done
    assert coexistctl(made.conf, "dump").returncode != 0
    os.unlink(made.replica)


def test_a_replica_in_a_directory_that_is_not_there(estate):
    made = estate()
    with open(made.conf, encoding="utf-8") as conf:
        text = conf.read().replace(made.replica, f"{made.folder}/no/such/place")
    with open(made.conf, "w", encoding="utf-8") as conf:
        conf.write(text)
    for name in ("coexist-syncd", "coexist-policyd", "coexist-milter"):
        done = run([program(name), "-f", "-c", made.conf], check=False)
        assert done.returncode == 78, (name, done)
        assert f"{made.folder}/no/such/place: No such file or directory" in done.stderr, done


# --- current ---

def link_to(target):
    def change(made):
        os.unlink(f"{made.replica}/current")
        os.symlink(target, f"{made.replica}/current")
    return change


def file_with(content):
    """A data file of that content, in force."""
    def change(made):
        with open(f"{made.replica}/data-99.mdb", "wb") as out:
            out.write(content)
        link_to("data-99.mdb")(made)
    return change


def half(made):
    """The first pages of it: as a copy that was broken off."""
    shutil.copy(made.data_file(), f"{made.replica}/data-99.mdb")
    os.truncate(f"{made.replica}/data-99.mdb", 3 * os.sysconf("SC_PAGESIZE"))
    link_to("data-99.mdb")(made)


def plain_file(made):
    os.unlink(f"{made.replica}/current")
    with open(f"{made.replica}/current", "wb") as out:
        out.write(b"data-1.mdb")


def gone(made):
    os.unlink(f"{made.replica}/current")


def data_gone(made):
    os.unlink(made.data_file())


# name: (what is done to a replica that is in use, what readers say that start then)
CURRENTS = {
    "missing": (gone, "no replica yet"),
    "dangling": (link_to("data-77.mdb"), "current: the replica file that it names is missing"),
    "its file removed": (data_gone, "current: the replica file that it names is missing"),
    "outside": (link_to("/etc/passwd"), "current: not a link to a replica file"),
    "with slashes": (link_to("../corp.ldif"), "current: not a link to a replica file"),
    "to itself": (link_to("current"), "current: Too many levels of symbolic links"),
    "with escapes": (link_to("data-\x1b[31m.mdb"), "current: the replica file that it names is "),
    "a file": (plain_file, "current: not a link to a replica file"),
    "empty": (file_with(b""), "data-99.mdb"),
    "zeros": (file_with(bytes(100000)), "data-99.mdb"),
    "garbage": (file_with(os.urandom(100000)), "data-99.mdb"),
    "text": (file_with(b"dn: uid=adam\n" * 1000), "data-99.mdb"),
    "half": (half, "data-99.mdb"),
}


@pytest.mark.parametrize("name", CURRENTS)
def test_what_is_no_replica(estate, name):
    """Refused for now, said once, never answered from; syncd makes a new one when it starts."""
    change, said = CURRENTS[name]
    made = estate()
    load(made)
    made.daemon.stop()
    change(made)
    made.policyd.start()
    wait_said(made.policyd, "replica: .*" + said)
    assert "\x1b" not in made.policyd.log_text()
    assert made.ask_policy("u1@acme.example").startswith(FAIL)
    assert made.ask_policy("nobody@acme.example").startswith(FAIL)
    done = coexistctl(made.conf, "dump")
    assert done.returncode != 0 and done.stdout == ""
    made.daemon.start()
    made.wait_status(state="loaded", recipients=ENTRIES)
    wait_for(lambda: answers(made), made.policyd.log_text)
    assert made.ask_policy("nobody@acme.example").startswith("550")
    check_whole(made.replica)
    names = os.listdir(made.replica)
    assert len([n for n in names if n.startswith("data-")]) == 2, names


@pytest.mark.parametrize("name", ["missing", "dangling", "its file removed", "to itself"])
def test_who_has_the_replica_goes_on_when_the_link_breaks(estate, name):
    made = estate()
    load(made)
    made.policyd.start()
    wait_for(lambda: answers(made), made.policyd.log_text)
    made.daemon.stop()
    CURRENTS[name][0](made)
    wait_said(made.policyd, "replica: .*current: ")
    assert answers(made)
    made.daemon.start()
    made.wait_status(state="loaded", recipients=ENTRIES)
    wait_said(made.policyd, "replica: can be read again")
    assert answers(made)


def test_current_is_a_directory(estate):
    """The one thing that is not replaced: somebody meant something by it."""
    made = estate()
    load(made)
    made.daemon.stop()
    gone(made)
    os.mkdir(f"{made.replica}/current")
    done = run([program("coexist-syncd"), "-f", "-c", made.conf], check=False)
    assert done.returncode == 74, done
    assert f"{made.replica}/current: Is a directory" in done.stderr, done
    shutil.rmtree(f"{made.replica}/current")
