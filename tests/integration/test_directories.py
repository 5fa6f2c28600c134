"""
Several directories at once, slapd and LDIF files: whose word counts, what each may say, and that
no change of the configuration makes a recipient of ours unknown for a moment.
"""

import json
import os
import threading

import pytest

from support.daemons import coexistctl
from support.directories import Directories
from support.ldif import CONTAINERS, SUFFIX, change, connector, custom, domain, group, mailbox, person_dn
from support.slapd import Slapd
from support.wait import free_port, wait_for


def ours(name):
    return f"{name}@acme.example"


def ldap(server, extra=""):
    """The body of a section."""
    return f"""uri = "{server.uri}"
  base = "{server.suffix}"
  bind_dn = "{server.root_dn}"
  bind_password_file = "{server.folder}/password"
  {extra}"""


def make_server(folder, name, text, suffix=SUFFIX):
    server = Slapd(f"{folder}/{name}", suffix=suffix)
    with open(f"{server.folder}/password", "w", encoding="utf-8") as out:
        out.write(server.root_password)
    os.chmod(f"{server.folder}/password", 0o600)
    server.add(text)
    return server


CORP = domain("acme.example", "authoritative") + mailbox("adam", ours("adam")) + mailbox(
    "eve", ours("eve"), altRecipient=f"uid=abel,ou=people,dc=pop,dc=example")

POP_SUFFIX = "dc=pop,dc=example"


def pop(text):
    """The same helpers, under another suffix."""
    return (CONTAINERS + text).replace("dc: acme", "dc: pop").replace(SUFFIX, POP_SUFFIX)


@pytest.fixture
def server(folder):
    made = make_server(folder, "corp", CORP)
    yield made
    made.close()


@pytest.fixture
def both(server):
    """both(pop LDIF, options of corp, options of pop) -> corp on slapd, pop in a file; loaded."""
    made = []

    def make(text, corp_options="", pop_options="", sections=None):
        syncd = Directories(sections or {"corp": ldap(server, corp_options), "pop": pop_options})
        made.append(syncd)
        syncd.write(pop(text), "pop")
        syncd.daemon.start()
        for name in sections or ("corp", "pop"):
            wait_for(lambda: syncd.status(name)["loaded"],  # pylint: disable=W0640
                     lambda: syncd.daemon.log_text()[-4000:])
        return syncd

    yield make
    for syncd in made:
        syncd.close()


def wait_fate(syncd, address, *fate):
    wait_for(lambda: syncd.fate(address) == list(fate),
             lambda: f"{address}: {fate}, is {syncd.fate(address)}\n{syncd.daemon.log_text()[-3000:]}")


def thief(name="adam", **attributes):
    """In pop, with an address that corp has too."""
    return custom(f"{name}2", f"{name}@elsewhere.example", ours(name), **attributes)


# --- Precedence ---


def test_the_first_wins_and_the_second_takes_over_at_once(server, both):
    syncd = both(thief() + mailbox("abel", ours("abel")))
    assert syncd.fate(ours("adam")) == ["deliver", ours("adam")]
    assert syncd.fate(ours("abel")) == ["deliver", ours("abel")]
    syncd.wait_log('directory=pop address smtp:adam@acme.example of "uid=adam2,.*" is also that of '
                   '"uid=adam,.*" in directory=corp, which wins')
    server.delete(person_dn("adam"))
    wait_fate(syncd, ours("adam"), "deliver", "adam@elsewhere.example")
    server.add(mailbox("adam", ours("adam")))
    wait_fate(syncd, ours("adam"), "deliver", ours("adam"))
    # It gives up the address, not itself.
    server.modify(change(person_dn("adam"), ("replace", "mail", ours("adam.barr"))))
    wait_fate(syncd, ours("adam"), "deliver", "adam@elsewhere.example")
    assert syncd.fate(ours("adam.barr")) == ["deliver", ours("adam.barr")]


