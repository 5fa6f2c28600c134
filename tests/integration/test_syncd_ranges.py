"""
What only other servers than OpenLDAP do, by a server that does what the test tells it: values in
ranges, Active Directory's counter, and entries over any size.
"""

import struct

import pytest

from support.follower import DOMAIN, Follower
from support.ldapserver import LdapServer
from support.wait import wait_for

BASE = "dc=acme,dc=example"
ACTIVE_DIRECTORY = {"highestCommittedUSN": 0, "dnsHostName": "dc1.acme.example",
                    "dsServiceName": f"cn=dc1,{BASE}"}


def person(server, name, dn=None, **more):
    server.put(dn or f"cn={name},{BASE}",
               **{"objectClass": ["user", "coexistMailbox"], "cn": name, "sAMAccountName": name,
                  "mail": f"{name}@acme.example", **more})


def group(server, name, members, **more):
    server.put(f"cn={name},{BASE}",
               **{"objectClass": ["group", "coexistGroup"], "cn": name,
                  "mail": f"{name}@acme.example", "member": members, **more})


def names(first, end):
    return [f"cn=user{i},{BASE}" for i in range(first, end)]


@pytest.fixture
def directory(folder):
    """directory(**of LdapServer) -> a server with a base, a domain and a mailbox."""
    made = []

    def make(**options):
        server = LdapServer(**options)
        made.append(server)
        server.put(BASE, objectClass=["domain"], dc="acme")
        server.put(f"cn=dc1,{BASE}", objectClass=["thing"], invocationId="one")
        server.put(f"associatedDomain=acme.example,{BASE}", objectClass=["coexistDomain"],
                   associatedDomain="acme.example", coexistDomainType="authoritative")
        person(server, "adam")
        return server

    yield make
    for server in made:
        server.close()


@pytest.fixture
def follow(folder):
    made = []

    def make(server, sync="poll", has="adam@acme.example", extra='full_interval = "1h"',
             program="coexist-syncd-fast"):
        follower = Follower(folder, f"""uri = "{server.uri}"
  starttls = false
  base = "{BASE}"
  mapping = "exchange"
  sync = "{sync}"
  poll_interval = "100ms"
  {extra}""", program=program)
        made.append(follower)
        follower.start()
        if has:
            follower.wait_has(has)
            follower.wait_log("full (pass|refresh) finished")
        return follower

    yield make
    for follower in made:
        follower.close()


WAYS = pytest.mark.parametrize("sync", ["poll", "persist"])


@WAYS
def test_values_in_ranges_are_read_to_their_end(folder, directory, follow, sync):
    server = directory(ranges=15)
    server.offers_sync = sync == "persist"
    group(server, "all", names(0, 100))
    addresses = [f"smtp:adam{i}@acme.example" for i in range(40)]
    person(server, "cain", proxyAddresses=addresses)
    syncd = follow(server, sync)
    # Nothing of it is there before all of it is.
    for text in [f"user{i}" for i in range(100)] + [f"adam{i}@" for i in range(40)]:
        assert syncd.has(text), text
    group(server, "all", names(50, 300))
    syncd.wait_has("user299")
    assert not syncd.has("user49,") and syncd.has("user50,") and syncd.has("user200,")
    group(server, "all", names(0, 3))
    syncd.wait_has("user2,")
    syncd.wait_has_not("user50,")
    assert not syncd.daemon.log_lines("entry skipped")
    syncd.assert_like_new(folder)


def test_the_cookie_waits_for_the_rest_of_an_entry(folder, directory, follow):
    server = directory(ranges=10)
    server.offers_sync = True

    def give(word):  # no references: those that dangle are read again for reasons of their own
        person(server, "cain", proxyAddresses=[f"smtp:{word}{i}@acme.example" for i in range(30)])

    give("old")
    syncd = follow(server, "persist")
    stopped = []

    def stop(dn, attribute, first):
        # It dies with half of the entry read, when what came behind it is stored already.
        if attribute == "proxyAddresses" and first >= 20 and not stopped:
            person(server, "seth")
            syncd.wait_has("seth@acme.example")
            syncd.daemon.child.kill()
            stopped.append(first)
        return None

    server.answer_range = stop
    give("new")
    wait_for(lambda: stopped, syncd.log)
    assert syncd.has("old5@") and not syncd.has("new5@")
    syncd.start()
    syncd.wait_has("new29@")
    assert not syncd.has("old5@")
    syncd.assert_like_new(folder)


