"""
A private Dovecot: POP3 and LMTP for the mailboxes of one mail system, and SASL for a Postfix,
all from the private slapd. Nobody's password is known to it: users bind.
"""

import os
import poplib
import pwd
import re

from .sink import Message, Recipient
from .wait import PATIENCE, Child, can_connect, free_port, wait_for

CONF = """\
base_dir = {folder}/run
state_dir = {folder}/state
instance_name = {name}
log_path = /dev/stderr
protocols = pop3 lmtp
listen = 127.0.0.1
ssl = no
disable_plaintext_auth = no
hostname = {name}.dovecot.example
postmaster_address = postmaster@{name}.dovecot.example
mail_location = maildir:~/Maildir
first_valid_uid = 1
auth_mechanisms = plain login
auth_failure_delay = 0
auth_verbose = yes
passdb {{
  driver = ldap
  args = {folder}/ldap.conf
}}
userdb {{
  driver = ldap
  args = {folder}/ldap.conf
}}
service pop3-login {{
  inet_listener pop3 {{
    port = {pop3_port}
  }}
  inet_listener pop3s {{
    port = 0
  }}
}}
service lmtp {{
  inet_listener lmtp {{
    port = {lmtp_port}
  }}
}}
service anvil {{
  # Tests give wrong passwords on purpose.
  unix_listener anvil-auth-penalty {{
    mode = 0
  }}
}}
service auth {{
{sasl}
}}
"""

SASL = """\
  unix_listener {path} {{
    mode = 0660
    user = postfix
    group = postfix
  }}
"""

# Logins are uid or mail, and stay as they were typed: what the mail server makes of either is
# what is tested. A mailbox is found by each of the addresses of its object.
LDAP_CONF = """\
uris = {uri}
dn = {dn}
dnpass = {password}
auth_bind = yes
base = ou=people,{suffix}
scope = subtree
pass_attrs = =user=%u
pass_filter = (&(objectClass={kind})(|(uid=%u)(mail=%u)))
user_attrs = uid=user, =uid={uid}, =gid={gid}, =home={folder}/mail/%{{ldap:uid}}
user_filter = (&(objectClass={kind})(|(uid=%u)(mail=%u)(coexistProxyAddress=smtp:%u)\
(coexistTargetAddress=smtp:%u)(coexistTargetAddress=%u)))
"""


class Dovecot:
    """
    Holds the mailboxes of all objects of class `kind`. sasl: where to put a socket for
    Postfix's smtpd. To a ledger it is a sink, whose messages are what POP3 hands to `users`
    ({login: password}).
    """

    def __init__(self, folder, name, users=None, kind="inetOrgPerson", sasl=None):
        self.folder = str(folder)
        self.name = name
        self.users = dict(users or {})
        self.pop3_port = free_port()
        self.lmtp_port = free_port()
        self.log = f"{self.folder}/dovecot.log"
        self.child = None
        self._messages = []
        self._seen = set()  # (login, UIDL)
        self._owner = pwd.getpwnam("nobody")
        self._kind = kind
        for part, mode in (("", 0o755), ("/run", 0o755), ("/state", 0o755), ("/mail", 0o700)):
            os.makedirs(self.folder + part)
            os.chmod(self.folder + part, mode)
        os.chown(f"{self.folder}/mail", self._owner.pw_uid, self._owner.pw_gid)
        self._write("dovecot.conf", CONF.format(
            folder=self.folder, name=name, pop3_port=self.pop3_port, lmtp_port=self.lmtp_port,
            sasl=SASL.format(path=sasl) if sasl else ""))

    def _write(self, name, text):
        with open(f"{self.folder}/{name}", "w", encoding="utf-8") as out:
            out.write(text)
        os.chmod(f"{self.folder}/{name}", 0o600)

    @property
    def hop(self):
        """Of its LMTP, in Postfix's syntax."""
        return f"lmtp:inet:127.0.0.1:{self.lmtp_port}"

    def start(self, slapd):
        self._write("ldap.conf", LDAP_CONF.format(
            uri=slapd.uri, dn=slapd.service_dn, password=slapd.service_password,
            suffix=slapd.suffix, kind=self._kind, folder=self.folder,
            uid=self._owner.pw_uid, gid=self._owner.pw_gid))
        self.child = Child(["/usr/sbin/dovecot", "-F", "-c", f"{self.folder}/dovecot.conf"],
                           self.log)
        wait_for(lambda: not self.child.is_running() or can_connect("127.0.0.1", self.pop3_port)
                 and can_connect("127.0.0.1", self.lmtp_port), "Dovecot to listen")
        assert self.child.is_running(), self.child.log_text()
        return self

    def login(self, user, password):
        """An open POP3 connection; poplib.error_proto where Dovecot says no."""
        client = poplib.POP3("127.0.0.1", self.pop3_port, timeout=PATIENCE * 2)
        try:
            client.user(user)
            client.pass_(password)
        except BaseException:
            client.close()
            raise
        return client

    def read(self, user):
        """[(UIDL, message)] of all that POP3 has for that user."""
        client = self.login(user, self.users[user])
        try:
            found = []
            for line in client.uidl()[1]:
                number, uidl = line.decode().split()
                found.append((uidl, as_message(client.retr(int(number))[1])))
            return found
        finally:
            client.quit()

    def snapshot(self):
        """All messages that users ever got, the oldest reading first."""
        for user in self.users:
            for uidl, message in self.read(user):
                if (user, uidl) not in self._seen:
                    self._seen.add((user, uidl))
                    self._messages.append(message)
        return list(self._messages)

    def count(self):
        return len(self.snapshot())

    def retire(self, user):
        """Reads that mailbox a last time: its account will go."""
        self.snapshot()
        del self.users[user]

    def log_lines(self, pattern):
        return [line for line in self.child.log_text().splitlines() if re.search(pattern, line)]

    def close(self):
        if self.child:
            self.child.terminate()
            assert not self.log_lines(r"(Fatal|Panic): "), self.child.log_text()


def as_message(lines):
    """A delivered message with the envelope that LMTP wrote into it."""
    message = Message("", {}, [], b"\r\n".join(lines) + b"\r\n")
    message.sender = message.header("Return-Path")[0].strip("<>")
    message.recipients = [Recipient(message.header("Delivered-To")[0].strip("<>"), {})]
    return message
