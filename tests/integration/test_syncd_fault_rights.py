"""
What nobody announces: access rules that hide and show, and a configuration that asks for
something else than the data that are there (ldap-sync.md section 10, tests 11 and 12).
"""

import pytest

from support.faults import (EXAMPLE_SUFFIX, PEOPLE, SERVICE, edit_and_restart, mailbox, make_server, rule, section,
                            users)
from support.wait import wait_for


# --- Access rules (11) ---

def ours(what, level):
    return f'access to {what} by dn.exact="{SERVICE}" {level} by * break'


def without_rules(server):
    edit_and_restart(server, (r"(?m)^access to .* by \* break$", ""))


def refresh(syncd):
    """A full refresh from now on, once more if one is running already."""
    seen = syncd.full_refreshes()

    def is_done():
        return syncd.directory_status()["state"] == "persist" and syncd.ask("refresh corp") == "ok"

    wait_for(is_done, syncd.log)
    syncd.wait_log("full refresh finished", seen + 1)


@pytest.mark.parametrize("what, hidden, kept", [
    pytest.param(f'dn.exact="uid=eve,{PEOPLE}"', ["eve@acme.example"], ["adam@acme.example"],
                 id="an entry"),
    pytest.param("attrs=coexistProxyAddress", ["second@acme.example"], ["eve@acme.example"],
                 id="an attribute"),
    pytest.param(f'dn.exact="uid=eve,{PEOPLE}" attrs=coexistAltRecipient', ["altRecipient"],
                 ["eve@acme.example"], id="a reference"),
])
def test_hidden_and_shown_again(folder, directory, what, hidden, kept):
    """Found by the next full refresh; one entry does not make the valve close."""
    directory.modify(f"dn: uid=eve,{PEOPLE}\nchangetype: modify\nadd: coexistProxyAddress\n"
                     "coexistProxyAddress: smtp:second@acme.example\n-\nadd: coexistAltRecipient\n"
                     f"coexistAltRecipient: uid=adam,{PEOPLE}\n")
    directory.add(users(8))
    syncd = directory.follow(has="user7@acme.example")
    edit_and_restart(directory, rule(ours(what, "none")))
    refresh(syncd)
    for text in hidden:
        syncd.wait_has_not(text)
    for text in kept:
        assert syncd.has(text)
    assert syncd.directory_status()["held"] == 0
    syncd.assert_like_new(folder)
    without_rules(directory)
    refresh(syncd)
    for text in hidden:
        syncd.wait_has(text)
    syncd.assert_like_new(folder)


def test_a_new_right_shows_what_was_there_all_the_while(folder, directory):
    edit_and_restart(directory, rule(ours(f'dn.exact="uid=eve,{PEOPLE}"', "none")))
    syncd = directory.follow()
    assert not syncd.has("eve@acme.example")
    without_rules(directory)
    refresh(syncd)
    syncd.wait_has("eve@acme.example")
    syncd.assert_like_new(folder)


def test_a_third_hidden_at_once_is_kept_back(folder, directory):
    directory.add(users(100))
    syncd = directory.follow(has="user99@acme.example")
    before = syncd.dump()
    edit_and_restart(directory, rule(ours(rf'dn.regex="^uid=user[0-2]?[0-9],{PEOPLE}$"', "none")))
    refresh(syncd)
    syncd.wait_log("removals kept back: 30 now")
    assert syncd.dump() == before
    # A change of another entry goes on.
    directory.add(mailbox("cain"))
    syncd.wait_has("cain@acme.example")
    # Shown again, they are struck off; hidden once more and accepted, they go.
    without_rules(directory)
    refresh(syncd)
    syncd.wait_state(held=0)
    syncd.assert_like_new(folder)
    edit_and_restart(directory, rule(ours(rf'dn.regex="^uid=user[0-2]?[0-9],{PEOPLE}$"', "none")))
    refresh(syncd)
    syncd.wait_state(held=30)
    assert syncd.ask("accept corp") == "ok"
    syncd.wait_has_not("user29@acme.example")
    syncd.assert_like_new(folder)


