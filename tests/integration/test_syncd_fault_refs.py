"""
References by DN when what they refer to is renamed, moved or removed, with and without slapd's
refint overlay: mail goes where it went before, at once, and in the end the replica has
what the server has (ldap-sync.md section 10, test 10).
"""

import pytest

from support.faults import (EXAMPLE_SUFFIX, PEOPLE, Reader, mailbox, without_overlay)
from support.follower import Proxy
from support.wait import wait_for

TEAM = f"ou=team,{EXAMPLE_SUFFIX}"


def group(name, *members):
    return "\n".join([f"dn: cn={name},{PEOPLE}", "objectClass: groupOfNames", "objectClass: coexistGroup",
                      f"cn: {name}", f"mail: {name}@acme.example",
                      *(f"member: uid={member},{PEOPLE}" for member in members), "", ""])


@pytest.fixture
def people(directory):
    """eve's mail goes to adam, cain's to both, a group has adam and seth."""
    directory.modify(f"dn: uid=eve,{PEOPLE}\nchangetype: modify\nadd: coexistAltRecipient\n"
                     f"coexistAltRecipient: uid=adam,{PEOPLE}\n")
    directory.add(f"dn: {TEAM}\nobjectClass: organizationalUnit\nou: team\n\n"
                  + mailbox("cain", f"coexistAltRecipient: uid=adam,{PEOPLE}",
                            "coexistDeliverAndRedirect: TRUE")
                  + mailbox("seth") + group("all", "adam", "seth"))
    return directory


BEFORE = {"eve": ("deliver", ["adam@acme.example"]),
          "cain": ("deliver", ["adam@acme.example", "cain@acme.example"]),
          "all": ("deliver", ["adam@acme.example", "seth@acme.example"])}
GONE = {"eve": ("broken", []), "cain": ("deliver", ["cain@acme.example"]),
        "all": ("deliver", ["seth@acme.example"])}
FREE = {**GONE, "eve": ("deliver", ["eve@acme.example"])}


def is_as_before(name, verdict, to):
    return (verdict, to) == BEFORE[name]


def wait_verdicts(syncd, wanted):
    wait_for(lambda: syncd.verdicts(*wanted) == wanted,
             lambda: f"{wanted}, are {syncd.verdicts(*wanted)}\n{syncd.dump()}\n{syncd.log()}")


@pytest.mark.parametrize("how", ["renamed", "moved", "parent renamed"])
def test_with_refint_no_mail_notices(folder, people, how):
    syncd = people.follow(has="all@acme.example")
    with Reader(syncd, *BEFORE, wanted=is_as_before):
        if how == "renamed":
            people.rename(f"uid=adam,{PEOPLE}", "uid=abel")
            name = f"uid=abel,{PEOPLE}"
        elif how == "moved":
            people.rename(f"uid=adam,{PEOPLE}", "uid=adam", TEAM)
            name = f"uid=adam,{TEAM}"
        else:
            people.rename(PEOPLE, "ou=staff")
            name = f"uid=adam,ou=staff,{EXAMPLE_SUFFIX}"
        syncd.wait_has(f"altRecipient: {name}")
        syncd.wait_has_not(f"altRecipient: uid=adam,{PEOPLE}")
        syncd.assert_like_new(folder)


def test_with_refint_a_deleted_one_is_referred_to_by_nobody(folder, people):
    syncd = people.follow(has="all@acme.example")
    # Between the two eve's mail waits; it is never refused.
    with Reader(syncd, "eve", "cain", "all", wanted=lambda name, verdict, to: (verdict, to) in (
            BEFORE[name], GONE[name], FREE[name])):
        people.delete(f"uid=adam,{PEOPLE}")
        wait_verdicts(syncd, FREE)
    syncd.assert_like_new(folder)


@pytest.mark.parametrize("how", ["renamed", "moved", "deleted"])
def test_without_refint_the_directory_says_so_and_mail_waits(folder, people, how):
    """The reference dangles, as on the server: broken is 451; copies and members are left out."""
    without_overlay(people, "refint")
    without_overlay(people, "unique")
    syncd = people.follow(has="all@acme.example")
    with Reader(syncd, *BEFORE, wanted=lambda name, verdict, to: (verdict, to) in (
            BEFORE[name], GONE[name])):
        if how == "renamed":
            people.rename(f"uid=adam,{PEOPLE}", "uid=abel")
        elif how == "moved":
            people.rename(f"uid=adam,{PEOPLE}", "uid=adam", TEAM)
        else:
            people.delete(f"uid=adam,{PEOPLE}")
        wait_verdicts(syncd, GONE)
    syncd.assert_like_new(folder)
    # Mended by hand, and back as it was.
    people.add(mailbox("adam", "coexistProxyAddress: smtp:second@acme.example").replace(
        "mail: adam@", "mail: first@"))
    wait_for(lambda: syncd.verdicts("eve")["eve"] == ("deliver", ["first@acme.example"]), syncd.log)
    syncd.assert_like_new(folder)


