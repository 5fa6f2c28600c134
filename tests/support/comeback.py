"""Mail that leaves and comes back, as another system returns it."""

import re

from .smtp import Client
from .wait import wait_for

# From a client of its own machine Postfix completes missing headers; ours shall be foreign.
SETTINGS = {"local_header_rewrite_clients": ""}
TRACE = "X-Coexist-Forwarded"


def headers_of(message):
    """The header lines that another system hands on; folded ones are one."""
    head = message.data.split(b"\r\n\r\n", 1)[0].decode()
    lines = re.split(r"\r\n(?![ \t])", head)
    return [line for line in lines if not line.lower().startswith(("received:", "return-path:"))]


def send_first(site, recipients, sink, headers=None, port=None, ledger=None):
    """
    Mail to these; (its id, what arrived in the sink). headers: instead of those that a ledger
    writes, as a list of lines with "{id}". port: another smtpd of the site's. ledger: one with
    more sinks than the site has.
    """
    recipients = [recipients] if isinstance(recipients, str) else recipients
    ledger = ledger or site.ledger()
    ledger_id = ledger.new_id()
    with Client("127.0.0.1", port or site.postfix.port) as client:
        assert client.mail("s@sender.example").ok
        for recipient in recipients:
            assert client.rcpt(recipient).ok
        message = ledger.message(ledger_id, "s@sender.example", recipients)
        if headers is not None:
            message = "\n".join(headers).replace("{id}", ledger_id) + "\n\nHello.\n"
        assert client.data(message).ok
    wait_for(lambda: ledger.messages(ledger_id, sink), lambda: site.postfix.log_text()[-4000:])
    wait_for(ledger.queues_are_empty, "the queues to drain")
    message, = ledger.messages(ledger_id, sink)
    return ledger_id, message


def send_back(site, ledger_id, fates, headers, body="Hello.\r\n", sender="s@sender.example",
              mail_params="", rcpt_params=None, ledger=None):
    """
    The message once more, from outside, with these headers; all of it must come to pass. The
    reply to it.
    """
    ledger = ledger or site.ledger()
    ledger.expect(ledger_id, *fates.values())
    with site.connect() as client:
        assert client.mail(sender, mail_params).ok
        for recipient in fates:
            assert client.rcpt(recipient, (rcpt_params or {}).get(recipient, "")).ok
        reply = client.data("\r\n".join(headers) + "\r\n\r\n" + body)
        if reply.ok:
            ledger.balance()
        return reply
