"""Log lines in systemd's journal: one entry each, with fields to search by (SPEC section 13)."""

import os
import re
import socket
import tempfile

import pytest

from support.daemons import Daemon
from support.journal import Journal
from support.ldif import CONTAINERS, custom, domain, group, mailbox, person_dn
from support.milterclient import MilterClient
from support.policyd import PolicyClient
from support.site import leave_to_end
from support.wait import wait_for

DIRECTORY = CONTAINERS + "".join([
    domain("acme.example", "authoritative"),
    domain("pop.acme.example", "relay", forwardHost="192.0.2.25"),
    mailbox("adam.barr", "adam.barr@acme.example", altRecipient=person_dn("adam")),
    custom("adam", "SMTP:adam@pop.acme.example", mail="adam@pop.acme.example"),
    mailbox("lost", "lost@acme.example", altRecipient=person_dn("nobody")),
    mailbox("loop", "loop@acme.example", altRecipient=person_dn("loop")),
    group("staff", "staff@acme.example", [f"m{n}" for n in range(30)]),
    *(mailbox(f"m{n}", f"m{n}@acme.example") for n in range(30)),
    mailbox("odd", "no address"),
])
OF_EACH = {"MESSAGE", "PRIORITY", "SYSLOG_FACILITY", "SYSLOG_IDENTIFIER"}
ERROR, WARNING, INFO = "3", "4", "6"


class Logging:
    """The daemons, whose standard error is the journal."""

    def __init__(self, folder, names=("syncd", "milter", "policyd"), has_socket=True):
        self.folder = folder
        self.journal = Journal(folder, has_socket)
        os.makedirs(f"{folder}/replica")
        with open(f"{folder}/directory.ldif", "w", encoding="utf-8") as out:
            out.write(DIRECTORY)
        with open(f"{folder}/coexist.conf", "w", encoding="utf-8") as out:
            out.write(f"""replica = "{folder}/replica"
user = ""
directory "corp" {{ ldif = "{folder}/directory.ldif" }}
syncd {{ control = "unix:{folder}/syncd" }}
milter {{ listen = "unix:{folder}/milter" }}
policyd {{ policy_listen = {{"unix:{folder}/policy"}} map_listen = {{"unix:{folder}/map"}} }}
log {{ level = "info" }}
""")
        self.daemons = [Daemon(f"coexist-{name}", f"{folder}/coexist.conf", folder)
                        for name in names]
        for daemon in self.daemons:
            daemon.prefix = self.journal.prefix
            daemon.start()
        self.started = []

    def wait_loaded(self):
        wait_for(lambda: self.ask("m0") == "DUNNO", "the policy service to know the directory")
        with MilterClient(f"unix:{self.folder}/milter") as milter:
            milter.connect()
            milter.mail()
            wait_for(lambda: milter.rcpt("<m0@acme.example>").code == "continue",
                     "the milter to know the directory")
        self.started += self.journal.entries()
        return self

    def ask(self, name, **attributes):
        with PolicyClient(f"unix:{self.folder}/policy") as policy:
            return policy.ask(recipient=f"{name}@acme.example", policy_context="recipient",
                              **attributes)

    def close(self):
        for daemon in self.daemons:
            if daemon.name == "coexist-milter":
                leave_to_end(daemon, self.folder)
            else:
                daemon.close()
        self.journal.close()


@pytest.fixture(scope="module", name="logging")
def make_logging():
    made = Logging(tempfile.mkdtemp(prefix="cx-")).wait_loaded()
    yield made
    made.close()


def test_lines_without_a_decision_have_no_fields_of_ours(logging):
    assert all(set(entry) == OF_EACH for entry in logging.started
               if not entry["MESSAGE"].startswith("NOQUEUE: "))
    assert {entry["SYSLOG_IDENTIFIER"] for entry in logging.started} == \
        {"coexist-syncd", "coexist-milter", "coexist-policyd"}
    assert {entry["SYSLOG_FACILITY"] for entry in logging.started} == {"2"}
    skipped, = [entry for entry in logging.started if "entry skipped: " in entry["MESSAGE"]]
    assert skipped["PRIORITY"] == WARNING and skipped["MESSAGE"].startswith("warning: ")
    assert not any(daemon.log_text() for daemon in logging.daemons)


REFUSALS = [  # recipient, attributes; severity, fields
    ("nobody", {}, INFO, {"VERDICT": "unknown", "RULE": "unknown"}),
    ("lost", {"sasl_username": "eve"}, ERROR,
     {"VERDICT": "broken", "RULE": "missing", "LOGIN": "eve"}),
    ("loop", {"sender": ""}, WARNING, {"VERDICT": "loop", "RULE": "loop", "FROM": ""}),
    ("no\x01body\\x", {"sender": "s\x7f@e.example"}, INFO,
     {"VERDICT": "unknown", "RULE": "unknown", "FROM": '"s\\x7f"@e.example',
      "TO": '"no\\x01body\\\\x5cx"@acme.example'}),
    ("n" * 900, {}, INFO, {"VERDICT": "invalid", "RULE": "syntax", "TO": "n" * 400 + "..."}),
]


@pytest.mark.parametrize("recipient, attributes, severity, expected", REFUSALS,
                         ids=[row[0][:6] for row in REFUSALS])
