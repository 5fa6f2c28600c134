"""
Several servers, each with its own Postfix, daemons and replica, and two LDAP servers, set up by what
doc/several-servers.md says; while mail flows one part after the other is killed and comes back (the
table there, row by row), the secret is changed, and a node is upgraded (its commands).
"""

import collections
import glob
import os
import re
from concurrent.futures import ThreadPoolExecutor

import pytest

from support.flow import Flow
from support.ldif import connector, custom, domain, group, mailbox
from support.nodes import MANUAL, Estate
from support.rotation import Secrets
from support.wait import wait_for

KNOWN, UNKNOWN, RELAY = "bob@acme.example", "nobody@acme.example", "joe@elsewhere.example"

FATES = {
    "bob@acme.example": {("mailboxes", "bob@acme.example")},
    "adam@acme.example": {("old", "adam@old.example")},
    "carol@acme.example": {("outside", "carol@outside.example")},
    "both@acme.example": {("mailboxes", "both@acme.example"), ("outside", "copy@outside.example")},
    "staff@acme.example": {("mailboxes", "bob@acme.example"), ("outside", "carol@outside.example")},
}
REFUSALS = {UNKNOWN: "550 5.1.1", RELAY: "554 5.7.1", "board@acme.example": "550 5.7.1"}


def directory(estate):
    return "".join([
        domain("acme.example", "shared"),
        connector("old", estate.sinks["old"].hop, addressSpace="SMTP:old.example"),
        mailbox("bob", "bob@acme.example"),
        mailbox("adam", "adam@acme.example", forwardingAddress="adam@old.example"),
        mailbox("board", "board@acme.example", requireAuth="TRUE"),
        mailbox("both", "both@acme.example", forwardingAddress="copy@outside.example",
                deliverAndRedirect="TRUE"),
        custom("carol", "SMTP:carol@outside.example", "carol@acme.example"),
        group("staff", "staff@acme.example", ["bob", "carol"]),
    ])


@pytest.fixture(name="estate", scope="module")
def _estate(module_folder):
    estate = Estate(module_folder, directory, '''unknown_defer_after = "3s"
srs {
  enable = true
  domain = "srs.acme.example"
}''')
    yield estate
    estate.close()


@pytest.fixture(name="flow", scope="module")
def _flow(estate):
    flow = Flow(estate.nodes, estate.sinks, FATES, REFUSALS,
                {"adam@old.example": "adam@acme.example"}).start()
    yield flow
    flow.halt()


@pytest.fixture(autouse=True)
def _mail_flows(request, estate, flow):
    """At all nodes when a row is over; and the client is in doubt only where a machine dies."""
    doubts = flow.doubts()
    yield
    if flow.is_on():
        assert_answers(estate.nodes, "nothing")
        flow.wait_more()
        flow.settle()
    if "a_machine" not in request.node.name:
        assert flow.doubts() == doubts


def rows():
    """{what dies: [answers to a known recipient, to an unknown one, to relaying]}"""
    with open(MANUAL, encoding="utf-8") as manual:
        lines = [line.strip("|\n ").split("|") for line in manual if line.startswith("| ")]
    at = next(n for n, line in enumerate(lines) if line[0].strip() == "dies")
    return {what.strip(): [re.findall(r"`(\d{3}(?: \d\.\d\.\d)?|no answer)`", cell) for cell in cells[:3]]
            for what, *cells in lines[at + 2:] if len(cells) == 4}


ROWS = rows()
PROVED = set()


def assert_answers(nodes, row, is_early=False):
    """
    What the manual says that such a node answers. Where it gives two, the second is waited for, or
    with is_early either will do.
    """
    def ask(node, address, answers):
        assert answers, row
        node.wait_answer(address, *(answers if is_early else answers[-1:]))

    PROVED.add(row)
    with ThreadPoolExecutor(3 * len(nodes)) as pool:
        list(pool.map(ask, *zip(*((node, address, answers) for node in nodes for address, answers in
                                  zip((KNOWN, UNKNOWN, RELAY), ROWS[row])))))


