"""coexist-syncd and 389 Directory Server: polled, and by its Content Synchronization plugin."""

import pytest

from support.ds389 import Ds389
from support.follower import DOMAIN, PEOPLE, Follower, mailbox

CONTENT_SYNC = {
    "Content Synchronization": "",
    "Retro Changelog Plugin": "\nnsslapd-attribute: nsuniqueid:targetUniqueId",
}


@pytest.fixture(scope="module")
def ds389(tmp_path_factory):
    server = Ds389(tmp_path_factory.mktemp("389"), CONTENT_SYNC)
    server.add(DOMAIN + mailbox("adam") + mailbox("eve", f"coexistAltRecipient: uid=adam,{PEOPLE}"))
    yield server
    server.close()


@pytest.fixture
def follow(folder, ds389):
    made = []

    def make(sync, extra='full_interval = "1h"'):
        follower = Follower(folder, f"""uri = "{ds389.uri}"
  starttls = false
  base = "{ds389.suffix}"
  bind_dn = "cn=coexist,{ds389.suffix}"
  bind_password_file = "{folder}/follower/ldap.secret"
  sync = "{sync}"
  poll_interval = "100ms"
  {extra}""", program="coexist-syncd-fast")
        made.append(follower)
        follower.start()
        follower.wait_has("adam@acme.example")
        follower.wait_log(r"(pass|refresh) finished")
        return follower

    yield make
    for follower in made:
        follower.close()


def change_everything(server, syncd):
    """An entry comes, changes, gets other names, and goes."""
    server.add(mailbox("cain"))
    syncd.wait_has("cain@acme.example")
    server.modify(f"dn: uid=cain,{PEOPLE}\nchangetype: modify\nreplace: mail\n"
                  "mail: kain@acme.example\n")
    syncd.wait_has("kain@acme.example")
    assert not syncd.has("cain@acme.example")
    server.rename(f"uid=cain,{PEOPLE}", "uid=seth")
    syncd.wait_has(f"uid=seth,{PEOPLE}")
    server.rename(PEOPLE, "ou=staff")
    syncd.wait_has(f"uid=eve,ou=staff,{server.suffix}")
    syncd.wait_has(f"uid=seth,ou=staff,{server.suffix}")
    server.rename(f"ou=staff,{server.suffix}", "ou=people")
    syncd.wait_has(f"uid=eve,{PEOPLE}")
    server.delete(f"uid=seth,{PEOPLE}")
    syncd.wait_has_not("kain@acme.example")


def test_it_is_polled(folder, ds389, follow):
    syncd = follow("poll")
    change_everything(ds389, syncd)
    assert len(syncd.daemon.log_lines("full pass finished")) == 1
    syncd.daemon.stop()
    ds389.add(mailbox("noah"))
    syncd.start()
    syncd.wait_has("noah@acme.example")
    ds389.delete(f"uid=noah,{PEOPLE}")
    syncd.wait_has_not("noah@acme.example")
    assert len(syncd.daemon.log_lines("full pass finished")) == 1
    syncd.assert_like_new(folder)


def test_it_persists(folder, ds389, follow):
    syncd = follow("persist", 'full_interval = "2s"')
    change_everything(ds389, syncd)
    syncd.daemon.stop()
    ds389.add(mailbox("noah"))
    ds389.add(mailbox("abel"))
    ds389.delete(f"uid=abel,{PEOPLE}")
    syncd.start()
    syncd.wait_has("noah@acme.example")
    ds389.delete(f"uid=noah,{PEOPLE}")
    syncd.wait_has_not("noah@acme.example")
    syncd.assert_like_new(folder)
    assert syncd.daemon.log_lines("incremental refresh finished")
