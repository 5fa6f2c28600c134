"""What all programs have in common: options, exit codes, a word for a wrong configuration (SPEC section 1)."""

import os
import re
import socket
import subprocess

import pytest

from support.daemons import BUILD, TOP, program
from support.wait import run

DAEMONS = ("coexist-syncd", "coexist-milter", "coexist-policyd")
PROGRAMS = (*DAEMONS, "coexistctl")
LEAST = 'user = ""\ndirectory "d" { ldif = "d.ldif" }\n'
HERE = """\
replica = "replica"
syncd { control = "unix:@/syncd" }
milter { listen = "unix:@/milter" }
policyd { policy_listen = {"unix:@/policy"} map_listen = {"unix:@/map"} }
"""


@pytest.fixture(name="say")
def _say(folder):
    """say(program, configuration, arguments...) -> CompletedProcess; "@" is the folder."""
    def call(name, text, *arguments):
        with open(f"{folder}/c.conf", "w", encoding="utf-8") as out:
            out.write(text.replace("@", folder))
        return run([program(name), "-c", f"{folder}/c.conf", *arguments], check=False,
                   env={**os.environ, "NOTIFY_SOCKET": f"{folder}/notify"})

    with open(f"{folder}/d.ldif", "w", encoding="utf-8"):
        pass
    for name, mode in (("empty", 0o600), ("open", 0o644), ("strange", 0o600)):
        with open(f"{folder}/{name}", "w", encoding="ascii") as out:
            out.write("" if name == "empty" else "secret\n")
        os.chmod(f"{folder}/{name}", mode)
    os.chown(f"{folder}/strange", 65534, 65534)
    call.folder = folder
    return call


@pytest.mark.parametrize("text, message", [
    (LEAST + "\nnonsense = 1\n", ":4: unknown option 'nonsense'\n"),
    (LEAST + "milter { lisen = 1 }\n", ":3: unknown option 'lisen', did you mean 'listen'?\n"),
    (LEAST + "policyd { workers = 65 }\n", ":3: workers: '65' is not a number from 0 to 64\n"),
    ("observe = true\n", ":2: there is no directory section\n"),
])
def test_every_program_judges_the_whole_file(say, text, message):
    for name in DAEMONS:
        done = say(name, text, "-t")
        assert (done.returncode, done.stdout, done.stderr) == (
            78, "", f"{say.folder}/c.conf{message}"), name
    done = say("coexistctl", text, "status")
    assert (done.returncode, done.stdout, done.stderr) == (
        78, "", f"coexistctl: {say.folder}/c.conf{message}")


@pytest.mark.parametrize("name, words", [
    *((name, flags) for name in DAEMONS for flags in ([], ["-f"], ["-ft"])),  # [] is in the background
    *(("coexistctl", [command]) for command in (
        "resolve", "check", "dump", "postfix", "sendmail", "accept-refresh")),
])
def test_nothing_begins_with_a_wrong_file(say, name, words):
    done = say(name, "nonsense = 1\n", *words)
    assert (done.returncode, done.stdout) == (78, "")
    assert f"{say.folder}/c.conf:1: unknown option 'nonsense'\n" in done.stderr


@pytest.mark.parametrize("name, text, code, message", [
    ("coexist-milter", 'secret_file = "empty"\n', 78, "empty: the secret is empty"),
    ("coexist-milter", 'secret_file = "open"\n', 78, "open: everybody can read it"),
    ("coexist-policyd", 'srs { enable = true domain = "s.example" secret_file = "empty" }\n', 78,
     "empty: the secret is empty"),
    ("coexist-milter", 'milter { listen = "unix:/nonexistent/m" }\n', 71, "its folder must exist"),
    ("coexist-policyd", 'policyd { map_listen = {"unix:/nonexistent/m"} }\n', 71,
     "its folder must exist"),
    ("coexist-syncd", 'syncd { control = "unix:/proc/nonexistent/s" }\n', 74, "its folder must exist"),
    *((name, 'replica = "d.ldif"\n', 78, "ot a directory") for name in DAEMONS),
])
def test_a_daemon_that_cannot_start_says_why_and_never_that_it_is_ready(say, name, text, code, message):
    section = text.partition(" ")[0]
    rest = "".join(line + "\n" for line in HERE.splitlines() if not line.startswith(f"{section} "))
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as told:
        told.bind(f"{say.folder}/notify")
        done = say(name, LEAST + text + rest, "-f")
        assert done.returncode == code and message in done.stderr, done
        told.setblocking(False)
        with pytest.raises(BlockingIOError):
            told.recv(100)
    assert not [left for left in os.listdir(say.folder) if left in ("milter", "policy", "map", "syncd")]


