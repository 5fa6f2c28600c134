"""
coexist-syncd polls a real slapd: what has changed, what is gone, what leaves no trace, each by the
pass that is there for it. coexist-syncd-fast has short times; intervals of an hour switch the other
passes off.
"""

import re

import pytest

from support.follower import DOMAIN, PEOPLE, Follower, Proxy, mailbox
from support.slapd import Slapd
from support.wait import run, wait_for

HOUR = 'full_interval = "1h"'


def section(server, folder, extra="", uri=None, interval="100ms"):
    return f"""uri = "{uri or server.uri}"
  starttls = false
  base = "{server.suffix}"
  bind_dn = "{server.service_dn}"
  bind_password_file = "{folder}/follower/ldap.secret"
  sync = "poll"
  poll_interval = "{interval}"
  {extra}"""


def reload_with(server, *edits):
    """The same data with other operational attributes, as slapadd can write them."""
    server.stop()
    text = run(["/usr/sbin/slapcat", "-o", "ldif-wrap=no", *server.config]).stdout
    for pattern, replacement in edits:
        text, n = re.subn(pattern, replacement, text)
        assert n > 0, pattern
    run(["rm", "-rf", f"{server.folder}/db"])
    run(["mkdir", f"{server.folder}/db"])
    run(["/usr/sbin/slapadd", *server.config], stdin=text)
    server.start()


def edit_conf(server, pattern, replacement):
    path = f"{server.folder}/slapd.conf"
    with open(path, encoding="utf-8") as conf:
        text, n = re.subn(pattern, replacement, conf.read())
    assert n > 0, pattern
    server.stop()
    with open(path, "w", encoding="utf-8") as conf:
        conf.write(text)
    server.start()


# Entries of long ago, one of them newer than the rest: what is new stands out.
LONG_AGO = ((r"(?m)^(modifyTimestamp|createTimestamp): \d{4}", r"\1: 2011"),
            (r"(?s)(dn: associatedDomain=.*?)modifyTimestamp: 2011", r"\1modifyTimestamp: 2012"))


@pytest.fixture
def server(folder):
    slapd = Slapd(f"{folder}/slapd")
    slapd.add(DOMAIN + mailbox("adam") + mailbox("eve", f"coexistAltRecipient: uid=adam,{PEOPLE}"))
    reload_with(slapd, *LONG_AGO)
    yield slapd
    slapd.close()


@pytest.fixture
def follow(folder, server):
    made = []

    def make(extra=HOUR, uri=None, has="adam@acme.example", interval="100ms"):
        follower = Follower(folder, section(server, folder, extra, uri, interval),
                            program="coexist-syncd-fast")
        made.append(follower)
        follower.start()
        if has:
            follower.wait_has(has)
            follower.wait_log("full pass finished")
        return follower

    yield make
    for follower in made:
        follower.close()


def passes(syncd, kind):
    """How many entries each pass of a kind has read whole."""
    return [int(re.search(r"entries, (\d+) of them whole", line)[1])
            for line in syncd.daemon.log_lines(f"{kind} pass finished")]


def next_pass(syncd, kind, more=1):
    """Waits for passes that begin from now on to end; what the last one read."""
    seen = len(passes(syncd, kind))
    # One may have begun already.
    return wait_for(lambda: (now := passes(syncd, kind))[seen + more:] and now, syncd.log)[-1]


def test_only_what_has_changed_is_transferred(folder, server, follow):
    server.add("".join(mailbox(f"user{i}") for i in range(100)))
    reload_with(server, *LONG_AGO)
    syncd = follow()
    assert len(passes(syncd, "full")) == 1
    server.modify(f"dn: uid=user7,{PEOPLE}\nchangetype: modify\nreplace: mail\n"
                  "mail: seven@acme.example\n")
    syncd.wait_has("seven@acme.example")
    server.add(mailbox("cain"))
    syncd.wait_has("cain@acme.example")
    assert next_pass(syncd, "incremental") <= 2
    assert len(passes(syncd, "full")) == 1
    syncd.assert_like_new(folder)


