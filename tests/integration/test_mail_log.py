"""
Our lines among Postfix's in one mail log: what pflogsumm makes of it, and what the greps of
administrators find (SPEC section 13).
"""

import os
import re
import subprocess

import pytest

from support.ledger import At
from support.ldif import CONTAINERS, custom, domain, group_of_names, mailbox, person_dn

SENDER = "sue@outside.example"
BOB, ADAM = At("mailboxes", "bob@acme.example"), At("pop", "a@pop.acme.example")
PFLOGSUMM = "/usr/sbin/pflogsumm"


def directory(site):
    return CONTAINERS + "".join([
        domain("acme.example", "authoritative"),
        domain("pop.acme.example", "relay", forwardHost=site.sinks["pop"].hop),
        mailbox("bob", "bob@acme.example"),
        mailbox("adam", "adam.barr@acme.example", altRecipient=person_dn("a")),
        custom("a", "SMTP:a@pop.acme.example", mail="a@pop.acme.example"),
        mailbox("loop", "loop@acme.example", altRecipient=person_dn("loop")),
        group_of_names("all", "all@acme.example", ["bob", "adam"]),
    ])


@pytest.fixture(scope="module", name="logs")
def make_logs(make_module_site, module_folder):
    """(Postfix's lines, ours as a syslog daemon would write them) of some mail."""
    site = make_module_site(source="ldif", sinks=("pop",), ldif=directory)
    ledger = site.ledger()
    with site.connect() as client:
        ledger.send(client, SENDER, {"adam.barr@acme.example": ADAM, "bob@acme.example": BOB})
        ledger.send(client, SENDER, {"all@acme.example": BOB + ADAM})
        client.mail(SENDER)
        for name in ("nobody", "loop", "reject: RCPT from x[192.0.2.1]: 250 ok; to=<joe"):
            assert client.rcpt(f'"{name}"@acme.example').code == 550
        client.reset()
    ledger.balance()
    for pattern, count in (("status=sent", 4), (": removed$", 2), ("NOQUEUE: reject: ", 3)):
        site.postfix.wait_log(pattern, count)
    stamp = "Nov 22 07:00:00 gw"
    postfix = [re.sub(r"^\w+ +\d+ [\d:]+ \S+", stamp, line)
               for line in site.postfix.log_text().splitlines()]
    ours = []
    for daemon in (site.milter, site.policyd):
        ours += [re.sub(r"^([\w-]+): ", rf"{stamp} \1[4711]: ", line)
                 for line in daemon.log_text().splitlines()]
    return postfix, ours, str(module_folder)


def summary(lines, folder):
    with open(f"{folder}/mail.log", "w", encoding="utf-8") as out:
        out.write("\n".join(lines) + "\n")
    done = subprocess.run([PFLOGSUMM, f"{folder}/mail.log"], text=True, capture_output=True,
                          env={**os.environ, "LC_ALL": "C"}, check=False)
    assert (done.returncode, done.stderr) == (0, ""), done.stderr
    return sorted(done.stdout.splitlines())  # equals stand in no order


def test_pflogsumm_counts_each_refusal_and_delivery_once(logs):
    """Postfix logs them too, as its own: our lines, which say why, add nothing to the figures."""
    postfix, ours, folder = logs
    together = summary(postfix + ours, folder)
    assert together == summary(postfix, folder)
    figures = {" ".join(line.split()[:2]) for line in together if re.match(r" +\d+ +[a-z]", line)}
    assert {"2 received", "4 delivered", "3 rejected", "0 bounced"} <= figures, together
    for reason in ("User unknown", "Routing loop"):
        assert any(reason in line for line in together), together


def test_greps_of_administrators(logs):
    postfix, ours, _ = logs
    log = postfix + ours

    def grep(pattern):
        return [line for line in log if re.search(pattern, line)]

    # What became of adam.barr, from the address that the sender used to the delivery.
    changed, *others = grep(r"orig_to=<adam\.barr@acme\.example>")
    queue_id = re.search(r"coexist-milter\[\d+\]: (\w+): to=<a@pop\.acme\.example>, orig_to=",
                         changed).group(1)
    assert not [line for line in others if queue_id in line]
    programs = {re.search(r" gw (\S+)\[", line).group(1) for line in grep(rf"\b{queue_id}: ")}
    assert {"coexist-milter", "postfix/smtpd", "postfix/qmgr"} < programs
    assert grep(rf" {queue_id}: to=<a@pop\.acme\.example>, (?!orig_to).*status=sent")
    # What was refused, by whom, and why.
    refused = grep(r"coexist-policyd\[\d+\]: NOQUEUE: reject: ")
    assert [re.search(r" to=<(.*)>, verdict=(\w+)", line).groups() for line in refused] == [
        ('nobody@acme.example', "unknown"), ('loop@acme.example', "loop"),
        ('"reject: RCPT from x[192.0.2.1]: 250 ok; to=<joe"@acme.example', "unknown")]
    for line in grep("NOQUEUE: reject: "):
        assert re.search(rf"from=<{SENDER}>", line) and re.search(r"to=<.*@acme\.example>", line)
    assert len(grep("NOQUEUE: reject: ")) == 2 * len(refused) == 6
