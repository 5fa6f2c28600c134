"""coexist-milter, spoken to as an MTA does: its answers, its edits, and what disturbs it not."""

import os
import re
import signal
import socket
import struct
import tempfile
import threading

import pytest

from support import milterclient as proto
from support.daemons import Daemon, coexistctl
from support.ldif import CONTAINERS, custom, domain, group_of_names, mailbox, person_dn
from support.milterclient import Gone, MilterClient, packet
from support.wait import wait_for

ADAM_AT_POP = person_dn("adam")
DIRECTORY = CONTAINERS + "".join([
    domain("acme.example", "authoritative"),
    domain("pop.acme.example", "relay", forwardHost="192.0.2.25"),
    mailbox("bob", "bob@acme.example", proxyAddress="smtp:robert@acme.example"),
    mailbox("adam.barr", "adam.barr@acme.example", altRecipient=ADAM_AT_POP),
    mailbox("eve", "eve@acme.example", altRecipient=ADAM_AT_POP, deliverAndRedirect="TRUE"),
    custom("adam", "SMTP:adam@pop.acme.example", mail="adam@pop.acme.example"),
    mailbox("moving", "moving@acme.example", parked="TRUE"),
    mailbox("board", "board@acme.example", requireAuth="TRUE"),
    mailbox("ring", "ring@acme.example", altRecipient=person_dn("ring")),
    group_of_names("all", "all@acme.example", ["bob", "adam.barr", "eve"]),
])
ADAM = ("+", "<adam@pop.acme.example>", "ORCPT=rfc822;adam.barr@acme.example")


class Mill:
    """A milter and its replica."""

    def __init__(self, folder, listen="", milter="", options=""):
        self.folder = folder
        self.address = listen or f"unix:{folder}/milter"
        self.conf = f"{folder}/coexist.conf"
        self.milter_options = milter
        os.makedirs(f"{folder}/replica", exist_ok=True)
        with open(f"{folder}/directory.ldif", "w", encoding="utf-8") as out:
            out.write(DIRECTORY)
        self.write_conf(options)
        self.syncd = Daemon("coexist-syncd", self.conf, folder)
        self.milter = Daemon("coexist-milter", self.conf, folder)

    def write_conf(self, options=""):
        with open(self.conf, "w", encoding="utf-8") as out:
            out.write(f"""organization = "acme"
replica = "{self.folder}/replica"
user = ""
{options}
directory "corp" {{ ldif = "{self.folder}/directory.ldif" }}
syncd {{ control = "unix:{self.folder}/syncd" }}
milter {{ listen = "{self.address}" {self.milter_options} }}
log {{ level = "debug" }}
""")

    def start(self, load=True):
        if load:
            self.load()
        self.milter.start()
        return self

    def load(self):
        self.syncd.start()
        wait_for(lambda: coexistctl(self.conf, "dump").stdout,
                 lambda: self.syncd.log_text()[-4000:])

    def client(self, **options):
        client = MilterClient(self.address, **options)
        client.connect()
        return client

    def close(self):
        try:
            self.milter.close()
        finally:
            self.syncd.close()


@pytest.fixture
def make_mill(folder):
    mills = []

    def make(load=True, **options):
        mill = Mill(folder, **options)
        mills.append(mill)
        return mill.start(load)

    yield make
    for mill in mills:
        mill.close()


@pytest.fixture(scope="module")
def mill():
    """For those who leave it as it was: libmilter takes up to five seconds to stop."""
    with tempfile.TemporaryDirectory(prefix="cx-") as folder:
        one = Mill(folder).start()
        yield one
        one.close()


@pytest.fixture
def own_mill(make_mill):
    return make_mill()


def test_asks_for_as_little_as_the_job_needs(mill):
    with mill.client() as client:
        assert client.actions == proto.ADDRCPT | proto.ADDRCPT_PAR | proto.DELRCPT | \
            proto.ADDHDRS | proto.CHGFROM | proto.SETSYMLIST
        left_out = (proto.NOHELO | proto.NOHDRS | proto.NOEOH | proto.NOBODY | proto.NODATA
                    | proto.NOUNKNOWN)
        assert client.steps & left_out == left_out
        assert client.steps & proto.NR_CONN and client.steps & proto.NR_MAIL
        assert not client.steps & (proto.NORCPT | proto.NR_RCPT | proto.NOCONNECT)
        assert client.symlists == {
            "connect": ["v", "{client_addr}"],
            "mail": ["{auth_authen}", "{tls_version}", "{cert_fp}", "{mail_mailer}"],
            "rcpt": ["i"], "end": ["i"]}