def test_without_refint_names_that_go_round(folder, people):
    """seth gets adam's name in one go: whoever refers to it means seth from now on."""
    without_overlay(people, "refint")
    syncd = people.follow(has="all@acme.example")
    people.modify(f"dn: uid=adam,{PEOPLE}\nchangetype: modrdn\nnewrdn: uid=tmp\ndeleteoldrdn: 1\n\n"
                  f"dn: uid=seth,{PEOPLE}\nchangetype: modrdn\nnewrdn: uid=adam\ndeleteoldrdn: 1\n\n"
                  f"dn: uid=tmp,{PEOPLE}\nchangetype: modrdn\nnewrdn: uid=seth\ndeleteoldrdn: 1\n")
    wait_verdicts(syncd, {"eve": ("deliver", ["seth@acme.example"]),
                          "cain": ("deliver", ["cain@acme.example", "seth@acme.example"]),
                          "all": BEFORE["all"]})
    syncd.assert_like_new(folder)


def test_with_refint_names_that_go_round(folder, people):
    syncd = people.follow(has="all@acme.example")
    with Reader(syncd, *BEFORE, wanted=is_as_before):
        people.modify(f"dn: uid=adam,{PEOPLE}\nchangetype: modrdn\nnewrdn: uid=tmp\ndeleteoldrdn: 1\n")
        syncd.wait_has(f"altRecipient: uid=tmp,{PEOPLE}")
        people.modify(f"dn: uid=seth,{PEOPLE}\nchangetype: modrdn\nnewrdn: uid=adam\ndeleteoldrdn: 1\n\n"
                      f"dn: uid=tmp,{PEOPLE}\nchangetype: modrdn\nnewrdn: uid=seth\ndeleteoldrdn: 1\n")
        syncd.wait_has(f"altRecipient: uid=seth,{PEOPLE}")
        syncd.wait_has_not(f"altRecipient: uid=tmp,{PEOPLE}")
        syncd.assert_like_new(folder)


@pytest.mark.parametrize("kind", ["stopped", "killed", "cut off"])
@pytest.mark.parametrize("refint", [True, False], ids=["refint", "no refint"])
def test_renamed_and_deleted_while_away(folder, people, refint, kind):
    if not refint:
        without_overlay(people, "refint")
    proxy = Proxy(people.port)
    try:
        syncd = people.follow(proxy, has="all@acme.example")
        for turn in range(2):
            if kind == "cut off":
                proxy.target = 1
                proxy.cut()
            elif kind == "killed":
                syncd.daemon.kill()
            else:
                syncd.daemon.stop()
            if turn == 0:
                people.rename(f"uid=adam,{PEOPLE}", "uid=abel")
            else:
                people.delete(f"uid=abel,{PEOPLE}")
            people.add(mailbox(f"turn{turn}"))
            proxy.target = people.port
            if kind != "cut off":
                syncd.start()
            syncd.wait_has(f"turn{turn}@acme.example")
            wait_verdicts(syncd, (BEFORE if turn == 0 else FREE) if refint else GONE)
            syncd.assert_like_new(folder)
    finally:
        proxy.close()


def test_killed_in_the_gap(folder, people):
    """What is to be read again outlives syncd, whichever way slapd decided."""
    for refint in (True, False):
        if not refint:
            without_overlay(people, "refint")
        syncd = people.follow(has="all@acme.example", name=f"follower{refint}")
        people.rename(f"uid=adam,{PEOPLE}", "uid=abel")
        syncd.wait_has(f"altRecipient: uid=abel,{PEOPLE}")
        syncd.daemon.kill()
        syncd.start()
        wait_verdicts(syncd, BEFORE if refint else GONE)
        syncd.assert_like_new(folder)
        people.rename(f"uid=abel,{PEOPLE}", "uid=adam")
        wait_verdicts(syncd, BEFORE)
        syncd.close()


def test_a_target_outside_the_base_is_none(folder, people):
    """Moved out of what we see, and back: as on the server, both ways."""
    syncd = people.follow(has="all@acme.example", base=PEOPLE)
    people.rename(f"uid=adam,{PEOPLE}", "uid=adam", TEAM)
    syncd.wait_has(f"altRecipient: uid=adam,{TEAM}")
    assert not syncd.has("adam@acme.example")
    syncd.assert_like_new(folder)
    people.rename(f"uid=adam,{TEAM}", "uid=adam", PEOPLE)
    syncd.wait_has(f"altRecipient: uid=adam,{PEOPLE}")
    wait_for(lambda: syncd.has("adam@acme.example"), syncd.log)
    syncd.assert_like_new(folder)

