"""
The valve over LDAP (SPEC section 10): many removals at once are kept back, in a refresh and while
persisting, until somebody accepts them; meanwhile their mail goes on.
"""

import os
import re

import pytest

from support.daemons import coexistctl, resolve
from support.follower import DOMAIN, PEOPLE, Follower, mailbox
from support.slapd import BASE_LDIF, EXAMPLE_SUFFIX, Slapd
from support.syncd import Syncd, fresh_dump, mailboxes
from support.wait import wait_for

MANY = 100
DOMAIN_DN = f"associatedDomain=acme.example,ou=mail,{EXAMPLE_SUFFIX}"
CONNECTOR = (f"dn: cn=pop,ou=mail,{EXAMPLE_SUFFIX}\nobjectClass: coexistConnector\ncn: pop\n"
             "coexistNextHop: relay:[pop.example]\n\n")


def user(number):
    return mailbox(f"u{number}", "description: hidden" if number % 10 < 3 else "description: shown")


def dn(number):
    return f"uid=u{number},{PEOPLE}"


def edit_conf(server, pattern, replacement):
    path = f"{server.folder}/slapd.conf"
    with open(path, encoding="utf-8") as conf:
        text, n = re.subn(pattern, replacement, conf.read())
    assert n > 0, pattern
    with open(path, "w", encoding="utf-8") as conf:
        conf.write(text)


def hide(server, what):
    """From now on an access rule hides these entries; returns after a restart."""
    server.stop()
    edit_conf(server, r"(?m)^# Passwords\..*$", f"access to {what} by * none\n\\g<0>")
    server.start()


def show(server):
    server.stop()
    edit_conf(server, r"(?m)^access to .* by \* none$", "")
    server.start()


@pytest.fixture
def server(folder):
    slapd = Slapd(f"{folder}/slapd")
    slapd.add(DOMAIN + CONNECTOR + "".join(user(n) for n in range(MANY)))
    yield slapd
    slapd.close()


@pytest.fixture
def follow(folder, server):
    made = []

    def make(extra="", program="coexist-syncd"):
        follower = Follower(folder, f"""uri = "{server.uri}"
  starttls = false
  base = "{EXAMPLE_SUFFIX}"
  bind_dn = "{server.service_dn}"
  bind_password_file = "{folder}/follower/ldap.secret"
  {extra}""", program=program)
        made.append(follower)
        follower.start()
        follower.wait_has(f"u{MANY - 1}@acme.example")
        return follower

    yield make
    for follower in made:
        follower.close()


def held(syncd):
    return syncd.status()["directories"][0]["held"]


def wait_held(syncd, count):
    wait_for(lambda: held(syncd) == count, lambda: f"{count} held, not {held(syncd)}\n{syncd.log()}")


def verdict(syncd, number):
    return resolve(syncd.conf, f"u{number}@acme.example")[1]["verdict"]


def listed(syncd):
    """The numbers of the users whose removal check tells of."""
    text = coexistctl(syncd.conf, "check").stdout
    return {int(n) for n in re.findall(r"^  uid=u(\d+),", text, re.MULTILINE)}


def test_a_mass_delete_while_persisting_is_kept_back_from_the_21st_on(folder, server, follow):
    syncd = follow()
    server.delete(*[dn(n) for n in range(40)])
    wait_for(lambda: 39 in listed(syncd), syncd.log)
    # Some go as they come, but never more than twenty. The rest gets its mail, and is told of.
    count = held(syncd)
    assert 20 <= count <= 40
    assert listed(syncd) == set(range(40 - count, 40))
    for number, wanted in ((39 - count, "unknown"), (40 - count, "deliver"), (39, "deliver")):
        assert number < 0 or verdict(syncd, number) == wanted
    syncd.wait_log(rf"error: .*removals kept back: .* {count} in all; .*accept-refresh corp")
    # Additions and changes go through.
    server.add(mailbox("new"))
    syncd.wait_has("new@acme.example")
    # A restart forgets nothing, and the refresh that it makes knows them.
    syncd.daemon.restart()
    wait_for(lambda: syncd.status()["directories"][0]["state"] == "persist", syncd.log)
    assert held(syncd) == count and verdict(syncd, 39) == "deliver"
    # Who comes back is struck off: the same entry, or another with its address.
    server.add(user(39))
    wait_held(syncd, count - 1)
    assert verdict(syncd, 39) == "deliver"
    done = coexistctl(syncd.conf, "accept-refresh", "corp")
    assert (done.returncode, done.stdout) == (0, "ok\n")
    assert verdict(syncd, 38) == "unknown"
    assert coexistctl(syncd.conf, "check").returncode == 0
    # What was accepted is not held against the next removal.
    server.delete(dn(50))
    wait_for(lambda: verdict(syncd, 50) == "unknown", syncd.log)
    assert held(syncd) == 0
    syncd.assert_like_new(folder)