# With a secret: whether a message is let go at DATA, before headers and end.
DONE_AT_DATA = [
    (["bob@acme.example"], True), (["joe@outside.example"], True), (["nobody@acme.example"], True),
    (["bob@acme.example", "ring@acme.example", "joe@outside.example", "BOB@acme.example"], True),
    (["adam.barr@acme.example"], False), (["eve@acme.example"], False),
    (["robert@acme.example"], False), (["all@acme.example"], False),
    (["bob@acme.example", "adam.barr@acme.example"], False),
    (["eve@acme.example", "bob@acme.example"], False),
    (["adam@pop.acme.example"], False),  # handed to another system: that leaves a trace
]


def set_secret(mill):
    secret = f"{mill.folder}/secret"
    with open(secret, "w", encoding="ascii", opener=lambda path, flags:
              os.open(path, flags, 0o600)) as out:
        out.write("0123456789abcdef\n")
    mill.write_conf(f'secret_file = "{secret}"')
    mill.milter.reload()
    wait_for(lambda: mill.milter.log_lines("configuration reloaded"), "the reload")


def test_asks_for_headers_where_there_is_a_secret(own_mill):
    set_secret(own_mill)
    with own_mill.client() as client:
        for turn in range(2):  # nothing is left of one message to the next
            for recipients, is_done in DONE_AT_DATA[::1 - 2 * turn]:
                client.mail()
                for recipient in recipients:
                    client.rcpt(f"<{recipient}>")
                assert client.data().code == ("accept" if is_done else "continue"), recipients
                if not is_done:
                    client.header("Message-ID", "<0@x>")
                    assert client.end().edits, recipients
                client.abort()
        assert not client.steps & (proto.NOHDRS | proto.NOEOH | proto.NODATA | proto.NR_DATA)
        assert client.steps & proto.NR_HDR and client.steps & proto.NR_EOH
        client.mail()
        client.rcpt("<adam.barr@acme.example>")
        assert client.header("Message-ID", "<1@x>") is None
        edits = client.end().edits
        assert edits[:2] == [ADAM, ("-", "adam.barr@acme.example")]
        kind, name, value = edits[2]
        assert (kind, name) == ("header", "X-Coexist-Forwarded")
        # It comes back: the mailbox takes it.
        client.mail()
        client.rcpt("<adam.barr@acme.example>")
        client.header("Message-ID", "<1@x>")
        client.header(name, value)
        assert client.end(queue_id="5F1A2B3C4D").edits == []


def test_an_mta_that_offers_fewer_steps_gets_its_replies(mill):
    with MilterClient(mill.address, steps=0x7F) as client:
        assert client.connect().code == "continue"
        assert client.mail().code == "continue"
        assert client.rcpt("<adam.barr@acme.example>").code == "continue"
        assert client.end().edits == [ADAM, ("-", "adam.barr@acme.example")]


def test_an_mta_that_lets_no_recipients_be_added_is_told_so(mill):
    with MilterClient(mill.address, negotiate=False) as client:
        with pytest.raises((Gone, AssertionError)):
            client.negotiate(actions=proto.DELRCPT)
    assert mill.milter.log_lines("no milter edit senders, recipients and headers")


@pytest.mark.parametrize("recipients, edits", [
    (["<bob@acme.example>"], []),
    (["<joe@outside.example>"], []),
    (["<adam.barr@acme.example>"], [ADAM, ("-", "adam.barr@acme.example")]),
    (["<Adam.Barr@ACME.example>"],
     [("+", "<adam@pop.acme.example>", "ORCPT=rfc822;Adam.Barr@ACME.example"),
      ("-", "Adam.Barr@ACME.example")]),
    (["<eve@acme.example>"],
     [("+", "<adam@pop.acme.example>", "NOTIFY=NEVER ORCPT=rfc822;eve@acme.example")]),
    (["<robert@acme.example>"],
     [("+", "<bob@acme.example>", "ORCPT=rfc822;robert@acme.example"),
      ("-", "robert@acme.example")]),
    (["<nobody@acme.example>"], []),
    # Two ways to one target, and the target itself.
    (["<adam.barr@acme.example>", "<adam@pop.acme.example>"],
     [("+", "<adam@pop.acme.example>", "ORCPT=rfc822;adam@pop.acme.example"),
      ("-", "adam.barr@acme.example")]),
    (["<adam.barr@acme.example>", "<eve@acme.example>"], [ADAM, ("-", "adam.barr@acme.example")]),
    # Postfix knows no route in a deletion.
    (["<@relay.example:adam.barr@acme.example>"],
     [("+", "<adam@pop.acme.example>", "ORCPT=rfc822;@relay.example:adam.barr@acme.example"),
      ("-", "adam.barr@acme.example")]),
])
def test_edits(mill, recipients, edits):
    with mill.client() as client:
        reply = client.message(*recipients)
        assert (reply.code, sorted(reply.edits)) == ("continue", sorted(edits))
        # Additions first.
        assert [e[0] for e in reply.edits] == sorted(e[0] for e in reply.edits)


