"""
Two sites, a and b, and the post offices behind them: PO1 - a - b - PO2 (Q148389). Each has a
Postfix, a Coexist and a slapd of its own; those replicate to each other by syncrepl, or do not.
"""

from dataclasses import dataclass

from .ldif import CONTAINERS, SUFFIX, connector
from .wait import free_port, wait_for

DOMAIN = "acme.example"
NAMES = ("sitea", "siteb")
# Whence the sites themselves send, and what the post offices say they are (XCLIENT).
SITE_IPS = {"sitea": "127.0.0.11", "siteb": "127.0.0.12"}
POST_OFFICE_IPS = {"po1": "192.0.2.11", "po2": "192.0.2.12"}


def imcea(post_office, user):
    """How MS:MICROSOFT/post_office/user travels."""
    return f"IMCEAMS-MICROSOFT_{post_office.upper()}_{user.upper()}@{DOMAIN}"


@dataclass
class TwoSites:
    a: object
    b: object

    def ledger(self):
        """Sinks of b are "siteb.po2" and the like."""
        return self.a.ledger(self.b)

    def to_site(self, name, **attributes):
        """The connector to a site, which may relay through the other and is known as a peer."""
        site = dict(zip(NAMES, (self.a, self.b)))[name]
        return connector(name, f"smtp:[127.0.0.1]:{site.postfix.port}",
                         **{"peer": SITE_IPS[name], "relayClient": SITE_IPS[name], **attributes})

    def to_post_office(self, name, **attributes):
        """The connector to a post office, at the site in front of it."""
        sink = (self.a if name == "po1" else self.b).sinks[name]
        return connector(name, sink.hop,
                         **{"peer": POST_OFFICE_IPS[name],
                            "relayClient": POST_OFFICE_IPS[name], **attributes})

    def post_office(self, name):
        """A connection of a post office to its site."""
        site = self.a if name == "po1" else self.b
        return site.connect(xclient={"addr": POST_OFFICE_IPS[name]})

    def start(self):
        for site in (self.a, self.b):
            site.start()
        for site in (self.a, self.b):
            # Its second directory is loaded, too.
            wait_for(lambda: site.resolve(f"nobody@{DOMAIN}")[1]["verdict"] == "unknown",
                     f"{site.name} to know nobody")  # pylint: disable=W0640
        return self


def _replicates(port, number):
    return {"head": f"serverID {number}", "extra": f"""
syncrepl rid={number} provider=ldap://127.0.0.1:{port} searchbase="{SUFFIX}"
  bindmethod=simple binddn="cn=admin,{SUFFIX}" credentials="manager secret"
  type=refreshAndPersist retry="1 +"
multiprovider on
"""}


def _own_directory(site):
    site.write_ldif(CONTAINERS)
    return f"""
directory "own" {{
  ldif = "{site.ldif_path}"
  provides = {{"connectors"}}
}}"""


def two_sites(make_site, replicated=False, **options):
    """
    Not started. replicated: each slapd takes over what the other has; else they know nothing
    of each other. What a site does not share (connectors) is in its LDIF file: write_ldif().
    """
    settings = options.pop("settings", {})
    ports = [free_port(), free_port()]
    sites = []
    for n, name in enumerate(NAMES):
        slapd = {"port": ports[n], "seed": n == 0 or not replicated}
        if replicated:
            slapd.update(_replicates(ports[1 - n], n + 1))
        sites.append(make_site(
            start=False, name=name, sinks=(f"po{n + 1}",), slapd=slapd, sections=_own_directory,
            settings={"smtp_bind_address": SITE_IPS[name], **settings},
            **{"options": f'local_servers = {{"{name}"}}', **options}))
    return TwoSites(*sites)


def wait_replicated(two, dn, attribute=None, value=None):
    """Until both slapds have an entry (with that value)."""
    def has_it(site):
        found = site.slapd.search("(objectClass=*)", base=dn, scope="base").get(dn)
        return found is not None and (attribute is None or found.get(attribute) == [value])
    for site in (two.a, two.b):
        wait_for(lambda: has_it(site), f"{dn} at {site.name}")  # pylint: disable=W0640
