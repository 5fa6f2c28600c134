"""The Postfix side of SRS (coexist-milter(8)), and Debian's postsrsd beside it."""

import os
import socket
import subprocess
from string import punctuation
from urllib.parse import quote, unquote

from .wait import can_connect, free_port, wait_for

# The re-injection hop, as "coexistctl postfix" prints it (test_postfix_settings.py compares).
HOP = """\
coexist-srs unix - - y - - smtp
  -o smtp_bind_address=127.0.0.1
  -o smtp_tls_security_level=none
  -o smtp_sasl_auth_enable=no
  -o smtp_fallback_relay=
  -o smtp_discard_ehlo_keywords=
  -o smtp_discard_ehlo_keyword_address_maps=
  -o smtp_generic_maps=
  -o smtp_header_checks=
  -o smtp_mime_header_checks=
  -o smtp_nested_header_checks=
  -o smtp_body_checks=
coexist-srs-cleanup unix n - y - 0 cleanup
  -o always_bcc=
  -o sender_bcc_maps=
  -o recipient_bcc_maps=
  -o message_size_limit=0
127.0.0.1:{port} inet n - y - - smtpd
  -o cleanup_service_name=coexist-srs-cleanup
  -o message_size_limit=0
  -o local_header_rewrite_clients=
  -o smtpd_discard_ehlo_keywords=
  -o smtpd_discard_ehlo_keyword_address_maps=
  -o smtpd_client_event_limit_exceptions=static:all
  -o {{ smtpd_milters = {{ unix:coexist/milter, connect_timeout=5s, default_action=tempfail }} }}
  -o smtpd_milter_maps=
  -o smtpd_client_restrictions=
  -o smtpd_helo_restrictions=
  -o smtpd_sender_restrictions=
  -o allow_untrusted_routing=yes
  -o smtpd_relay_restrictions=reject_unauth_destination
  -o {{ smtpd_recipient_restrictions = check_policy_service
      {{ unix:coexist/policy, policy_context=recipient,
      timeout=10s, {{ default_action = 451 4.3.5 Directory policy unavailable }} }},
      check_recipient_access inline:{{{domain}=permit}}, reject }}
  -o smtpd_data_restrictions=
  -o smtpd_end_of_data_restrictions=
  -o smtpd_proxy_filter=
  -o smtpd_authorized_xclient_hosts=
  -o smtpd_tls_security_level=none
  -o content_filter=
  -o receive_override_options=no_header_body_checks
"""

HOP_SETTINGS = {"coexist-srs_destination_recipient_limit": "1000"}


def hop_service(port, domain):
    """Lines of master.cf."""
    return HOP.format(port=port, domain=domain)


# What tcp_table(5) has as it is.
PLAIN = punctuation.replace("%", "")


class PostSrsd:
    """Debian's postsrsd 1.10 under a secret, asked by its tcp tables. options: of its own."""

    def __init__(self, secret_file, domain, *options):
        self.forward_port = free_port()
        self.reverse_port = free_port()
        self.process = subprocess.Popen(  # pylint: disable=consider-using-with
            ["/usr/sbin/postsrsd", "-4", "-s", secret_file, "-d", domain, "-u", "nobody",
             "-f", str(self.forward_port), "-r", str(self.reverse_port), *options],
            stdin=subprocess.DEVNULL)
        wait_for(lambda: can_connect("127.0.0.1", self.reverse_port), "postsrsd to listen")

    @staticmethod
    def _ask(port, address):
        with socket.create_connection(("127.0.0.1", port), timeout=60) as connection:
            connection.sendall(f"get {quote(address, safe=PLAIN)}\n".encode())
            reply = connection.makefile().readline().strip()
        code, _, value = reply.partition(" ")
        return unquote(value) if code == "200" else None

    def forward(self, address):
        return self._ask(self.forward_port, address)

    def reverse(self, address):
        return self._ask(self.reverse_port, address)

    def close(self):
        self.process.terminate()
        self.process.wait()


def write_secret(path, text):
    with open(path, "w", encoding="ascii", opener=lambda name, flags:
              os.open(name, flags, 0o600)) as out:
        out.write(text + "\n")