def test_parked_or_hidden_it_still_wins(server, both):
    syncd = both(thief() + thief("eve"))
    server.modify(change(person_dn("adam"), ("replace", "parked", "TRUE"))
                  + change(person_dn("eve"), ("replace", "hideFromAddressLists", "TRUE")))
    wait_fate(syncd, ours("adam"), "parked")
    assert syncd.fate(ours("eve"))[1:] != ["eve@elsewhere.example"]


def test_two_in_one_are_nobodys_and_do_not_yield(server, both):
    syncd = both(thief())
    # The schema's unique overlay would not have it: by another attribute.
    server.add(mailbox("seth", ours("seth"), proxyAddress=f"smtp:{ours('adam')}"))
    wait_fate(syncd, ours("adam"), "broken")
    syncd.wait_log('directory=corp address smtp:adam@acme.example of "uid=.*" is also that of '
                   '"uid=.*": it is nobody\'s until one of them gives it up')
    server.delete(person_dn("seth"))
    wait_fate(syncd, ours("adam"), "deliver", ours("adam"))
    syncd.write(pop(thief("noah") + thief("noah").replace("uid=noah2", "uid=noah3")), "pop")
    wait_fate(syncd, ours("noah"), "broken")


def test_a_section_that_is_removed_leaves_the_rest_at_once(server, both):
    syncd = both(thief() + domain("acme.example", "authoritative") + mailbox("abel", ours("abel")),
                 pop_options='provides = {"recipients", "domains"}')
    syncd.configure({"pop": ""})
    syncd.reload()
    assert syncd.fate(ours("adam")) != ["deliver", ours("adam")]
    wait_fate(syncd, ours("adam"), "deliver", "adam@elsewhere.example")
    assert syncd.fate(ours("eve")) == ["unknown"]
    assert syncd.fate(ours("abel")) == ["deliver", ours("abel")]


def test_logins_follow_precedence_too(server, both):
    """A login of ours is neither given nor taken by an object of another directory."""
    server.add(mailbox("cain", ours("cain"), relayAllowed="FALSE"))
    syncd = both("".join([
        mailbox("adam", ours("adam.pop"), relayAllowed="FALSE"),
        mailbox("cain", ours("cain.pop"), relayAllowed="TRUE"),
        mailbox("abel", ours("abel")),
        mailbox("seth", ours("seth")).replace("uid: seth", "uid: seth\nuid: Eve@ACME.example"),
        mailbox("kid", ours("kid")), mailbox("kid2", ours("kid2")) .replace("uid: kid2", "uid: kid")]))

    def relay(login):
        answer = syncd.resolve("x@outside.example", arguments=["--login", login])
        return answer["x@outside.example"]["relay"]["allowed"]

    assert {login: relay(login) for login in (
        "adam", "ADAM", "cain", "abel", "kid", ours("eve"), ours("kid"), "nobody")} == {
            "adam": True, "ADAM": True, "cain": False, "abel": True, "kid": False,
            ours("eve"): True, ours("kid"): True, "nobody": False}
    syncd.wait_log('directory=pop login adam of "uid=adam,ou=people,dc=pop,.*" is also that of '
                   '"uid=adam,.*dc=acme.*" in directory=corp, which wins')
    syncd.wait_log('directory=pop login kid of ".*" is also that of ".*": it is nobody')
    found = {(f["check"], f["detail"]) for f in findings(syncd)}
    assert {("loginConflict", login) for login in ("adam", "cain", "kid", ours("eve"))} <= found
    server.delete(person_dn("cain"))
    wait_for(lambda: relay("cain"), "the second to have its say")


def findings(syncd):
    """What coexistctl check says."""
    done = coexistctl(syncd.conf, "check", "--json")
    assert done.returncode == 1, done.stdout + done.stderr
    return json.loads(done.stdout)["findings"]


# --- What each provides ---


SECOND = domain("pop.example", "relay", forwardHost="pop") + connector(
    "pop", "smtp:[127.0.0.1]:26", addressSpace="SMTP:pop.example",
    relayClient="192.0.2.0/24") + mailbox("abel", ours("abel"))


