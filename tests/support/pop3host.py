"""
Mail systems with a real Dovecot: the POP3 host, which has a Postfix of its own, and the
mailboxes of a site, whose owners log in here.

Both are made before the directory (in a site's `ldif` function) and added by add_system().
"""

import os

from .dovecot import Dovecot
from .postfix import Postfix

POP3_HOST = "127.0.0.2"  # where the POP3 host connects from


class Here:
    """The mailboxes of the site itself: its sink "mailboxes", read by POP3."""

    postfixes = ()

    def __init__(self, site, users):
        site.sinks["mailboxes"].close()
        self.dovecot = Dovecot(f"{site.folder}/mailboxes", "mailboxes", users, "coexistMailbox")
        self.sinks = {"mailboxes": self.dovecot}

    def start(self, slapd):
        self.dovecot.start(slapd)

    def close(self):
        self.dovecot.close()


class Logins:
    """SASL for the site's own Postfix, from a Dovecot that has no mailboxes. See SETTINGS."""

    postfixes = ()
    sinks = {}

    def __init__(self, site):
        self.dovecot = Dovecot(f"{site.folder}/logins", "logins",
                               sasl=f"{site.postfix.queue}/private/auth")

    def start(self, slapd):
        self.dovecot.start(slapd)

    def close(self):
        self.dovecot.close()


# Of each Postfix that delivers to Dovecot: Delivered-To is there for a single recipient.
ONE_BY_ONE = {"lmtp_destination_recipient_limit": "1"}

# Of a Postfix whose mailboxes are Here and whose users log in by Dovecot (class Logins).
SETTINGS = {
    **ONE_BY_ONE, "smtpd_sasl_auth_enable": "yes", "smtpd_sasl_type": "dovecot",
    "smtpd_sasl_path": "private/auth", "smtpd_sasl_security_options": "noanonymous",
}


class Pop3Host:
    """
    A POP3 server with its own Postfix, whose smart host is the site's. It holds the mailboxes
    of `addresses`: all of them in a domain of its own, or (shared=...) in a domain that it
    shares with the site, to which it gives what it does not have itself.
    Sink "pop": what its users read by POP3.
    """

    def __init__(self, site, users, addresses, domain=None, shared=None, settings=None):
        folder = f"{site.folder}/pop3"
        os.makedirs(folder)
        self.dovecot = Dovecot(f"{folder}/dovecot", "pop", users, "coexistCustomRecipient")
        self.sinks = {"pop": self.dovecot}
        smart_host = f"[127.0.0.1]:{site.postfix.port}"
        table = f"{folder}/addresses"
        with open(table, "w", encoding="utf-8") as out:
            out.writelines(f"{address} {self.dovecot.hop}\n" for address in addresses)
            if shared:
                out.write(f"{shared} smtp:{smart_host}\n")
        mine = {"relay_domains": shared, "transport_maps": f"texthash:{table}"} if shared else {
            "virtual_mailbox_domains": domain, "virtual_mailbox_maps": f"texthash:{table}",
            "virtual_transport": self.dovecot.hop}
        self.postfix = Postfix(f"{folder}/postfix", "pop3", smart_host, {
            "mynetworks": "198.51.100.0/24", "smtp_bind_address": POP3_HOST,
            "smtpd_relay_restrictions": "permit_mynetworks, reject_unauth_destination",
            **ONE_BY_ONE, **mine, **(settings or {})})
        self.postfixes = [self.postfix]

    @property
    def hop(self):
        """Of its SMTP service, in Postfix's syntax."""
        return f"smtp:[127.0.0.1]:{self.postfix.port}"

    def connect(self):
        """As one of its POP3 clients, on its own network."""
        return self.postfix.connect(xclient={"addr": "198.51.100.7"})

    def start(self, slapd):
        self.dovecot.start(slapd)
        self.postfix.start()

    def close(self):
        try:
            self.dovecot.close()
        finally:
            self.postfix.close()
