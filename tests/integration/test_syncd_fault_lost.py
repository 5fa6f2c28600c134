"""
Servers that lose their memory: killed before a checkpoint, wiped and loaded again, emptied,
restored from a backup, or no longer readable by us (ldap-sync.md section 10, tests 3, 4, 5).
"""

import re

import pytest

from support.faults import (PEOPLE, SERVICE, Reader, count_recipients, edit_and_restart, load_database,
                            mailbox, records_of, rule, slapcat, users, without_operational,
                            without_overlay)
from support.follower import Proxy
from support.wait import wait_for


def context_csn(server):
    return server.search("(objectClass=*)", "contextCSN", base=server.suffix, scope="base")


# --- Killed before a checkpoint (3) ---

def test_killed_with_changes_that_we_have_seen(folder, directory):
    """We are ahead: the server refuses our cookie."""
    without_overlay(directory, "checkpoint")
    syncd = directory.follow()
    directory.add(mailbox("cain"))
    syncd.wait_has("cain@acme.example")
    directory.kill()
    directory.start()
    syncd.wait_log("the server is behind what we have seen")
    syncd.wait_log("the server lost changes that we have seen; everything is read again")
    directory.delete(f"uid=eve,{PEOPLE}")
    syncd.wait_has_not("eve@acme.example")
    syncd.assert_like_new(folder)


def test_killed_with_changes_that_we_have_not_seen(folder, directory):
    """We are exactly where the server believes to be, and it says that there is nothing new."""
    without_overlay(directory, "checkpoint")
    syncd = directory.follow()
    syncd.daemon.stop()
    before = context_csn(directory)
    directory.add(mailbox("cain"))
    directory.modify(f"dn: uid=adam,{PEOPLE}\nchangetype: modify\nadd: coexistProxyAddress\n"
                     "coexistProxyAddress: smtp:first@acme.example\n")
    directory.delete(f"uid=eve,{PEOPLE}")
    directory.kill()
    directory.start()
    assert context_csn(directory) == before, "slapd did not forget"
    assert directory.search("(uid=cain)")
    syncd.start()
    assert " 0 entries" in syncd.wait_log("incremental refresh finished")[0]
    syncd.wait_log("the server has changes that it did not send")
    syncd.wait_has("cain@acme.example")
    syncd.wait_has("first@acme.example")
    syncd.wait_has_not("eve@acme.example")
    syncd.assert_like_new(folder)


def test_a_server_that_forgot_nothing_is_not_read_again(folder, directory):
    """Neither the last change, which has the CSN of our cookie, nor one that is on its way counts."""
    probes = []

    def count(data):
        probes.extend([1] if b"contextCSN" in data else [])
        return data

    proxy = Proxy(directory.port, count)
    syncd = directory.follow(proxy)
    directory.add(mailbox("cain"))
    syncd.wait_has("cain@acme.example")
    for turn in range(3):
        directory.restart()
        directory.modify(f"dn: uid=cain,{PEOPLE}\nchangetype: modify\nreplace: cn\ncn: Cain {turn}\n")
        syncd.wait_has(f"Cain {turn}")
    syncd.daemon.stop()
    syncd.start()
    probes.clear()
    wait_for(lambda: len(probes) > 2, syncd.log)
    assert syncd.full_refreshes() == 1, syncd.log()
    syncd.assert_like_new(folder)
    proxy.close()


# --- Wiped and loaded again (4) ---

@pytest.mark.parametrize("is_running", [True, False], ids=["while connected", "while away"])
@pytest.mark.parametrize("swap", [False, True], ids=["same addresses", "swapped addresses"])
def test_wiped_and_loaded_with_new_ids(folder, directory, swap, is_running):
    """No look-up fails in between, whoever has the address in the end; nobody is there twice."""
    directory.add(users(30))
    syncd = directory.follow(has="user29@acme.example")
    before = syncd.dump()
    text = without_operational(slapcat(directory))
    if swap:
        text = re.sub(r"(?m)^mail: user(\d+)@", lambda m: f"mail: user{int(m[1]) ^ 1}@", text)
    names = ["adam", "eve", *(f"user{i}" for i in range(30))]
    with Reader(syncd, *names):
        if not is_running:
            syncd.daemon.stop()
        load_database(directory, text)
        if not is_running:
            syncd.start()
        seen = len(syncd.daemon.log_lines("refresh finished"))
        wait_for(lambda: len(syncd.daemon.log_lines("refresh finished")) > (1 if is_running else 0)
                 and (syncd.dump() != before) == swap, syncd.log)
        directory.add(mailbox("cain"))
        syncd.wait_has("cain@acme.example")
    state = syncd.directory_status()
    assert state["recipients"] == count_recipients(syncd.dump()) == 33
    assert state["held"] == 0, syncd.log()
    directory.delete(f"uid=eve,{PEOPLE}")
    syncd.wait_has_not("eve@acme.example")
    syncd.assert_like_new(folder)