def test_what_overlaps_is_not_read_again(folder, server, follow):
    """Much that is as new as the newest: only its stamps come, until it is old enough."""
    server.add("".join(mailbox(f"user{i}") for i in range(200)))
    # All in one second, so that they are the newest of all, always.
    reload_with(server, (r"(?m)^modifyTimestamp: .*", "modifyTimestamp: 20110102030405Z"))
    syncd = follow()
    next_pass(syncd, "incremental", 2)
    assert next_pass(syncd, "incremental") == 0
    reload_with(server, (r"(?s)(dn: uid=user9,.*?)user9@acme(.*?)modifyTimestamp: \d+Z",
                         r"\1nine@acme\2modifyTimestamp: 20110102030406Z"))
    syncd.wait_has("nine@acme.example")
    assert len(passes(syncd, "full")) == 1
    syncd.assert_like_new(folder)


def test_a_restart_goes_on_where_it_was(folder, server, follow):
    syncd = follow()
    syncd.daemon.stop()
    server.add(mailbox("cain"))
    server.delete(f"uid=eve,{PEOPLE}")
    syncd.start()
    syncd.wait_has("cain@acme.example")
    syncd.wait_has_not("eve@acme.example")
    assert len(passes(syncd, "full")) == 1
    syncd.daemon.kill()
    server.add(mailbox("seth"))
    syncd.start()
    syncd.wait_has("seth@acme.example")
    assert len(passes(syncd, "full")) == 1
    syncd.assert_like_new(folder)


def test_deletions_are_found_and_the_valve_judges(folder, server, follow):
    server.add("".join(mailbox(f"user{i}") for i in range(60)))
    syncd = follow()
    server.delete(f"uid=user1,{PEOPLE}", f"uid=user2,{PEOPLE}")
    syncd.wait_has_not("user1@acme.example")
    syncd.wait_has_not("user2@acme.example")
    # Of deletions that come one by one the valve lets the first through.
    syncd.daemon.stop()
    server.delete(*(f"uid=user{i},{PEOPLE}" for i in range(10, 50)))
    syncd.start()
    wait_for(lambda: syncd.status()["directories"][0]["held"] == 40, syncd.log)
    assert syncd.has("user11@acme.example")
    server.add(mailbox("user11"))
    # It has another entryUUID: the old record goes, and with it what was kept back.
    wait_for(lambda: syncd.status()["directories"][0]["held"] == 39, syncd.log)
    assert syncd.ask("accept corp") == "ok"
    syncd.wait_has_not("user12@acme.example")
    assert syncd.has("user11@acme.example")
    assert len(passes(syncd, "full")) == 1
    syncd.assert_like_new(folder)


def test_renamed_containers_and_entries(folder, server, follow):
    syncd = follow()
    server.rename(f"uid=adam,{PEOPLE}", "uid=abel")
    syncd.wait_has(f"uid=abel,{PEOPLE}")
    # refint's repair has no timestamp: the referrers are read again.
    syncd.wait_has(f"altRecipient: uid=abel,{PEOPLE}")
    server.rename(PEOPLE, "ou=staff")
    syncd.wait_has(f"uid=eve,ou=staff,{server.suffix}")
    syncd.wait_has_not(f"uid=eve,{PEOPLE}")
    assert len(passes(syncd, "full")) == 1
    syncd.assert_like_new(folder)


def test_a_container_renamed_while_nobody_looked(folder, server, follow):
    syncd = follow()
    syncd.daemon.stop()
    server.rename(PEOPLE, "ou=staff")
    # It does not even tell of itself.
    reload_with(server, *LONG_AGO)
    syncd.start()
    syncd.wait_has(f"uid=eve,ou=staff,{server.suffix}")
    syncd.wait_has_not(f"uid=eve,{PEOPLE}")
    assert len(passes(syncd, "full")) == 1
    syncd.assert_like_new(folder)


def test_what_leaves_no_timestamp_is_found_by_a_full_pass(folder, server, follow):
    syncd = follow('full_interval = "2s"')
    reload_with(server, (r"eve@acme\.example", "eva@acme.example"))
    syncd.wait_has("eva@acme.example")
    syncd.wait_log("full pass finished", 2)
    syncd.assert_like_new(folder)


