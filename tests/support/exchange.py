"""
Attributes that Exchange adds to Active Directory, under their real OIDs: as a schema for slapd
(behind Debian's msuser.schema) and as LDIF for Samba's domain controller.

OIDs and syntaxes are those of Microsoft's schema reference (Exchange Server 2003 and 2007 SDK,
"ms-Exch-Target-Address Attribute" and its like) and of the schema that OpenChange ships
(setup/AD/oc_provision_schema_attributes.ldif, oc_provision_schema.ldif), which agree;
msExchGenericForwardingAddress, which is younger, is that of a dump of an Exchange schema.
"""

import base64
import uuid

from .slapd import Slapd

TEXT, BOOLEAN, DN = ("2.5.5.12", 64), ("2.5.5.8", 1), ("2.5.5.1", 127)

# lDAPDisplayName -> (cn, attributeID, syntax)
ATTRIBUTES = {
    "targetAddress": ("ms-Exch-Target-Address", "1.2.840.113556.1.2.352", TEXT),
    "altRecipient": ("ms-Exch-Alt-Recipient", "1.2.840.113556.1.2.126", DN),
    "deliverAndRedirect": ("ms-Exch-Deliver-And-Redirect", "1.2.840.113556.1.2.190", BOOLEAN),
    "homeMTA": ("ms-Exch-Home-MTA", "1.2.840.113556.1.2.171", DN),
    "mailNickname": ("ms-Exch-Mail-Nickname", "1.2.840.113556.1.2.447", TEXT),
    "msExchHomeServerName": ("ms-Exch-Home-Server-Name", "1.2.840.113556.1.4.7000.102.47", TEXT),
    "msExchHideFromAddressLists": (
        "ms-Exch-Hide-From-Address-Lists", "1.2.840.113556.1.4.7000.102.73", BOOLEAN),
    "msExchRequireAuthToSendTo": (
        "ms-Exch-Require-Auth-To-Send-To", "1.2.840.113556.1.4.5062", BOOLEAN),
    "msExchGenericForwardingAddress": (
        "ms-Exch-Generic-Forwarding-Address", "1.2.840.113556.1.4.7000.102.51620", TEXT),
}

SYNTAXES = {
    TEXT: "EQUALITY caseIgnoreMatch SYNTAX 1.3.6.1.4.1.1466.115.121.1.15",
    BOOLEAN: "EQUALITY booleanMatch SYNTAX 1.3.6.1.4.1.1466.115.121.1.7",
    DN: "EQUALITY distinguishedNameMatch SYNTAX 1.3.6.1.4.1.1466.115.121.1.12",
}


def slapd_schema():
    """What msuser.schema lacks. Mail-Recipient is auxiliary in Active Directory, too."""
    lines = [f"attributetype ( {oid} NAME '{name}' {SYNTAXES[syntax]} SINGLE-VALUE )\n"
             for name, (_, oid, syntax) in ATTRIBUTES.items()]
    lines.append("objectclass ( 1.2.840.113556.1.3.46 NAME 'mailRecipient' SUP top AUXILIARY\n"
                 "  MAY ( legacyExchangeDN $ mail $ sAMAccountName $ objectGUID $ info $ manager $ "
                 + " $ ".join(ATTRIBUTES) + " ) )\n")
    lines.append("objectclass ( 1.2.840.113556.1.5.15 NAME 'contact'\n"
                 "  SUP ( mstop $ organizationalPerson ) STRUCTURAL )\n")
    lines.append("objectclass ( 1.2.840.113556.1.3.15 NAME 'publicFolder'\n"
                 "  SUP mstop STRUCTURAL MAY ( displayName ) )\n")
    return "".join(lines)


def samba_schema(schema_dn):
    """Two LDIF texts: the attributes, and where they may stand (after a schemaUpdateNow)."""
    attributes = "".join(
        f"dn: CN={cn},{schema_dn}\nchangetype: add\nobjectClass: attributeSchema\ncn: {cn}\n"
        f"attributeID: {oid}\nattributeSyntax: {syntax[0]}\noMSyntax: {syntax[1]}\n"
        + ("oMObjectClass:: KwwCh3McAIVK\n" if syntax is DN else "")
        + f"isSingleValued: TRUE\nlDAPDisplayName: {name}\n\n"
        for name, (cn, oid, syntax) in ATTRIBUTES.items())
    # A group has it as its auxiliary class, as users and contacts do.
    classes = (f"dn: CN=Mail-Recipient,{schema_dn}\nchangetype: modify\nadd: mayContain\n"
               + "".join(f"mayContain: {name}\n" for name in ATTRIBUTES) + "\n")
    return attributes, classes


class ExchangeSlapd(Slapd):
    """A slapd that knows what Active Directory and Exchange call things."""

    def _write_slapd_conf(self, head, extra, database):
        super()._write_slapd_conf(head, extra, database)
        with open(f"{self.folder}/exchange.schema", "w", encoding="utf-8") as out:
            out.write(slapd_schema())
        path = f"{self.folder}/slapd.conf"
        with open(path, encoding="utf-8") as conf:
            text = conf.read()
        before = "include\t\t/etc/ldap/schema/inetorgperson.schema\n"
        assert before in text
        with open(path, "w", encoding="utf-8") as conf:
            conf.write(text.replace(before, f"{before}include /etc/ldap/schema/nis.schema\n"
                                    "include /etc/ldap/schema/misc.schema\n"
                                    "include /etc/ldap/schema/msuser.schema\n"
                                    f"include {self.folder}/exchange.schema\n"))


# What every object of Active Directory has, and msuser.schema asks for.
TOP = ("instanceType: 4\nnTSecurityDescriptor:: AQ==\nobjectCategory: CN=Person,CN=Schema\n")


def object_(dn, classes, *lines, guid=True, **attributes):
    """An object; lists give several values, None none."""
    text = [f"dn: {dn}", *(f"objectClass: {c}" for c in (*classes, "mailRecipient")),
            TOP.rstrip(), *lines]
    if guid:
        # As the server stores it: 16 bytes, the first three parts little-endian.
        text.append(f"objectGUID:: {guid_of(dn)}")
    for name, value in attributes.items():
        values = value if isinstance(value, (list, tuple)) else [value]
        text += [f"{name}: {v}" for v in values if v is not None]
    return "\n".join(text) + "\n\n"


def guid_of(dn):
    """One for each name, in base64."""
    return base64.b64encode(uuid.uuid5(uuid.NAMESPACE_X500, dn).bytes_le).decode()