LDAP = 'directory "e" { uri = "ldap://127.0.0.1" base = "dc=e" %s }\n'


@pytest.mark.parametrize("name, text, message", [
    ("coexist-milter", 'secret_file = "empty"\n', "empty: the secret is empty"),
    ("coexist-policyd", 'srs { enable = true domain = "s.example" secret_file = "empty" }\n',
     "empty: the secret is empty"),
    ("coexist-syncd", LDAP % 'bind_dn = "cn=e" bind_password_file = "strange"',
     "strange: it belongs to another user"),
    ("coexist-syncd", LDAP % 'tls_cert_file = "open" tls_key_file = "open"',
     "open: everybody can read it"),
])
def test_a_check_reads_the_files_that_the_daemon_would(say, name, text, message):
    done = say(name, LEAST + text, "-t")
    assert (done.returncode, done.stdout) == (78, "") and message in done.stderr, done
    assert say(name, LEAST, "-t").stdout == f"{say.folder}/c.conf: ok\n"


def test_what_cannot_be_written_is_no_success(say):
    say("coexistctl", LEAST + HERE, "postfix")
    with open("/dev/full", "w", encoding="ascii") as full:
        done = subprocess.run([program("coexistctl"), "-c", f"{say.folder}/c.conf", "postfix"],
                              stdout=full, stderr=subprocess.PIPE, text=True, check=False)
    assert (done.returncode, done.stderr.splitlines()[-1]) == (74, "coexistctl: cannot write the result")


@pytest.mark.parametrize("name", PROGRAMS)
def test_version_help_and_what_is_no_option(name):
    with open(f"{BUILD}/config.h", encoding="utf-8") as header:
        version = re.search(r'PACKAGE_VERSION "(.*)"', header.read())[1]
    done = run([program(name), "-V"])
    assert (done.stdout, done.stderr) == (f"{name} {version}\n", "")
    shown = run([program(name), "-h"])
    assert shown.stdout.startswith(f"usage: {name} ") and not shown.stderr
    for wrong in (["-x"], ["-c"]) if name == "coexistctl" else (["-x"], ["-c"], ["-f", "more"]):
        done = run([program(name), *wrong], check=False)
        assert done.returncode == 64 and not done.stdout and f"usage: {name} " in done.stderr, done


def page(name):
    with open(f"{TOP}/doc/{name}.8", encoding="utf-8") as text:
        return text.read()


@pytest.mark.parametrize("name", PROGRAMS)
def test_the_manual_has_every_option_and_no_other(name):
    shown = run([program(name), "-h"]).stdout
    options = set(re.findall(r"^ +-([a-zA-Z])\b", shown, re.MULTILINE)) - {"h"}
    flags = {flag for words in re.findall(r"(?<!Fl )\bFl ([a-zA-Z](?: \| [a-zA-Z])*)\b", page(name))
             for flag in words.split(" | ")} - {"h"}
    assert flags == options


def test_the_manual_has_every_command_and_no_other():
    shown = run([program("coexistctl"), "-h"]).stdout
    commands = dict(re.findall(r"^  ([a-z][a-z-]*)(.*)$", shown, re.MULTILINE))
    text = page("coexistctl").partition("The commands are:")[2].partition(".Ss ")[0]
    described = {}
    for item in re.split(r"^\.It ", text, flags=re.MULTILINE)[1:]:
        head = item.partition("\n.Xc\n" if item.startswith("Xo\n") else "\n")[0]
        if name := re.search(r"\bCm ([a-z-]+)", head):  # else an option of the one before
            described[name[1]] = set(re.findall(r"Fl Fl ([a-z]+)", head))
    assert described == {name: set(re.findall(r"--([a-z]+)", arguments))
                         for name, arguments in commands.items()}