@pytest.mark.parametrize("provides, fates, relay", [
    (None, ["foreign", "deliver"], False),
    ('{"recipients"}', ["foreign", "deliver"], False),
    ('{"recipients", "domains"}', ["deliver", "deliver"], False),
    ('{"domains", "connectors"}', ["deliver", "unknown"], True),
    ('{"connectors"}', ["foreign", "unknown"], True),
    ('{"recipients", "domains", "connectors"}', ["deliver", "deliver"], True),
])
def test_takes_only_what_it_provides(both, provides, fates, relay):
    syncd = both(SECOND, pop_options=f"provides = {provides}" if provides else "")
    assert [syncd.fate(a)[0] for a in ("x@pop.example", ours("abel"))] == fates
    answer = syncd.resolve("x@outside.example", arguments=["--client", "192.0.2.1"])
    assert answer["x@outside.example"]["relay"]["allowed"] is relay
    # Asked for less, and for more again: what was not read is not thought to be missing.
    syncd.configure({"corp": syncd_section(syncd, "corp"), "pop": 'provides = {"recipients"}'})
    syncd.reload()
    wait_fate(syncd, ours("abel"), "deliver", ours("abel"))
    assert syncd.fate("x@pop.example") == ["foreign"]
    syncd.configure({"corp": syncd_section(syncd, "corp"),
                     "pop": 'provides = {"recipients", "domains"}'})
    syncd.reload()
    assert syncd.fate("x@pop.example")[0] in ("deliver", "unavailable")
    wait_fate(syncd, "x@pop.example", "deliver", "x@pop.example")


def syncd_section(syncd, name):
    """The body of a section as it stands in the configuration."""
    with open(syncd.conf, encoding="utf-8") as conf:
        return conf.read().split(f'directory "{name}" {{\n')[1].split("}\n")[0]


def test_domains_limit_what_a_directory_may_have(both):
    syncd = both("".join([
        mailbox("ok", "ok@POP.example.", proxyAddress=["smtp:ok@sub.pop.example", "MS:ACME/PO1/OK",
                                                       f"smtp:{ours('adam')}", "x@b.xpop.example"]),
        mailbox("deep", "deep@a.b.sub.pop.example"), mailbox("sub", "sub@other.pop.example"),
        mailbox("out", ours("out")),
        custom("far", "far@anywhere.example", "far@pop.example"),
        domain("pop.example", "authoritative"), domain("*.sub.pop.example", "authoritative"),
        domain("gmail.example", "authoritative")]),
        pop_options='provides = {"recipients", "domains"}\n'
                    'domains = {"Pop.Example", "*.sub.pop.example"}')
    assert syncd.fate("ok@pop.example") == ["deliver", "ok@pop.example"]
    assert syncd.fate("deep@a.b.sub.pop.example")[0] == "deliver"
    assert syncd.fate("far@pop.example") == ["deliver", "far@anywhere.example"]
    assert syncd.fate("x@gmail.example") == ["foreign"]
    assert syncd.fate("sub@other.pop.example") == ["foreign"]
    assert syncd.fate(ours("out")) == ["unknown"]
    assert syncd.fate("IMCEAMS-ACME_PO1_OK@pop.example") == ["unknown"]
    for what in ('entry skipped: no valid address dn="uid=out,', 'entry skipped: .* dn="uid=sub,',
                 'value left out: coexistProxyAddress: "smtp:adam@acme.example": outside the '
                 'domains of this directory dn="uid=ok,',
                 'value left out: coexistProxyAddress: "x@b.xpop.example": outside',
                 'entry skipped: .* dn="associatedDomain=gmail.example',
                 "directory=pop is limited to its domains"):
        syncd.wait_log(what)
    assert syncd.status("pop")["skipped"] == 3


# --- References ---


