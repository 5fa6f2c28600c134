"""Directory entries as text, for slapd and for LDIF directories alike."""

SUFFIX = "dc=acme,dc=example"
PEOPLE = f"ou=people,{SUFFIX}"
MAIL = f"ou=mail,{SUFFIX}"

# What Slapd.BASE_LDIF has and an LDIF directory needs.
CONTAINERS = f"""\
dn: {SUFFIX}
objectClass: dcObject
objectClass: organization
dc: acme
o: Acme

dn: {PEOPLE}
objectClass: organizationalUnit
ou: people

dn: {MAIL}
objectClass: organizationalUnit
ou: mail

"""


def entry(dn, *lines, **attributes):
    """altRecipient="..." is coexistAltRecipient: ...; a list gives several values."""
    text = [f"dn: {dn}", *lines]
    for name, value in attributes.items():
        if name[0] == "_":  # _mail: an attribute that is not ours
            name = name[1:]
        else:
            name = "coexist" + name[0].upper() + name[1:]
        values = value if isinstance(value, (list, tuple)) else [value]
        text += [f"{name}: {v}" for v in values if v is not None]
    return "\n".join(text) + "\n\n"


def person_dn(name):
    return f"uid={name},{PEOPLE}"


def _person(name, kind, **attributes):
    return entry(person_dn(name), "objectClass: inetOrgPerson", f"objectClass: {kind}",
                 f"uid: {name}", f"cn: {name}", f"sn: {name}", **attributes)


def mailbox(name, mail, **attributes):
    return _person(name, "coexistMailbox", _mail=mail, **attributes)


def custom(name, target, mail=None, **attributes):
    return _person(name, "coexistCustomRecipient", _mail=mail, targetAddress=target,
                   **attributes)


def group(name, mail, members=(), **attributes):
    return entry(f"cn={name},{PEOPLE}", "objectClass: person", "objectClass: coexistGroup",
                 f"cn: {name}", f"sn: {name}", f"mail: {mail}",
                 member=[person_dn(m) for m in members], **attributes)


def group_of_names(name, mail, members, **attributes):
    """The same, by the members that other programs see, too."""
    return entry(f"cn={name},{PEOPLE}", "objectClass: groupOfNames", "objectClass: coexistGroup",
                 f"cn: {name}", _mail=mail, _member=[person_dn(m) for m in members],
                 **attributes)


def domain_dn(name):
    return f"associatedDomain={name},{MAIL}"


def domain(name, kind, **attributes):
    return entry(domain_dn(name), "objectClass: coexistDomain", f"associatedDomain: {name}",
                 domainType=kind, **attributes)


def connector_dn(name):
    return f"cn={name},{MAIL}"


def connector(name, hop=None, **attributes):
    return entry(connector_dn(name), "objectClass: coexistConnector", f"cn: {name}",
                 nextHop=hop, **attributes)


def change(dn, *operations):
    """change(dn, ("replace", "coexistParked", "TRUE"), ("delete", "mail"))"""
    parts = []
    for kind, attribute, *values in operations:
        if attribute in ROLES:
            attribute = "coexist" + attribute[0].upper() + attribute[1:]
        parts.append("\n".join([f"{kind}: {attribute}", *(f"{attribute}: {v}" for v in values)]))
    return f"dn: {dn}\nchangetype: modify\n" + "\n-\n".join(parts) + "\n\n"


ROLES = {"proxyAddress", "targetAddress", "altRecipient", "forwardingAddress",
         "deliverAndRedirect", "hideFromAddressLists", "homeServer", "relayAllowed", "parked",
         "requireAuth", "member", "memberAddress", "domainType", "rewriteDomain", "forwardHost",
         "unknownRecipient", "addressSpace", "nextHop", "peer", "relayClient",
         "relayCertificate", "enabled"}