NONSENSE = [
    ("overlapping", lambda name, first: (f"{name};range={first - 1}-*", ["cn=x,dc=y"])),
    ("backwards", lambda name, first: (f"{name};range=9-2", ["cn=x,dc=y"])),
    ("the same again", lambda name, first: (f"{name};range=0-9", names(0, 10))),
    ("no number", lambda name, first: (f"{name};range=", ["cn=x,dc=y"])),
    ("nothing", lambda name, first: (name, [])),
    ("endless", lambda name, first: (f"{name};range={first}-{first + 9}", names(first, first + 10))),
    ("one by one", lambda name, first: (f"{name};range={first}-{first}", names(first, first + 1))),
]


@pytest.mark.parametrize("answer", [pytest.param(a, id=label) for label, a in NONSENSE])
def test_ranges_that_make_no_sense_change_nothing(folder, directory, follow, answer):
    server = directory(ranges=10)
    group(server, "all", names(0, 30))
    syncd = follow(server)
    assert syncd.has("user29,")
    before = syncd.dump()
    server.answer_range = (lambda dn, name, first: answer(name, first)
                           if name == "member" and first else None)
    group(server, "all", names(0, 40))
    syncd.wait_log(r"entry skipped: its values come in ranges that make no sense dn=.*cn=all")
    assert syncd.dump() == before
    # The rest goes on, and so does this one when it makes sense again.
    person(server, "eve")
    syncd.wait_has("eve@acme.example")
    server.answer_range = lambda dn, name, first: None
    group(server, "all", names(0, 50))
    syncd.wait_has("user49,")
    syncd.assert_like_new(folder)


def test_one_that_never_came_whole_is_listed(directory, follow):
    server = directory(ranges=10)
    server.answer_range = (lambda dn, name, first: ("member;range=7-*", ["cn=x,dc=y"])
                           if name == "member" and first else None)
    group(server, "all", names(0, 30))
    syncd = follow(server)
    wait_for(lambda: syncd.status()["directories"][0]["skipped"] == 1, syncd.log)
    assert not syncd.has("all@acme.example")


def test_an_entry_that_changes_while_it_is_read(folder, directory, follow):
    server = directory(ranges=10)
    changes = []

    def change(dn, attribute, first):
        if attribute == "member" and first == 10 and len(changes) < 3:
            changes.append(first)
            group(server, "all", names(100 * len(changes), 100 * len(changes) + 30))
        return None

    server.answer_range = change
    group(server, "all", names(0, 30))
    syncd = follow(server)
    syncd.wait_has("user329,")
    assert not syncd.has("user0,") and not syncd.has("user110,")
    assert not syncd.daemon.log_lines("entry skipped")
    syncd.assert_like_new(folder)


# --- Active Directory's counter ---


def searches(server):
    """The filters of searches that ask for what is new, as bytes."""
    return [filter_[1] for *_, filter_ in server.searches if b"uSNChanged" in filter_[1]]


def passes(syncd, kind):
    return len(syncd.daemon.log_lines(f"{kind} pass finished"))


def test_what_has_changed_by_the_counter(folder, directory, follow):
    server = directory(root=ACTIVE_DIRECTORY)
    syncd = follow(server)
    person(server, "eve")
    syncd.wait_has("eve@acme.example")
    person(server, "adam", mail="abel@acme.example")
    syncd.wait_has("abel@acme.example")
    server.remove(f"cn=eve,{BASE}")
    syncd.wait_has_not("eve@acme.example")
    assert searches(server) and passes(syncd, "full") == 1
    # A restart goes on.
    syncd.daemon.stop()
    person(server, "cain")
    syncd.start()
    syncd.wait_has("cain@acme.example")
    assert passes(syncd, "full") == 1
    syncd.assert_like_new(folder)


@pytest.mark.parametrize("what", ["restored", "another"])
def test_a_server_with_another_count_is_read_whole(folder, directory, follow, what):
    server = directory(root=ACTIVE_DIRECTORY)
    for i in range(20):
        person(server, f"user{i}")
    syncd = follow(server)
    assert passes(syncd, "full") == 1
    if what == "restored":  # the counter went back, with the same name
        server.serial = 3
    else:
        server.serial = 1000
        server.put(f"cn=dc1,{BASE}", objectClass=["thing"], invocationId="two")
    person(server, "user3", mail="three@acme.example", stamps={"uSNChanged": 2})
    wait_for(lambda: passes(syncd, "full") == 2, syncd.log)
    assert syncd.has("three@acme.example")
    syncd.assert_like_new(folder)


def test_ids_that_cannot_be_searched_for_prove_nothing(folder, directory, follow):
    """Then an entry goes when it is missing twice."""
    server = directory(root=ACTIVE_DIRECTORY)
    for i in range(5):
        person(server, f"user{i}")
    syncd = follow(server)
    find = server._find
    server._find = (lambda base, scope, filter_: [] if b"objectGUID" in filter_[1]
                    else find(base, scope, filter_))
    server.remove(f"cn=user1,{BASE}")
    syncd.wait_has_not("user1@acme.example")
    wait_for(lambda: passes(syncd, "identity") >= 2, syncd.log)
    assert syncd.has("user2@acme.example")
    syncd.assert_like_new(folder)