def test_refusals(logging, recipient, attributes, severity, expected):
    logging.journal.entries()
    reply = logging.ask(recipient, **attributes)
    entry, = logging.journal.wait_for(1)
    fields = {"ACTION": "reject", "CLIENT": "192.0.2.7", "FROM": "joe@example.net",
              "TO": f"{recipient}@acme.example", **expected}
    login = fields.get("LOGIN", "")
    assert entry == {
        "PRIORITY": severity, "SYSLOG_IDENTIFIER": "coexist-policyd", "SYSLOG_FACILITY": "2",
        "MESSAGE": f"NOQUEUE: reject: client=mx.example.net[192.0.2.7], sasl_username={login}, "
        f"from=<{fields['FROM']}>, to=<{fields['TO']}>, verdict={fields['VERDICT']}, "
        f'rule={fields["RULE"]}, reply="{reply}"',
        **{f"COEXIST_{name}": value for name, value in fields.items()}}


def test_what_the_milter_changed_and_refused(logging):
    logging.journal.entries()
    with MilterClient(f"unix:{logging.folder}/milter") as milter:
        milter.connect()
        milter.message("<Adam.Barr@acme.example>", "<staff@acme.example>", "<lost@acme.example>")
    refused, redirected, expanded = logging.journal.wait_for(3)
    assert refused["PRIORITY"] == ERROR and refused["COEXIST_VERDICT"] == "broken"
    assert redirected == {
        "PRIORITY": INFO, "SYSLOG_IDENTIFIER": "coexist-milter", "SYSLOG_FACILITY": "2",
        "MESSAGE": "4F1A2B3C4D: to=<adam@pop.acme.example>, orig_to=<Adam.Barr@acme.example>, "
        f'action=redirect, object="{person_dn("adam.barr")}", rule=altRecipient',
        "COEXIST_QUEUE_ID": "4F1A2B3C4D", "COEXIST_TO": "adam@pop.acme.example",
        "COEXIST_ORIG_TO": "Adam.Barr@acme.example", "COEXIST_ACTION": "redirect",
        "COEXIST_OBJECT": person_dn("adam.barr"), "COEXIST_RULE": "altRecipient"}
    assert expanded["MESSAGE"].endswith(", count=30") and "COEXIST_TO" not in expanded
    assert expanded["COEXIST_ORIG_TO"] == "staff@acme.example"


def lost_of(lines):
    told = [re.fullmatch(r"warning: (\d+) lines of log were lost: the journal took none",
                         line["MESSAGE"]) for line in lines]
    return sum(int(match[1]) for match in told if match)


def refusals_of(lines):
    return [line for line in lines if line.get("COEXIST_TO") == "nobody@acme.example"]


def test_mail_does_not_wait_for_a_journal_that_hangs(logging):
    """It waits once, for half a second; lines that are lost are counted, and told of."""
    logging.journal.entries()
    with PolicyClient(f"unix:{logging.folder}/policy") as policy:
        def ask(count):
            for _ in range(count):
                assert policy.ask(recipient="nobody@acme.example",
                                  policy_context="recipient").startswith("550 5.1.1 ")
            return count

        with logging.journal.hung() as queue_length:
            asked = ask(queue_length + 30)
        lines = []
        while not lost_of(lines):
            asked += ask(1)  # its queue may be full yet
            lines += logging.journal.entries()
        wait_for(lambda: lines.extend(logging.journal.entries()) or
                 len(refusals_of(lines)) + lost_of(lines) == asked, "every line, or that it was lost")
        assert lost_of(lines) >= 28
        told = [line for line in lines if "were lost" in line["MESSAGE"]]
        assert all(set(line) == OF_EACH and line["PRIORITY"] == WARNING for line in told)
    assert not any(daemon.log_text() for daemon in logging.daemons)


def test_a_journal_that_takes_no_fields_gets_lines(folder):
    logging = Logging(folder, ["policyd"], has_socket=False)
    try:
        logging.ask("bob")  # nothing was ever loaded
        line, = wait_for(lambda: logging.daemons[0].log_lines("bob@acme"), "a line")
        assert line.startswith("<4>NOQUEUE: reject: client=")
    finally:
        logging.close()


def test_a_journal_that_goes_and_comes_back(folder):
    """Lines go to standard error meanwhile, whether its socket is away or nobody is behind it."""
    logging = Logging(folder, ["policyd"])
    path = f"{logging.journal.folder}/socket"
    refused = "<4>NOQUEUE: reject: client="
    try:
        os.rename(path, f"{path}.away")
        logging.ask("away")
        assert logging.daemons[0].log_lines("away@acme")[0].startswith(refused)
        with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as nobody:
            nobody.bind(path)
        logging.ask("refused")
        assert logging.daemons[0].log_lines("refused@acme")[0].startswith(refused)
        os.rename(f"{path}.away", path)
        logging.journal.entries()
        logging.ask("back")
        wait_for(lambda: any(entry.get("COEXIST_TO") == "back@acme.example"
                             for entry in logging.journal.entries()), "the journal to have it")
        assert not logging.daemons[0].log_lines("back@acme")
    finally:
        logging.close()
