"""
A small organisation on an installed slapd and an installed Postfix, for tests of the installed
packages: what an administrator would do, from the schema to main.cf, and mail through it.
"""

import os
import re
import smtplib
import socketserver
import subprocess
import threading
import time

SERVICES = ("coexist-syncd", "coexist-milter", "coexist-policyd")
CONF = "/etc/coexist/coexist.conf"
SUFFIX = "dc=acme,dc=example"
ADMIN_PASSWORD = "admin's"
# What a shell, debconf and a file may stumble over; a password does not end in a blank.
PASSWORD = r"""S3cret "#\$\n` 'x"""
MAILBOXES, POP = 2525, 2526  # ports of the sinks: mailboxes here, and the other system

ORGANISATION = f"""\
dn: ou=services,{SUFFIX}
objectClass: organizationalUnit
ou: services

dn: ou=groups,{SUFFIX}
objectClass: organizationalUnit
ou: groups

dn: cn=coexist,ou=services,{SUFFIX}
objectClass: organizationalRole
objectClass: simpleSecurityObject
cn: coexist
userPassword: {PASSWORD}

dn: cn=mail administrators,ou=groups,{SUFFIX}
objectClass: groupOfNames
cn: mail administrators
member: cn=admin,{SUFFIX}

dn: ou=people,{SUFFIX}
objectClass: organizationalUnit
ou: people

dn: associatedDomain=acme.example,{SUFFIX}
objectClass: coexistDomain
associatedDomain: acme.example
coexistDomainType: shared

dn: associatedDomain=pop.acme.example,{SUFFIX}
objectClass: coexistDomain
associatedDomain: pop.acme.example
coexistDomainType: relay
coexistForwardHost: pop

dn: cn=pop,{SUFFIX}
objectClass: coexistConnector
cn: pop
coexistNextHop: smtp:[127.0.0.1]:{POP}

dn: uid=anna,ou=people,{SUFFIX}
objectClass: inetOrgPerson
objectClass: coexistMailbox
uid: anna
cn: Anna
sn: Anna
mail: anna@acme.example

dn: uid=adam.barr,ou=people,{SUFFIX}
objectClass: inetOrgPerson
objectClass: coexistMailbox
uid: adam.barr
cn: Adam Barr
sn: Barr
mail: adam.barr@acme.example
coexistAltRecipient: cn=Adam,ou=people,{SUFFIX}

dn: cn=Adam,ou=people,{SUFFIX}
objectClass: person
objectClass: coexistCustomRecipient
cn: Adam
sn: Barr
coexistTargetAddress: adam@pop.acme.example
"""


def run(*command, stdin=None, check=True, env=None):
    done = subprocess.run(command, input=stdin, text=True, capture_output=True, check=False,
                          env={**os.environ, **(env or {})})
    if check and done.returncode != 0:
        raise AssertionError(f"{' '.join(command)}: exit {done.returncode}\n{done.stdout}{done.stderr}")
    return done


def wait_for(is_true, what, seconds=60):
    until = time.monotonic() + seconds
    while not is_true():
        assert time.monotonic() < until, f"not within {seconds} s: {what() if callable(what) else what}"
        time.sleep(0.1)


def is_systemd():
    return os.path.isdir("/run/systemd/system")


# --- the directory ---

def set_up_directory():
    """slapd with our suffix, the schema by coexist-load-schema, and the organisation."""
    admin = run("ldapwhoami", "-x", "-H", "ldap://127.0.0.1", "-D", f"cn=admin,{SUFFIX}", "-w", ADMIN_PASSWORD,
                check=False)
    if admin.returncode != 0:  # another suffix, or a password that nobody knows: as slapd is when nobody answers
        answers = "".join(f"slapd slapd/{key}\n" for key in (
            "domain string acme.example", "no_configuration boolean false",
            "move_old_database boolean true", f"password1 password {ADMIN_PASSWORD}",
            f"password2 password {ADMIN_PASSWORD}"))
        run("debconf-set-selections", stdin=answers)
        run("dpkg-reconfigure", "-fnoninteractive", "slapd")
    before = config_of_slapd()
    said = run("coexist-load-schema", "--suffix", SUFFIX).stdout
    assert "Nothing was changed" in said and "to do: load the schema" in said, said
    assert config_of_slapd() == before, "without --yes it changed the server"
    said = run("coexist-load-schema", "--suffix", SUFFIX, "--yes").stdout
    assert said.count("done:") == 8, said
    said = run("coexist-load-schema", "--suffix", SUFFIX, "--yes").stdout
    assert "done" not in said, said
    run("ldapadd", "-x", "-H", "ldap://127.0.0.1", "-D", f"cn=admin,{SUFFIX}", "-w", ADMIN_PASSWORD,
        stdin=ORGANISATION)


def config_of_slapd():
    return run("ldapsearch", "-Q", "-LLL", "-Y", "EXTERNAL", "-H", "ldapi:///", "-b", "cn=config").stdout