def test_a_group_reaches_each_once(mill):
    with mill.client() as client:
        edits = client.message("<all@acme.example>", "<bob@acme.example>").edits
    assert sorted(e[1] for e in edits) == [
        "<adam@pop.acme.example>", "<bob@acme.example>", "<eve@acme.example>", "all@acme.example"]


@pytest.mark.parametrize("recipient, status", [
    ("<moving@acme.example>", "450 4.2.1"),
    ("<board@acme.example>", "550 5.7.1"),
    ("<ring@acme.example>", "550 5.4.6"),
    ("<IMCEAMS-a+zz@acme.example>", "501 5.1.3"),
])
def test_refusals_are_the_recipients_alone(mill, recipient, status):
    with mill.client() as client:
        client.mail()
        assert client.rcpt("<bob@acme.example>").code == "continue"
        assert client.rcpt(recipient).status == status
        assert client.rcpt("<adam.barr@acme.example>").code == "continue"
        assert client.end().edits == [ADAM, ("-", "adam.barr@acme.example")]
    assert mill.milter.log_lines(
        f"NOQUEUE: reject: .*to={re.escape(recipient)}.*reply=\"{status}")


def test_an_authenticated_client_may_write_to_the_board(mill):
    with mill.client() as client:
        client.mail(login="bob")
        assert client.rcpt("<board@acme.example>").code == "continue"


def test_several_messages_on_one_connection_know_nothing_of_each_other(mill):
    with mill.client() as client:
        for _ in range(3):
            assert client.message("<adam.barr@acme.example>").edits
            client.abort()
            assert client.message("<bob@acme.example>").edits == []
            client.abort()
            client.mail()
            client.rcpt("<adam.barr@acme.example>")
            client.abort()


def test_dsn_arguments_travel(mill):
    with mill.client() as client:
        client.mail("<s@outside.example>", "RET=HDRS", "ENVID=1")
        client.rcpt("<adam.barr@acme.example>", "NOTIFY=SUCCESS,DELAY",
                    "ORCPT=rfc822;list+2Bx@old.example")
        assert client.end().edits[0] == (
            "+", "<adam@pop.acme.example>",
            "NOTIFY=SUCCESS,DELAY ORCPT=rfc822;list+2Bx@old.example")


def test_sendmail_is_recognised_by_not_being_postfix(mill):
    with mill.client(version=None) as client:
        assert client.message("<@r.example:Adam.Barr@acme.example>").edits[-1] == (
            "-", "<@r.example:Adam.Barr@acme.example>")


def test_local_submission_defers_what_it_cannot_refuse(mill):
    with MilterClient(mill.address) as client:
        client.connect("localhost", "127.0.0.1", 0)
        client.mail("", mailer=None)
        assert client.rcpt("adam.barr@acme.example").code == "continue"
        assert client.end().edits[:3] == [ADAM, ("-", "adam.barr@acme.example"), ("-", "adam.barr")]
        client.mail("root@acme.example", mailer=None)
        assert client.rcpt("ring@acme.example").code == "continue"
        reply = client.end()
        assert (reply.status, reply.edits) == ("451 4.4.6", [])


def test_without_a_replica_every_recipient_waits(make_mill):
    mill = make_mill(load=False)
    with mill.client() as client:
        client.mail()
        for recipient in "<bob@acme.example>", "<joe@outside.example>":
            assert client.rcpt(recipient).status == "451 4.3.0"
        # That one is never the directory's.
        assert client.rcpt("<postmaster>").code == "continue"
        # And the next one need not, once there is one.
        mill.load()
        wait_for(lambda: client.rcpt("<bob@acme.example>").code == "continue", "the replica")
        client.abort()


def test_follows_the_directory_from_one_rcpt_to_the_next(own_mill):
    with own_mill.client() as client:
        assert client.message("<bob@acme.example>").edits == []
        path = f"{own_mill.folder}/directory.ldif"
        with open(path + ".new", "w", encoding="utf-8") as out:
            out.write(DIRECTORY.replace(
                "mail: bob@acme.example\n",
                f"mail: bob@acme.example\ncoexistAltRecipient: {ADAM_AT_POP}\n"))
        os.rename(path + ".new", path)
        wait_for(lambda: client.message("<bob@acme.example>").edits, "the change")


