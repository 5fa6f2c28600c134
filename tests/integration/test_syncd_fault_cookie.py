"""
A stored cookie that is no longer what the server gave us: the end is that of a refresh with
no cookie, and what was deleted meanwhile is gone (ldap-sync.md section 10, test 6).
"""

import re

import pytest

from support.faults import PEOPLE, edit_and_restart, mailbox


def csn(time, sid="000"):
    return f"rid=000,csn={time}.000000Z#000000#{sid}#000000"


DAMAGES = [
    pytest.param(lambda cookie: "", id="empty"),
    pytest.param(lambda cookie: cookie[:-9], id="truncated"),
    pytest.param(lambda cookie: cookie[:12], id="no csn"),
    pytest.param(lambda cookie: "rid=000,sid=001", id="only a server"),
    pytest.param(lambda cookie: cookie.replace("csn=2", "csn=x"), id="garbled"),
    pytest.param(lambda cookie: cookie[:-1] + ";;", id="bad end"),
    pytest.param(lambda cookie: "ldap1:389#cn=sync:dc=acme:(mail=*)#4711", id="of 389-ds"),
    pytest.param(lambda cookie: "\x7f\x01\x02", id="binary"),
    pytest.param(lambda cookie: csn("20200101000000"), id="older than all"),
    pytest.param(lambda cookie: csn("20400101000000"), id="newer than all"),
    pytest.param(lambda cookie: csn("20400101000000", "005"), id="of another database"),
    pytest.param(lambda cookie: re.sub(r"csn=(.*)#000#", r"csn=\1#00b#", cookie), id="of another server"),
    pytest.param(lambda cookie: cookie + ";" + csn("20400101000000", "005")[12:], id="of one server more"),
    pytest.param(lambda cookie: "rid=000,csn=" + ";".join(
        csn("20300101000000", f"{sid:03x}")[12:] for sid in range(0x100, 0x200)), id="of 256 servers"),
]


@pytest.mark.parametrize("damage", DAMAGES)
def test_a_damaged_cookie_costs_a_refresh_and_keeps_nobody(folder, directory, damage):
    syncd = directory.follow()
    syncd.daemon.stop()
    cookie = syncd.stored_cookie()
    assert re.fullmatch(r"rid=000,csn=[0-9.]+Z#[0-9a-f#]+", cookie)
    directory.delete(f"uid=eve,{PEOPLE}")
    directory.add(mailbox("cain"))
    syncd.stored_cookie(damage(cookie))
    assert syncd.stored_cookie() == damage(cookie)
    syncd.start()
    syncd.wait_has("cain@acme.example")
    syncd.wait_has_not("eve@acme.example")
    syncd.assert_like_new(folder)
    # And it goes on as if nothing had been: the cookie is a good one again.
    syncd.daemon.stop()
    directory.delete(f"uid=cain,{PEOPLE}")
    seen = syncd.full_refreshes()
    syncd.start()
    syncd.wait_has_not("cain@acme.example")
    assert syncd.full_refreshes() == seen, syncd.log()
    syncd.assert_like_new(folder)


@pytest.mark.parametrize("log", ["10000", "1", None], ids=["in the log", "before the log", "no log"])
def test_the_session_log_of_the_server_may_reach_back_or_not(folder, directory, log):
    """Deletions come by name, or as what is not present: the same in the end."""
    if log != "10000":
        edit_and_restart(directory, (r"(?m)^syncprov-sessionlog.*$",
                                     f"syncprov-sessionlog {log}" if log else ""))
    directory.add("".join(mailbox(f"user{i}") for i in range(6)))
    syncd = directory.follow(has="user5@acme.example")
    syncd.daemon.stop()
    directory.delete(*(f"uid=user{i},{PEOPLE}" for i in range(4)))
    directory.add(mailbox("user2", "coexistProxyAddress: smtp:second@acme.example"))
    directory.modify(f"dn: uid=user5,{PEOPLE}\nchangetype: modify\nreplace: cn\ncn: Five\n")
    syncd.start()
    syncd.wait_has("second@acme.example")
    for gone in (0, 1, 3):
        syncd.wait_has_not(f"user{gone}@acme.example")
    assert syncd.full_refreshes() == 1, syncd.log()
    syncd.assert_like_new(folder)