# --- Emptied, gone, or not for us to read (5) ---

def only(pattern):
    """LDIF of the entries whose DN matches."""
    return lambda text: "\n".join(r for r in records_of(text) if re.match(rf"dn: .*({pattern})\n", r))


def empty(server):
    load_database(server, only("dc=acme,dc=example")(
        "\n".join(r for r in records_of(slapcat(server)) if "coexistMail" not in r
                  and "coexistDomain" not in r)))


def remove_base(server):
    load_database(server, "\n".join(r for r in records_of(slapcat(server))
                                    if not re.match(rf"dn: (.*,)?{PEOPLE}\n", r)))


def only_search(server):
    edit_and_restart(server, rule(f'access to dn.subtree="{PEOPLE}" by dn.exact="{SERVICE}" search '
                                  'by * break'))


def hide_classes(server):
    edit_and_restart(server, rule(f'access to dn.subtree="{PEOPLE}" attrs=objectClass by dn.exact="{SERVICE}" none '
                                  'by * break'))


@pytest.mark.parametrize("spoil, base, said", [
    pytest.param(empty, None, "removals kept back: 3[23]", id="emptied"),
    pytest.param(remove_base, PEOPLE, "the base does not exist, or bind_dn may not read it",
                 id="no base"),
    pytest.param(only_search, None, "removals kept back: 3[23]", id="search and not read"),
    pytest.param(hide_classes, None, "removals kept back: 3[23]", id="filter unreadable"),
])
def test_a_directory_that_shows_nothing_removes_nobody(folder, directory, spoil, base, said):
    directory.add(users(30))
    syncd = directory.follow(has="user29@acme.example", **({"base": base} if base else {}))
    good_conf = open(f"{directory.folder}/slapd.conf", encoding="utf-8").read()
    good_data = slapcat(directory)
    before = syncd.dump()
    syncd.daemon.stop()
    spoil(directory)
    syncd.start()
    # A cookie can hide it from us as long as nothing is read in full.
    if base is None:
        syncd.wait_state(state="persist")
        assert syncd.ask("refresh corp") == "ok"
    syncd.wait_log(said)
    assert syncd.dump() == before
    state = syncd.directory_status()
    assert state["recipients"] == 32 and state["lastContact"] > 0
    if base is None:
        # The server was reached: its data are not old.
        assert state["held"] >= 32
    else:
        # What is known grows old, and everyone can see it.
        assert "does not exist" in state["lastError"]
        contact = state["lastContact"]
        seen = len(syncd.daemon.log_lines("connected to"))
        syncd.wait_log("connected to", seen + 2)
        assert syncd.directory_status()["lastContact"] == contact
    with open(f"{directory.folder}/slapd.conf", "w", encoding="utf-8") as conf:
        conf.write(good_conf)
    load_database(directory, good_data)
    wait_for(lambda: syncd.ask("refresh corp") == "ok" and syncd.directory_status()["held"] == 0
             and syncd.directory_status()["state"] == "persist", syncd.log)
    assert syncd.dump() == before
    syncd.assert_like_new(folder)


# --- Yesterday's backup ---

@pytest.mark.parametrize("new", [5, 30], ids=["a few vanish", "many vanish"])
def test_restored_from_a_backup(folder, directory, new):
    """Ids and CSNs go back: what was added since goes, if it is not too much at once."""
    directory.add(users(50, first=100))
    syncd = directory.follow(has="user149@acme.example")
    backup = slapcat(directory)
    directory.add(users(new))
    directory.delete(f"uid=eve,{PEOPLE}")
    directory.modify(f"dn: uid=adam,{PEOPLE}\nchangetype: modify\nreplace: mail\n"
                     "mail: first@acme.example\n")
    syncd.wait_has("first@acme.example")
    load_database(directory, backup)
    syncd.wait_has("eve@acme.example")
    syncd.wait_has("adam@acme.example")
    if new > 20:
        syncd.wait_log("removals kept back: 30")
        assert syncd.has("user29@acme.example")
        assert syncd.ask("accept corp") == "ok"
    syncd.wait_has_not(f"user{new - 1}@acme.example")
    directory.add(mailbox("cain"))
    syncd.wait_has("cain@acme.example")
    syncd.assert_like_new(folder)


def test_a_follower_of_a_directory_that_was_lost_and_is_another(folder, directory):
    """Same addresses and DNs of some, others new: as by a migration to another server."""
    syncd = directory.follow()
    directory.add(mailbox("cain"))
    syncd.wait_has("cain@acme.example")
    text = without_operational(slapcat(directory)).replace("uid=cain,", "uid=seth,").replace(
        "uid: cain\n", "uid: seth\n")
    with Reader(syncd, "adam", "eve", "cain"):
        load_database(directory, text)
        syncd.wait_has(f"uid=seth,{PEOPLE}")
        syncd.wait_has_not(f"uid=cain,{PEOPLE}")
    syncd.assert_like_new(folder)
