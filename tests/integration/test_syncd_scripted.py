"""
What a slapd does too quickly, or not on demand: refreshes that end wrongly, or while something
changes. By a server that does what the test tells it.
"""

import uuid

import pytest

from support.faults import EXAMPLE_SUFFIX, FastFollower
from support.ldapserver import Entry, LdapServer, octets, tlv
from support.wait import wait_for


def dn(name):
    return f"uid={name},{EXAMPLE_SUFFIX}"


def mailbox(server, name, mail=None):
    server.put(dn(name), objectClass=["coexistMailbox"], uid=name,
               mail=f"{mail or name}@acme.example")


@pytest.fixture
def server():
    """With cookies like OpenLDAP's, a domain, and adam, eve and abel."""
    made = LdapServer(root={"namingContexts": EXAMPLE_SUFFIX})
    made.offers_sync = True
    made.cookie = lambda: f"rid=000,csn=20260102030405.{made.serial:06}Z#000000#000#000000"
    made.put(EXAMPLE_SUFFIX, objectClass=["domain"], dc="acme")
    made.put(f"associatedDomain=acme.example,{EXAMPLE_SUFFIX}", objectClass=["coexistDomain"],
             associatedDomain="acme.example", coexistDomainType="authoritative")
    for name in ("adam", "eve", "abel"):
        mailbox(made, name)
    yield made
    made.close()


@pytest.fixture
def syncd(folder, server):
    """In step with the server."""
    made = FastFollower(folder, f'uri = "{server.uri}"\n  base = "{EXAMPLE_SUFFIX}"')
    made.start()
    made.wait_has("abel@acme.example")
    made.wait_state(state="persist")
    yield made
    made.close()


@pytest.mark.parametrize("answer", [
    pytest.param(lambda s: (list(s.entries), s.cookie()), id="all entries, and a good cookie"),
    pytest.param(lambda s: ([dn("adam")], s.cookie()), id="one entry that is no news"),
    pytest.param(lambda s: ([], ""), id="an empty cookie"),
    pytest.param(lambda s: ([], "rid=000,sid=001"), id="a cookie that says nothing"),
    pytest.param(lambda s: ([], "ldap1:389#cn=sync:dc=acme:(mail=*)#4711"), id="another make of cookie"),
])
def test_an_ignored_cookie_is_noticed_by_what_comes(folder, server, syncd, answer):
    """
    The refresh ends as if all that is gone had been said (T3). Each sign alone is enough; nothing
    is concluded from that refresh but that another one is due.
    """
    syncd.daemon.stop()
    server.remove(dn("eve"))
    server.answer_cookie = lambda: answer(server)
    syncd.start()
    syncd.wait_log("did not take our cookie")
    syncd.wait_has_not("eve@acme.example")
    assert len(syncd.wait_log("full refresh finished", 2)) == 2, syncd.log()
    syncd.assert_like_new(folder)


REFRESH_REQUIRED = 4096


@pytest.mark.parametrize("is_persisting", [True, False], ids=["while it persists", "at the start"])
def test_a_server_that_asks_for_a_full_refresh_gets_one(folder, server, syncd, is_persisting):
    """Its base was renamed, or the cookie is too old for it; a deletion went by unseen."""
    if is_persisting:
        del server.entries[dn("eve")]
        server.end_sync(REFRESH_REQUIRED)
    else:
        syncd.daemon.stop()
        del server.entries[dn("eve")]

        def refuse(send, message, _, cookie):
            if cookie:
                send(message, server._result(0x65, REFRESH_REQUIRED))
            return bool(cookie)

        server.answer_sync = refuse
        syncd.start()
    syncd.wait_log("the server asks for a full refresh")
    syncd.wait_has_not("eve@acme.example")
    assert len(syncd.wait_log("full refresh finished", 2)) == 2, syncd.log()
    syncd.assert_like_new(folder)


def test_an_entry_that_is_named_and_was_never_sent_is_asked_for(folder, server, syncd):
    """It was not for us to read, or not in the base: only the names of who is there tell (T6, T8)."""
    syncd.daemon.stop()
    server.entries[dn("noah")] = Entry({
        "objectClass": ["coexistMailbox"], "uid": "noah", "mail": "noah@acme.example",
        "entryUUID": str(uuid.uuid4()), **server.stamps()})

    def name_all(send, message, found, cookie):
        if not cookie:
            return False
        server.name_present(send, message, found)
        server.end_refresh(send, message, tlv(0xa2, octets(server.cookie())))
        return True

    server.answer_sync = name_all
    syncd.start()
    syncd.wait_log("the server names entries that it never sent")
    syncd.wait_has("noah@acme.example")
    syncd.assert_like_new(folder)


def test_what_changes_during_a_full_refresh_is_not_undone(folder, server, syncd):
    """What the session in force delivers meanwhile is newer than what the refresh began with."""
    begun = []

    def begin(send, message, found, cookie):
        assert not cookie
        for name in found:
            server._send_entry(send, message, name, [], sync_state=1)
        begun.append((send, message))
        return True

    server.answer_sync = begin
    assert syncd.ask("refresh corp") == "ok"
    wait_for(lambda: begun, syncd.log)
    mailbox(server, "eve", mail="eva")
    mailbox(server, "cain")
    server.remove(dn("abel"))
    syncd.wait_has("eva@acme.example")
    syncd.wait_has("cain@acme.example")
    syncd.wait_has_not("abel@acme.example")
    before = syncd.dump()
    server.end_refresh(*begun[0], tlv(0xa2, octets(server.cookie())))
    syncd.wait_log("full refresh finished", 2)
    assert syncd.dump() == before
    server.answer_sync = None
    mailbox(server, "seth")
    syncd.wait_has("seth@acme.example")
    syncd.assert_like_new(folder)