_numbers = iter(range(1000))


def add_somebody(server):
    """A new mailbox there; its address."""
    name = f"new{next(_numbers)}"
    server.add(mailbox(name, f"{name}@acme.example"))
    return f"{name}@acme.example"


def wait_known(nodes, address):
    for node in nodes:
        node.wait_answer(address, "250")


def test_with_nothing_dead(estate, flow):
    for server in estate.providers.both:
        wait_known(estate.nodes, add_somebody(server))
    flow.wait_more()


@pytest.mark.parametrize("number,how", [(0, "killed"), (1, "cut off")])
def test_one_ldap_server(estate, flow, number, how):
    servers = estate.providers
    server, host, other = servers.both[number], servers.hosts[number], servers.both[1 - number]
    die, revive = (server.kill, server.start) if how == "killed" else (host.cut, host.join)
    die()
    wait_known(estate.nodes, add_somebody(other))
    assert_answers(estate.nodes, "one LDAP server")
    flow.wait_more()
    revive()
    servers.wait_in_step()
    wait_known(estate.nodes, add_somebody(server))


def test_both_ldap_servers(estate, flow):
    servers = estate.providers
    servers.hosts[0].cut()
    servers.second.kill()
    assert_answers(estate.nodes, "both LDAP servers")
    flow.wait_more()
    servers.second.start()
    servers.hosts[0].join()
    servers.wait_in_step()
    wait_known(estate.nodes, add_somebody(servers.second))


EACH = pytest.mark.parametrize("number", [0, 1, 2], ids=["mx1", "mx2", "mx3"])


@EACH
def test_syncd_of_a_node(estate, flow, number):
    node, others = estate.nodes[number], [n for n in estate.nodes if n is not estate.nodes[number]]
    node.syncd.kill()
    address = add_somebody(estate.providers.first)
    wait_known(others, address)
    assert node.answer(address) in ROWS["coexist-syncd of a node"][1]
    assert_answers([node], "coexist-syncd of a node", is_early=number != 0)
    if number == 0:
        assert node.answer(address) == "451 4.3.0"
    flow.wait_more()
    node.syncd.start()
    wait_known([node], address)


@pytest.mark.parametrize("numbers", [(0,), (1, 2)], ids=["mx1", "mx2 and mx3"])
@pytest.mark.parametrize("name", ["policyd", "milter"])
def test_daemon_of_a_node(estate, flow, name, numbers):
    """Where it dies on two of them at once the third takes all mail."""
    nodes = [estate.nodes[number] for number in numbers]
    flow.strike(*(getattr(node, name).kill for node in nodes))
    address = add_somebody(estate.providers.first)
    assert_answers(nodes, f"coexist-{name} of a node")
    for node in nodes:
        wait_for(lambda n=node: n.resolve(address)[0] == 0, f"{address} in the replica")
    # Postfix waits a second for each recipient where policyd is dead.
    flow.wait_more(10 if name == "milter" else 3)
    for node in nodes:
        getattr(node, name).start()
        if name == "policyd":
            forget_failures(estate, node, address)
    wait_known(estate.nodes, address)


def forget_failures(estate, node, address):
    """As the manual says, when the node knows the address: an smtpd keeps failed look-ups."""
    wait_known([node], address)
    reload_postfix, = estate.page.part("What happens when a part dies")
    estate.page.play(reload_postfix, node.host)


def test_the_replica_of_a_node(estate, flow):
    """Something writes into it while it is in use."""
    node, others = estate.nodes[2], estate.nodes[:2]
    path = os.path.realpath(f"{node.replica}/current")
    with open(path, "r+b") as file:
        file.seek(2 * os.sysconf("SC_PAGESIZE"))  # the first two say what is in force
        file.write(bytes(os.stat(path).st_size - file.tell()))
    assert_answers([node], "the replica of a node (damaged, or gone)")
    address = add_somebody(estate.providers.first)
    wait_known(others, address)
    flow.wait_more()
    # It notices, and the service manager starts it again.
    wait_for(lambda: not node.syncd.is_running(), "coexist-syncd to give the replica up")
    assert node.syncd.child.process.returncode == os.EX_SOFTWARE
    assert node.syncd.log_lines("the replica is given up; the next start makes"), node.syncd.log_text()
    node.syncd.start()
    forget_failures(estate, node, address)