def test_a_page_that_forgets_an_entry_takes_nothing_away(folder, directory, follow):
    """Paging is no snapshot: what did not come is asked for."""
    server = directory(root=ACTIVE_DIRECTORY)
    for i in range(5):
        person(server, f"user{i}")
    syncd = follow(server)
    find = server._find
    server._find = lambda base, scope, filter_: [
        dn for dn in find(base, scope, filter_)
        if "user1" not in dn or b"objectGUID" in filter_[1]]
    seen = passes(syncd, "identity")
    wait_for(lambda: passes(syncd, "identity") >= seen + 4, syncd.log)
    assert syncd.has("user1@acme.example")


def test_what_a_full_pass_misses_once_stays_where_nobody_can_be_asked(folder, directory, follow):
    """And goes when the next one does not find it either."""
    server = directory(root=ACTIVE_DIRECTORY)
    for i in range(5):
        person(server, f"user{i}")
    # Its times are long: no identity pass comes in between.
    syncd = follow(server, program="coexist-syncd")
    find = server._find
    server._find = lambda base, scope, filter_: [] if b"objectGUID" in filter_[1] else [
        dn for dn in find(base, scope, filter_) if "user1" not in dn]
    assert syncd.ask("refresh corp") == "ok"
    syncd.wait_log("full pass finished", 2)
    assert syncd.has("user1@acme.example")
    assert syncd.ask("refresh corp") == "ok"
    syncd.wait_log("full pass finished", 3)
    assert not syncd.has("user1@acme.example")
    assert syncd.has("user2@acme.example") and passes(syncd, "identity") == 0


def test_no_id_at_all_is_known_by_its_name(folder, directory, follow):
    server = directory()
    put = server.put

    def nameless(dn, **attributes):
        put(dn, **attributes)
        server.entries[dn].attributes.pop("entryUUID")

    server.put = nameless
    for dn in server.entries:
        server.entries[dn].attributes.pop("entryUUID")
    for i in range(5):
        person(server, f"user{i}")
    syncd = follow(server)
    person(server, "user2", mail="two@acme.example")
    syncd.wait_has("two@acme.example")
    server.remove(f"cn=user1,{BASE}")
    syncd.wait_has_not("user1@acme.example")
    syncd.assert_like_new(folder)


# --- Sizes ---


def test_a_message_over_the_limit_ends_the_connection_and_harms_nobody(folder, directory, follow):
    server = directory()
    ldif = f"{folder}/other.ldif"
    with open(ldif, "w", encoding="utf-8") as out:
        out.write(DOMAIN + f"dn: uid=cain,{BASE}\nobjectClass: coexistMailbox\nuid: cain\n"
                  "mail: cain@acme.example\n")
    syncd = follow(server)
    with open(syncd.conf, "a", encoding="utf-8") as conf:
        conf.write(f'directory "other" {{ ldif = "{ldif}" }}\n')
    syncd.daemon.reload()
    syncd.wait_has("cain@acme.example")
    sent = []

    def huge(send, message):
        # The length comes first; not one byte of the rest is needed.
        sent.append(message)
        client = server._sockets[-1]
        client.sendall(b"\x30\x84" + struct.pack(">I", 100 << 20))

    server.raw_answer = huge
    syncd.wait_log("directory=corp error: .*an entry is larger than 64 MB, the limit of a message")
    assert sent
    with open(ldif, "a", encoding="utf-8") as out:
        out.write(f"\ndn: uid=seth,{BASE}\nobjectClass: coexistMailbox\nuid: seth\n"
                  "mail: seth@acme.example\n")
    syncd.wait_has("seth@acme.example")
    # The next answer is fine: so is the directory.
    person(server, "eve")
    syncd.wait_has("eve@acme.example")


def test_an_entry_over_the_limit_is_skipped_and_listed(directory, follow):
    server = directory()
    server.offers_sync = True
    group(server, "many", names(0, 140000))
    group(server, "large", names(0, 3), displayName="x" * (33 << 20))
    person(server, "long", displayName="x" * 70000)
    person(server, "manynames", proxyAddresses=[f"smtp:m{i}@acme.example" for i in range(10000)])
    syncd = follow(server, "persist")
    wait_for(lambda: syncd.status()["directories"][0]["skipped"] >= 2, syncd.log)
    for name in ("many", "large"):
        assert syncd.daemon.log_lines(f"entry skipped: more than 131072 values, or 32 MB of them "
                                      f"dn=.cn={name},")
        assert not syncd.has(f"{name}@acme.example")
    assert syncd.has("m9999@acme.example")
    person(server, "eve")
    syncd.wait_has("eve@acme.example")