# --- Another request, with the cookie of the old one (12) ---

CHANGES = [
    pytest.param({"extra": 'filter = "(|(uid=adam)(objectClass=organizationalUnit))"'},
                 ["eve@"], [], id="filter"),
    pytest.param({"base": f"ou=more,{EXAMPLE_SUFFIX}"}, ["adam@", "eve@"], ["cain@"], id="base"),
    pytest.param({"extra": 'scope = "one"', "base": PEOPLE}, [], ["adam@"], id="scope"),
    pytest.param({"bind_dn": f"cn=postmaster,ou=services,{EXAMPLE_SUFFIX}"}, ["eve@"], ["adam@"],
                 id="bind DN"),
    pytest.param({"extra": 'attributes { home_server = "employeeNumber" }'}, ["homeServer: PO1"],
                 ["homeServer: PO7"], id="an attribute of a role"),
    pytest.param({"extra": 'domains = {"acme.example"}'}, ["adam@elsewhere.example"], ["adam@acme.example"],
                 id="domains"),
    pytest.param({"extra": 'provides = {"recipients"}'}, ["associatedDomain"], ["adam@"], id="provides"),
]


@pytest.mark.parametrize("by_reload", [True, False], ids=["by reload", "by restart"])
@pytest.mark.parametrize("options, gone, there", CHANGES)
def test_another_request_reads_everything_again(folder, directory, options, gone, there, by_reload):
    """The server would answer the old cookie with silence (T9)."""
    directory.add(f"dn: ou=more,{EXAMPLE_SUFFIX}\nobjectClass: organizationalUnit\nou: more\n\n"
                  + mailbox("cain", parent=f"ou=more,{EXAMPLE_SUFFIX}"))
    directory.modify(f"dn: uid=adam,{PEOPLE}\nchangetype: modify\nadd: coexistHomeServer\n"
                     "coexistHomeServer: PO1\n-\nadd: employeeNumber\nemployeeNumber: PO7\n-\n"
                     "add: coexistProxyAddress\ncoexistProxyAddress: smtp:adam@elsewhere.example\n")
    edit_and_restart(directory, rule(f'access to dn.exact="uid=eve,{PEOPLE}" '
                                     f'by dn.exact="{SERVICE}" read by * none'),
                     (r"(?m)^(limits dn.exact=.*)$", lambda m: m[1] + "\n" + m[1].replace("coexist", "postmaster")))
    syncd = directory.follow()
    first = syncd.dump()
    old = syncd.directory
    for new in (section(folder, directory, **options), old):
        syncd.write_conf(new)
        if by_reload:
            syncd.daemon.reload()
        else:
            syncd.daemon.stop()
            syncd.start()
        wait_for(lambda n=new: (syncd.dump() == first) == (n == old) and syncd.dump(),
                 lambda: f"{syncd.dump()}\n{syncd.log()}")
        if new != old:
            for text in there:
                syncd.wait_has(text)
            for text in gone:
                syncd.wait_has_not(text)
        # As the fresh one gets it, whatever the valve would say of what the request leaves out.
        state = syncd.directory_status()
        if state["held"]:
            assert syncd.ask("accept corp") == "ok"
        syncd.assert_like_new(folder)


@pytest.mark.parametrize("by_reload", [True, False], ids=["by reload", "by restart"])
def test_another_server_with_a_directory_of_its_own(folder, directory, by_reload):
    """Nothing of the old one is taken for its, whatever the two have in common."""
    syncd = directory.follow()
    other = make_server(folder, mailbox("adam", "cn: other"), mailbox("cain"), name="other")
    try:
        syncd.write_conf(section(folder, other))
        if by_reload:
            syncd.daemon.reload()
        else:
            syncd.daemon.stop()
            syncd.start()
        syncd.wait_has("cain@acme.example")
        syncd.wait_has_not("eve@acme.example")
        assert syncd.directory_status()["recipients"] == 2
        syncd.assert_like_new(folder)
    finally:
        other.close()