def test_an_access_rule_that_hides_a_third_trips_it_and_one_that_hides_one_does_not(
        folder, server, follow):
    syncd = follow('full_interval = "1s"', "coexist-syncd-fast")
    hide(server, f'dn.exact="{dn(0)}"')
    wait_for(lambda: verdict(syncd, 0) == "unknown", syncd.log)
    assert held(syncd) == 0
    hide(server, f'dn.subtree="{PEOPLE}" filter=(description=hidden)')
    wait_held(syncd, MANY * 3 // 10 - 1)
    assert [verdict(syncd, n) for n in (1, 2, 3)] == ["deliver"] * 3
    assert listed(syncd) == {n for n in range(1, MANY) if n % 10 < 3}
    show(server)
    wait_held(syncd, 0)
    wait_for(lambda: verdict(syncd, 0) == "deliver", syncd.log)
    syncd.assert_like_new(folder)


def test_a_provider_that_was_emptied_empties_nothing(folder, server, follow):
    """Not even the domain, or all mail for it would be foreign; until it is accepted."""
    syncd = follow(program="coexist-syncd-fast")
    server.stop()
    for name in os.listdir(f"{server.folder}/db"):
        os.unlink(f"{server.folder}/db/{name}")
    server.start()
    server.add(BASE_LDIF.format(suffix=EXAMPLE_SUFFIX, dc="acme",
                                service_password=server.service_password))
    wait_held(syncd, MANY + 2)
    assert [verdict(syncd, n) for n in (0, MANY - 1)] == ["deliver"] * 2
    assert "relay:[pop.example]" in syncd.dump()
    found = coexistctl(syncd.conf, "check").stdout
    assert DOMAIN_DN in found and f"cn=pop,ou=mail,{EXAMPLE_SUFFIX}" in found
    # Loaded again: other ids, the same people.
    server.add(DOMAIN + CONNECTOR + "".join(user(n) for n in range(MANY)))
    wait_held(syncd, 0)
    syncd.assert_like_new(folder)


def test_a_domain_or_connector_goes_by_an_explicit_delete_alone(folder, server, follow):
    syncd = follow('full_interval = "1s"', "coexist-syncd-fast")
    hide(server, f'dn.exact="{DOMAIN_DN}"')
    wait_held(syncd, 1)
    assert verdict(syncd, 1) == "deliver"
    show(server)
    wait_held(syncd, 0)
    server.delete(f"cn=pop,ou=mail,{EXAMPLE_SUFFIX}")
    syncd.wait_has_not("relay:[pop.example]")
    assert held(syncd) == 0
    server.delete(DOMAIN_DN)
    wait_for(lambda: verdict(syncd, 1) == "foreign", syncd.log)
    syncd.assert_like_new(folder)


def test_accepting_is_for_one_directory_of_two():
    def users(first, count, ou):
        return mailboxes(first, count).replace("ou=people", f"ou={ou}")

    syncd = Syncd({"corp": "", "partner": ""})
    try:
        texts = {"corp": users(0, 60, "people"), "partner": users(100, 60, "partner")}
        for name, text in texts.items():
            syncd.write(text, name)
        syncd.daemon.start()
        for name in texts:
            syncd.wait_status(name, state="loaded", recipients=60)
        texts = {"corp": users(30, 30, "people"), "partner": users(130, 30, "partner")}
        for name, text in texts.items():
            syncd.write(text, name)
        for name in texts:
            syncd.wait_status(name, held=30)
        assert coexistctl(syncd.conf, "accept-refresh", "corp").returncode == 0
        assert syncd.status("corp")["held"] == 0 and syncd.status("partner")["held"] == 30
        codes = [coexistctl(syncd.conf, "resolve", f"u{n}@acme.example").returncode
                 for n in (0, 30, 100, 130)]
        assert codes == [67, 0, 0, 0]
        done = coexistctl(syncd.conf, "accept-refresh", "corp")
        assert done.returncode == 69 and "no removals are kept back" in done.stderr
        assert coexistctl(syncd.conf, "accept-refresh", "partner").returncode == 0
        assert syncd.dump() == fresh_dump(texts)
        assert coexistctl(syncd.conf, "accept-refresh", "nobody").returncode == 64
        syncd.daemon.stop()
        assert coexistctl(syncd.conf, "accept-refresh", "corp").returncode == 69
    finally:
        syncd.close()