def test_references_reach_across_by_dn(server, both):
    syncd = both(mailbox("abel", ours("abel")) + group("pops", ours("pops"), ["abel"]).replace(
        "cn: pops", "cn: pops\ncoexistMember: UID=Adam , OU=People,DC=ACME,DC=example"))
    server.add(group("all", ours("all"), ["adam"]).replace(
        "cn: all", "cn: all\ncoexistMember: CN=Pops , OU=people,DC=pop,DC=example"))
    assert syncd.fate(ours("eve")) == ["deliver", ours("abel")]
    members = sorted(["deliver", ours("adam"), ours("abel")])
    wait_for(lambda: sorted(syncd.fate(ours("all"))) == members, lambda: syncd.fate(ours("all")))
    assert sorted(syncd.fate(ours("pops"))) == members
    syncd.write(pop(""), "pop")
    syncd.wait_log("removals kept back")
    assert syncd.fate(ours("eve")) == ["deliver", ours("abel")]
    assert syncd.ask("accept pop") == ["ok"]
    assert syncd.fate(ours("eve")) == ["broken"]
    assert syncd.fate(ours("all")) == ["deliver", ours("adam")]


# --- Changes of the configuration ---


class Watch:
    """Asks again and again while something is changed."""

    def __init__(self, syncd, *addresses):
        self.syncd, self.addresses = syncd, addresses
        self.seen = {address: set() for address in addresses}
        self.rounds = 0
        self.is_over = False
        self.error = None
        self.thread = threading.Thread(target=self._ask)

    def _ask(self):
        try:
            while not self.is_over:
                for address, answer in self.syncd.resolve(*self.addresses).items():
                    self.seen[address].add(answer["verdict"])
                self.rounds += 1
        except (AssertionError, OSError) as error:
            self.error = error

    def __enter__(self):
        self.thread.start()
        self.next_round()
        return self

    def next_round(self):
        """Everything is asked once more from now on."""
        now = self.rounds
        wait_for(lambda: self.rounds >= now + 2 or self.error, "answers")

    def __exit__(self, kind, *_):
        if kind is None:
            self.next_round()
        self.is_over = True
        self.thread.join()
        assert kind or not self.error, self.error


BOTH_DOMAINS = domain("acme.example", "authoritative")


@pytest.mark.parametrize("is_up", [True, False], ids=["with slapd", "with slapd down"])
def test_a_renamed_section_loses_nobody(server, both, is_up):
    syncd = both(mailbox("abel", ours("abel")))
    if not is_up:
        server.stop()
    with Watch(syncd, ours("adam"), ours("abel"), ours("eve")) as watch:
        syncd.configure({"main": ldap(server), "mailboxes": f'ldif = "{syncd.ldif("pop")}"'})
        syncd.reload()
        if is_up:
            wait_for(lambda: syncd.status("main")["state"] == "persist", "main to persist")
        watch.next_round()
    assert set().union(*watch.seen.values()) == {"deliver"}
    assert syncd.status("main")["recipients"] == 2
    assert syncd.status("mailboxes")["recipients"] == 1
    if not is_up:
        server.start()
    server.add(mailbox("cain", ours("cain")))
    wait_fate(syncd, ours("cain"), "deliver", ours("cain"))
    # It was known, so nothing was read again.
    assert not syncd.daemon.log_lines("directory=main .*full refresh finished")


def test_sections_that_change_names_keep_their_own(server, both):
    """What is called corp is now what was called pop; also while syncd was down."""
    syncd = both(thief() + mailbox("abel", ours("abel")))
    before = syncd.dump()
    swapped = {"pop": ldap(server), "corp": f'ldif = "{syncd.ldif("pop")}"'}
    for is_running in (True, False):
        with Watch(syncd, ours("adam"), ours("abel"), ours("eve")) as watch:
            syncd.configure(swapped)
            if is_running:
                syncd.reload()
            else:
                syncd.daemon.restart()
            watch.next_round()
        assert set().union(*watch.seen.values()) == {"deliver"}
        assert syncd.fate(ours("adam")) == ["deliver", ours("adam")]
        first, second = swapped
        assert [syncd.status(name)["recipients"] for name in (first, second)] == [2, 2]
        swapped = {"corp": ldap(server), "pop": f'ldif = "{syncd.ldif("pop")}"'}
    assert syncd.dump() == before
    assert not syncd.daemon.log_lines("kept back")