def kill_with_a_queue(node, flow, sinks, kill):
    """
    While it is not in the middle of a delivery: an MTA that dies between the answer of the next
    one and its own note of that delivers once more, whatever becomes of us.
    """
    def busy(stage, *_):
        return "451 4.3.2 not now" if stage == "MAIL" else None
    for sink in sinks.values():
        sink.rules.append(busy)
    under_way = set(node.postfix.queued().get("active", []))
    wait_for(lambda: not under_way & set(node.postfix.queued().get("active", [])),
             "deliveries to end")
    wait_for(lambda: len(node.queued()) >= 5, "a queue")
    flow.strike(kill)
    left = len(node.queued())
    for sink in sinks.values():
        sink.rules.remove(busy)
    assert left >= 5
    flow.wait_more()


@pytest.mark.parametrize("number,replica", [(0, "its own"), (2, "none")])
def test_a_machine(estate, flow, number, replica):
    node, others = estate.nodes[number], [n for n in estate.nodes if n is not estate.nodes[number]]
    kill_with_a_queue(node, flow, estate.sinks, node.kill)
    address = add_somebody(estate.providers.first)
    assert_answers([node], "a node")
    wait_known(others, address)
    if replica == "none":
        for path in glob.glob(f"{node.replica}/*"):
            os.unlink(path)
        node.revive_without_syncd()
        assert_answers([node], "the replica of a node (damaged, or gone)")
        node.syncd.start()
        forget_failures(estate, node, address)
    else:
        node.revive()
        wait_known([node], address)


def test_postfix_of_a_machine(estate, flow):
    """All of its processes at once."""
    node = estate.nodes[1]
    kill_with_a_queue(node, flow, estate.sinks, node.postfix.close)
    address = add_somebody(estate.providers.first)
    assert_answers([node], "Postfix of a node")
    wait_for(lambda: node.resolve(address)[0] == 0, f"{address} in the replica")
    node.postfix.start()
    wait_known([node], address)


def test_the_network_of_a_machine(estate, flow):
    node, others = estate.nodes[1], [estate.nodes[0], estate.nodes[2]]
    node.host.cut()
    address = add_somebody(estate.providers.first)
    assert_answers([node], "a node")
    wait_known(others, address)
    flow.wait_more()
    node.host.join()
    wait_known([node], address)


def test_the_secret_is_changed(estate, flow):
    Secrets(estate, flow).change()
    flow.wait_more()


def test_an_upgrade(estate, flow):
    flow.strike(lambda: estate.page.play_part("Upgrade"))
    wait_known(estate.nodes, add_somebody(estate.providers.first))
    flow.wait_more()


def test_the_books(estate, flow):
    """What became of all that mail."""
    flow.stop()
    flow.judge()
    taken = collections.Counter(a.node for a in flow.attempts.values() if a.state == "taken")
    assert taken.keys() == {node.name for node in estate.nodes}
    # Mail that was forwarded by one node and came back to another.
    assert [a for a in flow.attempts.values() if a.state == "taken" and a.came_by not in ("", a.node)]
    dumps = {node.ctl("dump", check=True).stdout for node in estate.nodes}
    assert len(dumps) == 1 and "new0@acme.example" in dumps.pop()


def test_the_order_of_the_steps_matters(estate, flow):
    """Behind the books: what is done there sends mail round."""
    Secrets(estate, flow).change_in_the_wrong_order()


def test_all_of_the_manual_was_proved(estate):
    assert PROVED == set(ROWS) and len(ROWS) == 9
    estate.page.assert_all_typed()