def test_an_old_timestamp_that_comes_late(folder, server, follow):
    """Replicated from a server that had it first: older than what was seen."""
    syncd = follow()
    server.add(mailbox("cain"))
    syncd.wait_has("cain@acme.example")
    server.add(mailbox("seth"))
    syncd.wait_has("seth@acme.example")
    reload_with(server, (r"(?s)(dn: uid=eve.*?)eve@acme(.*?)modifyTimestamp: 2011",
                         r"\1eva@acme\2modifyTimestamp: 2010"))
    syncd.wait_has("eva@acme.example")
    server.add(mailbox("noah"))
    syncd.wait_has("noah@acme.example")
    assert len(passes(syncd, "full")) == 1
    syncd.assert_like_new(folder)


def test_what_is_a_little_older_is_asked_for_again(folder, server, follow):
    """By the incremental passes themselves, whatever comparisons would find."""
    everything = (r"(?m)^modifyTimestamp: .*", "modifyTimestamp: 20110102030405Z")
    reload_with(server, everything)
    syncd = follow()
    usual = next_pass(syncd, "incremental", 2)
    reload_with(server, (r"(?s)(dn: uid=eve.*?)eve@acme(.*?)modifyTimestamp: \d+Z",
                         r"\1eva@acme\2modifyTimestamp: 20110102030402Z"))
    syncd.wait_has("eva@acme.example")
    assert set(passes(syncd, "incremental")) == {usual}
    assert len(passes(syncd, "full")) == 1
    syncd.assert_like_new(folder)


def test_a_timestamp_from_the_future_hides_nothing_for_long(folder, server, follow):
    reload_with(server, (r"(?s)(dn: uid=eve.*?)modifyTimestamp: 2011",
                         r"\1modifyTimestamp: 2098"))
    syncd = follow()
    server.add(mailbox("cain"))
    syncd.wait_has("cain@acme.example")  # found by its name
    server.modify(f"dn: uid=cain,{PEOPLE}\nchangetype: modify\nreplace: mail\n"
                  "mail: kain@acme.example\n")
    syncd.wait_has("kain@acme.example")
    # From then on incremental passes see what is new again, and the one from the future.
    assert next_pass(syncd, "incremental") >= 2
    assert len(passes(syncd, "full")) == 1
    syncd.assert_like_new(folder)


def test_changes_within_one_second_are_all_seen(folder, server, follow):
    syncd = follow()
    for i in range(30):
        server.modify(f"dn: uid=adam,{PEOPLE}\nchangetype: modify\nreplace: mail\n"
                      f"mail: adam{i}@acme.example\n")
    syncd.wait_has("adam29@acme.example")
    syncd.assert_like_new(folder)


def test_an_emptied_server_loses_nothing_here(folder, server, follow):
    syncd = follow()
    before = syncd.dump()
    server.stop()
    run(["rm", "-rf", f"{server.folder}/db"])
    run(["mkdir", f"{server.folder}/db"])
    server.start()
    syncd.wait_log("error: ")
    assert syncd.dump() == before


def test_a_server_that_limits_searches_changes_nothing(folder, server, follow):
    syncd = follow('full_interval = "1s"')
    server.add("".join(mailbox(f"user{i}") for i in range(20)))
    syncd.wait_has("user19@acme.example")
    before = syncd.dump()
    edit_conf(server, r"(?m)^limits dn.*$", 'limits * size=5')
    syncd.wait_log(r"pass ended with result 4")
    assert syncd.dump() == before
    edit_conf(server, r"(?m)^limits \* size=5$", 'limits * size=unlimited')
    server.delete(f"uid=user3,{PEOPLE}")
    syncd.wait_has_not("user3@acme.example")
    syncd.assert_like_new(folder)


def test_a_connection_that_dies_between_pages_loses_nothing(folder, server, follow):
    server.add("".join(mailbox(f"user{i}") for i in range(1100)))
    paged = b"1.2.840.113556.1.4.319"
    requests = []

    def edit(data):  # the third page of the first pass is never asked for
        if paged in data:
            requests.append(data)
            if len(requests) == 3:
                raise OSError
        return data

    proxy = Proxy(int(server.uri.rpartition(":")[2]), edit)
    try:
        syncd = follow(uri=proxy.uri, has="user1099@acme.example")
        syncd.wait_log("lost the connection")
        assert passes(syncd, "full")[0] > 1100
        syncd.assert_like_new(folder, section(server, folder, HOUR))
    finally:
        proxy.close()