def test_a_client_that_goes_away_in_mid_message_disturbs_nobody(mill):
    for _ in range(20):
        with mill.client() as client:
            client.mail()
            client.rcpt("<all@acme.example>")
    # Gone while edits are on their way: not read, and reset.
    for _ in range(20):
        with mill.client() as client:
            client.mail()
            client.rcpt("<all@acme.example>")
            client.socket.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER,
                                     struct.pack("ii", 1, 0))
            client.send(packet(b"E"))
    with mill.client() as client:
        assert client.message("<adam.barr@acme.example>").edits


@pytest.mark.parametrize("garbage", [
    b"", b"\0", b"\0\0\0\0", b"\0\0\0\1Z", b"\xff\xff\xff\xff", b"\x7f\xff\xff\xffR",
    b"GET / HTTP/1.0\r\n\r\n", packet(b"R", b"<a@b>\0"), packet(b"E"), packet(b"A") * 3,
    packet(b"C", b"no terminator"), packet(b"M", b""), packet(b"O", b"\0"),
    packet(b"O", struct.pack("!III", 1, 0, 0)), os.urandom(4096),
])
def test_garbage_on_the_socket(mill, garbage):
    with mill.client() as other:
        other.mail()
        other.rcpt("<adam.barr@acme.example>")
        for negotiate in False, True:
            with MilterClient(mill.address, negotiate=negotiate) as client:
                client.send(garbage)
                client.socket.shutdown(socket.SHUT_WR)
                try:
                    while client.read():
                        pass
                except Gone:
                    pass
        assert other.end().edits
    assert mill.milter.is_running()


@pytest.mark.parametrize("path", [
    "", "<", ">", "<>", "<@>", "<@a:>", "<\"", "<\"\\", "a" * 60000, "<" + "a" * 60000 + "@b>",
    "<a@" + "b." * 30000 + "c>", "<\x01@acme.example>", "<\udcff@acme.example>", "<%s%n@acme.example>",
    "<a@acme.example> <b@acme.example>", "<" + "(" * 30000, "<" + "@a," * 10000 + ":b@acme.example>",
])
def test_odd_recipients(mill, path):
    with mill.client() as client:
        client.mail(path)
        reply = client.rcpt(path, "NOTIFY=", "ORCPT=;", "=")
        assert reply.code == "continue" or reply.code[0] in "45"
        assert client.rcpt("<bob@acme.example>").code == "continue"
        assert client.end().code == "continue"


def test_a_thousand_idle_connections_disturb_nobody(mill):
    idle = [mill.client() for _ in range(1000)]
    try:
        with mill.client() as client:
            assert client.message("<adam.barr@acme.example>").edits
        for client in idle[::100]:
            assert client.message("<adam.barr@acme.example>").edits
    finally:
        for client in idle:
            client.close()