@pytest.mark.parametrize("is_up", [True, False], ids=["with slapd", "with slapd down"])
def test_a_new_order_makes_no_domain_foreign(server, both, is_up):
    """The first provides domains, the second does not: until it has told its, nobody knows."""
    syncd = both(thief() + BOTH_DOMAINS + mailbox("abel", ours("abel")))
    corp = ldap(server)
    if not is_up:
        # Now the file comes first, and slapd cannot say what domains it has when it comes back.
        syncd.configure({"pop": "", "corp": corp})
        syncd.reload()
        wait_fate(syncd, ours("adam"), "deliver", "adam@elsewhere.example")
        server.stop()
    with Watch(syncd, ours("adam"), ours("abel"), ours("nobody")) as watch:
        syncd.configure({"pop": "", "corp": corp} if is_up else {"corp": corp, "pop": ""})
        syncd.reload()
        if is_up:
            wait_fate(syncd, ours("adam"), "deliver", "adam@elsewhere.example")
        watch.next_round()
    for address in (ours("adam"), ours("abel")):
        assert watch.seen[address] <= {"deliver", "unavailable"}, watch.seen
    assert watch.seen[ours("nobody")] <= {"unknown", "unavailable"}, watch.seen
    if not is_up:
        assert syncd.fate(ours("adam")) == ["unavailable"]
        assert syncd.fate("x@outside.example") == ["unavailable"]
        server.start()
        wait_fate(syncd, ours("adam"), "deliver", ours("adam"))
        wait_fate(syncd, "x@outside.example", "foreign")


def test_another_server_for_the_same_section_keeps_the_old_data(folder, server, both):
    """The directory has moved: the old records serve until the new ones are there."""
    syncd = both(mailbox("abel", ours("abel")))
    other = make_server(folder, "other", CORP)
    try:
        port = other.port
        other.stop()
        with Watch(syncd, ours("adam"), ours("eve"), ours("abel")) as watch:
            syncd.configure({"corp": ldap(server).replace(str(server.port), str(port)), "pop": ""})
            syncd.reload()
            syncd.wait_log("directory=corp error: ")
            other.start()
            other.add(mailbox("cain", ours("cain")))
            wait_fate(syncd, ours("cain"), "deliver", ours("cain"))
        assert set().union(*watch.seen.values()) == {"deliver"}
    finally:
        other.close()


def test_one_that_never_comes_up_turns_refusals_into_deferrals(server, both):
    absent = f'uri = "ldap://127.0.0.1:{free_port()}"\n  base = "dc=absent"'
    corp = ldap(server)
    syncd = both(mailbox("abel", ours("abel")))
    assert syncd.fate(ours("nobody")) == ["unknown"]
    syncd.configure({"corp": corp, "pop": "", "absent": absent})
    syncd.reload()
    for _ in range(2):
        assert syncd.fate(ours("adam")) == ["deliver", ours("adam")]
        assert syncd.fate(ours("abel")) == ["deliver", ours("abel")]
        assert syncd.fate(ours("nobody")) == ["unavailable"]
        assert syncd.fate("x@outside.example") == ["foreign"]
        reply = syncd.resolve(ours("nobody"))[ours("nobody")]["reply"]
        assert reply.startswith("451 4.3.0"), reply
        server.add(mailbox("cain", ours("cain")))
        wait_fate(syncd, ours("cain"), "deliver", ours("cain"))
        server.delete(person_dn("cain"))
        wait_fate(syncd, ours("cain"), "unavailable")
        syncd.daemon.restart()
    assert not syncd.status("absent")["loaded"]
    syncd.configure({"corp": corp, "pop": ""})
    syncd.reload()
    assert syncd.fate(ours("nobody")) == ["unknown"]