# --- Coexist ---

def preseed():
    run("debconf-set-selections", stdin=f"""\
coexist coexist/ldap-uri string ldap://127.0.0.1
coexist coexist/ldap-base string {SUFFIX}
coexist coexist/bind-dn string cn=coexist,ou=services,{SUFFIX}
coexist coexist/bind-password password {PASSWORD}
""")


def set_keys(path, **keys):
    """Each stands there as a comment."""
    with open(path, encoding="utf-8") as source:
        text = source.read()
    for key, value in keys.items():
        assert text.count(f'\t#{key} = ""') == 1, key
        text = text.replace(f'\t#{key} = ""', f'\t{key} = "{value}"')
    with open(CONF, "w", encoding="utf-8") as out:
        out.write(text)


def configure_by_hand():
    """Five lines: the four that debconf would ask for, and where mailboxes are."""
    with open("/etc/coexist/ldap.secret", "w", encoding="ascii") as out:
        out.write(f"{PASSWORD}\n")
    run("chown", "coexist-sync", out.name)
    run("chmod", "600", out.name)
    set_keys("/usr/share/coexist/coexist.conf.template", uri="ldap://127.0.0.1", base=SUFFIX,
             bind_dn=f"cn=coexist,ou=services,{SUFFIX}", bind_password_file=out.name,
             mailbox_transport=f"smtp:[127.0.0.1]:{MAILBOXES}")


def set_mailbox_transport():
    """What an administrator changes in coexist.conf: the fifth line."""
    set_keys(CONF, mailbox_transport=f"smtp:[127.0.0.1]:{MAILBOXES}")


def verdict(address):
    return run("coexistctl", "resolve", address, check=False).returncode


# --- Postfix ---

def set_up_postfix():
    """The lines of "coexistctl postfix" as they are, in the place of what they name."""
    lines = run("coexistctl", "postfix", "--role", "gateway").stdout
    main = lines.split("# master.cf")[0]
    for name in re.findall(r"^([a-z_]+) *=", main, re.MULTILINE):
        run("postconf", "-X", name)
    run("postconf", "-e", "myhostname=mx.acme.example", "mydestination=localhost", "myorigin=localhost",
        "inet_interfaces=loopback-only", "inet_protocols=ipv4", "minimal_backoff_time=300s")
    with open("/etc/postfix/main.cf", "a", encoding="utf-8") as out:
        out.write(main)
    run("postfix", "check")
    if is_systemd():
        run("systemctl", "restart", "postfix")
    else:
        run("postfix", "reload")


def send(recipient, sender="sue@outside.example", subject="hello"):
    """The reply that decided, (code, text), as a server from outside gets it."""
    with smtplib.SMTP("127.0.0.1", 25, timeout=60) as client:
        try:
            client.sendmail(sender, [recipient], f"From: <{sender}>\nTo: <{recipient}>\n"
                            f"Message-ID: <{time.monotonic_ns()}@outside.example>\n"
                            f"Subject: {subject}\n\nHello.\n")
        except smtplib.SMTPRecipientsRefused as refused:
            code, text = refused.recipients[recipient]
            return code, text.decode()
        except smtplib.SMTPResponseException as failed:
            return failed.smtp_code, failed.smtp_error.decode()
    return 250, ""


class Sink:
    """Takes all mail on a port: messages is [(recipients, subject, text)]."""

    def __init__(self, port):
        self.messages = []
        self.lock = threading.Lock()
        sink = self

        class Handler(socketserver.StreamRequestHandler):
            def reply(self, text):
                self.wfile.write(text.encode() + b"\r\n")

            def handle(self):
                try:
                    self.converse()
                except ConnectionError:
                    pass  # Postfix hangs up as it likes

            def converse(self):
                recipients = []
                self.reply("220 sink")
                for line in self.rfile:
                    command = line.decode().strip()
                    if command.upper() == "DATA":
                        self.reply("354 go on")
                        body = b"".join(iter(self.rfile.readline, b".\r\n")).decode()
                        subject = re.search(r"^Subject: (.*?)\r?$", body, re.MULTILINE)
                        with sink.lock:
                            sink.messages.append((recipients, subject[1], body))
                        recipients = []
                    elif command.upper().startswith("RCPT TO:"):
                        recipients.append(command[8:].split(">")[0].strip(" <"))
                    self.reply("221 bye" if command.upper() == "QUIT" else "250 ok")

        class Server(socketserver.ThreadingTCPServer):
            allow_reuse_address = True
            daemon_threads = True

        self.server = Server(("127.0.0.1", port), Handler)
        threading.Thread(target=self.server.serve_forever, daemon=True).start()

    def subjects(self):
        with self.lock:
            return [subject for _, subject, _ in self.messages]

    def close(self):
        self.server.shutdown()
        self.server.server_close()