def test_many_at_once(mill):
    failures = []

    def work(number):
        try:
            with mill.client() as client:
                for turn in range(25):
                    name = ("adam.barr", "bob")[(number + turn) % 2]
                    edits = client.message(f"<{name}@acme.example>").edits
                    assert bool(edits) == (name == "adam.barr")
        except Exception as error:  # pylint: disable=broad-except
            failures.append(error)

    threads = [threading.Thread(target=work, args=(n,)) for n in range(40)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert not failures


def test_reload_takes_effect_with_the_next_message_and_drops_no_connection(own_mill):
    with own_mill.client() as client:
        client.mail()
        client.rcpt("<ring@acme.example>")
        own_mill.write_conf("observe = true")
        own_mill.milter.reload()
        wait_for(lambda: own_mill.milter.log_lines("configuration reloaded"), "the reload")
        # The message that is under way ends as it began.
        assert client.rcpt("<ring@acme.example>").status == "550 5.4.6"
        client.mail()
        assert client.rcpt("<ring@acme.example>").code == "continue"
        assert own_mill.milter.log_lines("NOQUEUE: observe: .*verdict=loop")
        # A mistake changes nothing.
        with open(own_mill.conf, "a", encoding="utf-8") as out:
            out.write("nonsense\n")
        own_mill.milter.reload()
        wait_for(lambda: own_mill.milter.log_lines("not reloaded"), "the refusal")
        # So does a secret that is not there.
        own_mill.write_conf('secret_file = "/nonexistent/secret"')
        own_mill.milter.reload()
        wait_for(lambda: own_mill.milter.log_lines("not reloaded: /nonexistent/secret"), "the refusal")
        client.mail()
        assert client.rcpt("<ring@acme.example>").code == "continue"


def test_enforce_does_the_policy_services_part(make_mill):
    mill = make_mill(milter="enforce = true")
    with mill.client(version=None) as client:
        client.mail()
        assert client.symlists["rcpt"] == ["{rcpt_mailer}"]
        assert client.rcpt("<nobody@acme.example>").status == "550 5.1.1"
        assert client.rcpt("<joe@outside.example>").status == "554 5.7.1"
        assert client.rcpt("<joe@outside.example>", mailer="local").code == "continue"
        assert client.rcpt("<postmaster>").code == "continue"
        client.mail(login="bob")
        assert client.rcpt("<joe@outside.example>").code == "continue"


def test_a_connection_enforces_only_where_it_asked_what_the_mta_is_final_for(own_mill):
    """Nothing tells that root@ is the MTA's own where {rcpt_mailer} was not asked for."""
    with own_mill.client(version=None) as client:
        own_mill.milter_options = "enforce = true"
        own_mill.write_conf()
        own_mill.milter.reload()
        wait_for(lambda: own_mill.milter.log_lines("configuration reloaded"), "the reload")
        client.mail()
        assert client.rcpt("<root@host.outside.example>", mailer="local").code == "continue"
    with own_mill.client(version=None) as client:
        client.mail()
        assert client.rcpt("<root@host.outside.example>", mailer="local").code == "continue"
        assert client.rcpt("<joe@outside.example>").status == "554 5.7.1"


def test_tcp_waits_for_data_for_the_sake_of_its_reply(make_mill):
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    mill = make_mill(listen=f"inet:127.0.0.1:{port}")
    with mill.client() as client:
        assert not client.steps & (proto.NODATA | proto.NR_DATA)
        client.mail()
        client.rcpt("<adam.barr@acme.example>")
        assert client.data().code == "continue"
        assert client.end().edits == [ADAM, ("-", "adam.barr@acme.example")]


def test_the_socket_is_closed_to_strangers_and_gone_after_a_stop(own_mill):
    path = own_mill.address.partition(":")[2]
    assert os.stat(path).st_mode & 0o777 == 0o660
    own_mill.milter.stop()
    assert not os.path.exists(path)


def begin_a_callback_that_lasts(own_mill, client, count):
    """The edits of a large message to an MTA that does not read: the callback blocks in write."""
    directory = DIRECTORY + group_of_names("huge", "huge@acme.example", ["bob"], memberAddress=[
        f"member{n:05}@{'x' * 50}.outside.example" for n in range(count)])
    with open(f"{own_mill.folder}/directory.ldif.new", "w", encoding="utf-8") as out:
        out.write(directory)
    os.rename(f"{own_mill.folder}/directory.ldif.new", f"{own_mill.folder}/directory.ldif")
    wait_for(lambda: len(client.message("<huge@acme.example>").edits) > count, "the group")
    client.abort()
    client.socket.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
    client.mail()
    assert client.rcpt("<huge@acme.example>").code == "continue"
    client.send(packet(b"E"))
    assert client.socket.recv(1, socket.MSG_PEEK)  # the callback is under way


def test_a_stop_awaits_the_callback_that_is_under_way(own_mill):
    count = 3000
    with own_mill.client() as client:
        begin_a_callback_that_lasts(own_mill, client, count)
        own_mill.milter.child.process.send_signal(signal.SIGTERM)
        # libmilter's own end takes up to five seconds; the callback must outlive it.
        wait_for(lambda: own_mill.milter.log_lines("waiting for .* under way"), "the stop")
        reply = client._reply()
        assert reply.code == "continue"
        assert len(reply.edits) == count + 2
    own_mill.milter.stop()


def test_a_stop_leaves_the_socket_of_the_next_milter_alone(own_mill, tmp_path):
    successor = Daemon("coexist-milter", own_mill.conf, tmp_path)
    try:
        with own_mill.client() as client:
            begin_a_callback_that_lasts(own_mill, client, 3000)
            own_mill.milter.child.process.send_signal(signal.SIGTERM)
            wait_for(lambda: own_mill.milter.log_lines("waiting for .* under way"), "the stop")
            successor.start()
            assert client._reply().code == "continue"
        own_mill.milter.stop()
        with own_mill.client() as client:
            assert client.message("<bob@acme.example>").code == "continue"
    finally:
        successor.close()


def test_a_stop_is_not_disturbed_by_reloads(own_mill):
    process = own_mill.milter.child.process
    process.send_signal(signal.SIGTERM)
    while process.poll() is None:
        process.send_signal(signal.SIGUSR1)
    own_mill.milter.stop()