def test_a_server_with_no_syncprov_is_polled(folder, server, follow):
    edit_conf(server, r"(?m)^(overlay\s+syncprov|syncprov-.*)$", "")
    syncd = follow()
    syncd.write_conf(section(server, folder, HOUR).replace('sync = "poll"', 'sync = "auto"'))
    syncd.daemon.reload()
    syncd.wait_log("offers no syncrepl here")
    server.add(mailbox("cain"))
    server.delete(f"uid=eve,{PEOPLE}")
    syncd.wait_has("cain@acme.example")
    syncd.wait_has_not("eve@acme.example")
    syncd.assert_like_new(folder)


def test_it_stays_young_between_rare_polls(folder, server, follow):
    """The base is asked for in between: an answer is contact (SPEC section 10)."""
    syncd = follow(interval="1h")
    with open(syncd.conf, "a", encoding="utf-8") as conf:
        conf.write('unknown_defer_after = "3s"\n')
    syncd.daemon.stop()
    syncd.start()

    def contact():
        return syncd.status()["directories"][0]["lastContact"]

    first = contact()
    wait_for(lambda: contact() > first + 3, syncd.log)
    polled = len(passes(syncd, "(incremental|full)"))
    assert polled <= 2, syncd.log()
    server.kill()
    syncd.wait_log("lost the connection")


def test_a_refresh_on_request_reads_everything(folder, server, follow):
    syncd = follow()
    seen = len(passes(syncd, "full"))
    assert syncd.ask("refresh corp") == "ok"
    wait_for(lambda: len(passes(syncd, "full")) > seen, syncd.log)


def test_other_rights_are_seen(folder, server, follow):
    """A name that is not found any more goes, one that is found again comes (T8)."""
    syncd = follow()
    edit_conf(server, r"(?m)^# Passwords\..*$",
              f'access to dn.exact="uid=eve,{PEOPLE}" by * none\n\\g<0>')
    syncd.wait_has_not("eve@acme.example")
    edit_conf(server, r"(?m)^access to dn.exact=.uid=eve.*$", "")
    syncd.wait_has("eve@acme.example")
    assert len(passes(syncd, "full")) == 1
    syncd.assert_like_new(folder)


def test_timestamps_that_cannot_be_searched_for(folder, server, follow):
    """Then every poll reads everything."""
    edit_conf(server, r"(?m)^# Passwords\..*$",
              'access to attrs=modifyTimestamp by * none\n\\g<0>')
    syncd = follow()
    server.modify(f"dn: uid=adam,{PEOPLE}\nchangetype: modify\nreplace: mail\n"
                  "mail: kain@acme.example\n")
    syncd.wait_has("kain@acme.example")
    syncd.wait_log("full pass finished", 2)
    syncd.assert_like_new(folder)


def big_group(name, members):
    return (f"dn: cn={name},{PEOPLE}\nobjectClass: groupOfNames\nobjectClass: coexistGroup\n"
            f"cn: {name}\nmail: {name}@acme.example\n"
            + "".join(f"member: uid=somebody{i},{PEOPLE}\n" for i in range(members)) + "\n")


@pytest.mark.parametrize("sync", ["poll", "persist"])
def test_large_entries(folder, server, sync):
    """A group of 100,000 fits; what is over any sane size is left out alone."""
    server.stop()
    text = (big_group("fits", 100000) + big_group("over", 140000)
            + mailbox("long", f"displayName: {'x' * 70000}")
            + mailbox("names", *(f"coexistProxyAddress: smtp:n{i}@acme.example"
                                 for i in range(10000))))
    run(["/usr/sbin/slapadd", "-q", *server.config], stdin=text)
    server.start()
    follower = Follower(folder, section(server, folder, HOUR).replace('"poll"', f'"{sync}"'))
    try:
        follower.start()
        follower.wait_has("somebody99999,")
        assert follower.has("n9999@acme.example") and follower.has("adam@acme.example")
        assert follower.daemon.log_lines("entry skipped: more than 131072 values, or 32 MB of them "
                                         "dn=.cn=over,")
        assert not follower.has("over@acme.example")
        server.add(mailbox("cain"))
        follower.wait_has("cain@acme.example")
    finally:
        follower.close()
