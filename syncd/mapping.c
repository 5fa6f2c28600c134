#include "config.h"

#include "syncd/mapping.h"

#include <openssl/evp.h>
#include <stdio.h>
#include <stdlib.h>

#include "syncd/mapping_build.h"
#include "value/dn.h"

/* Goes up when records of unchanged entries come out different. */
#define MAPPING_VERSION 2

/* clang-format off */
static const struct mapping_row rows[] = {
	{
		.name = "coexist",
		.roles = {
			[ROLE_MAIL] = "mail",
			[ROLE_PROXY_ADDRESS] = "coexistProxyAddress",
			[ROLE_TARGET_ADDRESS] = "coexistTargetAddress",
			[ROLE_ALT_RECIPIENT] = "coexistAltRecipient",
			[ROLE_FORWARDING_ADDRESS] = "coexistForwardingAddress",
			[ROLE_DELIVER_AND_REDIRECT] = "coexistDeliverAndRedirect",
			[ROLE_HIDE] = "coexistHideFromAddressLists",
			[ROLE_HOME_SERVER] = "coexistHomeServer",
			[ROLE_LOGIN] = "uid",
			[ROLE_MEMBER] = "coexistMember member",
			[ROLE_MEMBER_ADDRESS] = "coexistMemberAddress",
			[ROLE_RELAY_ALLOWED] = "coexistRelayAllowed",
			[ROLE_REQUIRE_AUTH] = "coexistRequireAuth",
		},
		.recipient_classes = { "coexistMailbox", "coexistCustomRecipient",
			"coexistGroup" },
		.mailbox_classes = { "coexistMailbox" },
		.group_classes = { "coexistGroup" },
		.member_group_classes = { "groupOfNames" },
	},
	{
		/* Active Directory and Exchange; what it has no word for keeps our name. */
		.name = "exchange",
		.roles = {
			[ROLE_MAIL] = "mail",
			[ROLE_PROXY_ADDRESS] = "proxyAddresses",
			[ROLE_TARGET_ADDRESS] = "targetAddress",
			[ROLE_ALT_RECIPIENT] = "altRecipient",
			[ROLE_FORWARDING_ADDRESS] = "msExchGenericForwardingAddress",
			[ROLE_DELIVER_AND_REDIRECT] = "deliverAndRedirect",
			[ROLE_HIDE] = "msExchHideFromAddressLists",
			[ROLE_HOME_SERVER] = "homeMTA",
			[ROLE_LOGIN] = "sAMAccountName",
			[ROLE_MEMBER] = "member",
			[ROLE_MEMBER_ADDRESS] = "coexistMemberAddress",
			[ROLE_RELAY_ALLOWED] = "coexistRelayAllowed",
			[ROLE_REQUIRE_AUTH] = "msExchRequireAuthToSendTo",
		},
		.recipient_classes = { "user", "contact", "group", "inetOrgPerson",
			"publicFolder" },
		.needs_address = true,
		.group_classes = { "group" },
		.home_server_skip = "Microsoft MTA",
	},
	{
		/* inetLocalMailRecipient, as Sendmail's LDAP routing reads it. */
		.name = "laser",
		.roles = {
			[ROLE_MAIL] = "mail",
			[ROLE_PROXY_ADDRESS] = "mailLocalAddress",
			[ROLE_TARGET_ADDRESS] = "mailRoutingAddress",
			[ROLE_ALT_RECIPIENT] = "coexistAltRecipient",
			[ROLE_FORWARDING_ADDRESS] = "coexistForwardingAddress",
			[ROLE_DELIVER_AND_REDIRECT] = "coexistDeliverAndRedirect",
			[ROLE_HIDE] = "coexistHideFromAddressLists",
			[ROLE_HOME_SERVER] = "mailHost",
			[ROLE_LOGIN] = "uid",
			[ROLE_MEMBER] = "member",
			[ROLE_MEMBER_ADDRESS] = "coexistMemberAddress",
			[ROLE_RELAY_ALLOWED] = "coexistRelayAllowed",
			[ROLE_REQUIRE_AUTH] = "coexistRequireAuth",
		},
		.recipient_classes = { "inetLocalMailRecipient" },
		.group_classes = { NULL },
		.member_group_classes = { "groupOfNames" },
	},
};

static const char *const domain_classes[] = { "coexistDomain", NULL };
static const char *const connector_classes[] = { "coexistConnector", NULL };
static const char *const container_classes[] = { "organizationalUnit", "organization",
	"domain", "dcObject", "container", "locality", NULL };

/* Besides the roles. */
static const char *const fixed_attributes[] = { "objectClass", "displayName", "cn",
	"coexistParked", "associatedDomain", "coexistDomainType", "coexistRewriteDomain",
	"coexistForwardHost", "coexistUnknownRecipient", "coexistEnabled", "coexistNextHop",
	"coexistAddressSpace", "coexistPeer", "coexistRelayClient",
	"coexistRelayCertificate", "entryCSN", NULL };
/* clang-format on */

static const struct mapping_row *find_row(const char *name)
{
	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		if (strcmp(rows[i].name, name) == 0) {
			return &rows[i];
		}
	}
	return NULL;
}

static enum status set_roles(struct mapping *mapping, const struct conf_directory *conf)
{
	for (size_t role = 0; role < ROLE_COUNT; role++) {
		const char *text = conf->attributes[role];
		size_t count = 0;
		char *next, *word;

		if (!text || !*text) {
			text = mapping->row->roles[role];
		}
		mapping->role_text[role] = strdup(text ? text : "");
		if (!mapping->role_text[role]) {
			return CX_ENOMEM;
		}
		for (word = strtok_r(mapping->role_text[role], " ,", &next);
		     word && count < MAPPING_NAMES_MAX;
		     word = strtok_r(NULL, " ,", &next)) {
			mapping->roles[role][count++] = word;
		}
	}
	mapping->parked[0] = "coexistParked";
	return CX_OK;
}

static enum status set_domains(struct mapping *mapping,
    const struct conf_directory *conf)
{
	size_t count = 0;

	while (conf->domains && conf->domains[count]) {
		count++;
	}
	mapping->domains = calloc(count + 1, sizeof(*mapping->domains));
	if (!mapping->domains) {
		return CX_ENOMEM;
	}
	for (size_t i = 0; i < count; i++) {
		mapping->domains[i] = strdup(conf->domains[i]);
		if (!mapping->domains[i]) {
			return CX_ENOMEM;
		}
	}
	if (count && conf->base && *conf->base) {
		return dn_key(span_of(conf->base), &mapping->base);
	}
	return CX_OK;
}

static void add_class_terms(struct buf *filter, const char *const *classes)
{
	for (size_t i = 0; classes[i]; i++) {
		buf_printf(filter, "(objectClass=%s)", classes[i]);
	}
}

/* The roles that hold an object's addresses. */
static const enum attribute_role address_roles[] = { ROLE_MAIL, ROLE_PROXY_ADDRESS,
	ROLE_TARGET_ADDRESS };
enum {
	ADDRESS_ROLES = sizeof(address_roles) / sizeof(address_roles[0])
};

/* By the names in force: an overridden one is all that some entry has. */
static void add_recipient_terms(struct buf *filter, const struct mapping *mapping)
{
	if (!mapping->row->needs_address) {
		add_class_terms(filter, mapping->row->recipient_classes);
		return;
	}
	buf_add_text(filter, "(&(|");
	add_class_terms(filter, mapping->row->recipient_classes);
	buf_add_text(filter, ")(|");
	for (size_t i = 0; i < ADDRESS_ROLES; i++) {
		for (names name = mapping->roles[address_roles[i]]; *name; name++) {
			buf_printf(filter, "(%s=*)", *name);
		}
	}
	buf_add_text(filter, "))");
}

static enum status set_filter(struct mapping *mapping,
    const struct conf_directory *conf)
{
	struct buf filter;

	buf_init(&filter);
	buf_add_text(&filter, "(|");
	if (mapping->provides_recipients) {
		if (!conf->filter || !*conf->filter) {
			add_recipient_terms(&filter, mapping);
		} else if (conf->filter[0] != '(') {
			buf_printf(&filter, "(%s)", conf->filter);
		} else {
			buf_add_text(&filter, conf->filter);
		}
	}
	if (mapping->provides_domains) {
		add_class_terms(&filter, domain_classes);
	}
	if (mapping->provides_connectors) {
		add_class_terms(&filter, connector_classes);
	}
	add_class_terms(&filter, container_classes);
	buf_add_char(&filter, ')');
	if (filter.failed) {
		buf_release(&filter);
		return CX_ENOMEM;
	}
	mapping->filter = filter.data;
	return CX_OK;
}

/* Adds a name that is not there yet. */
static bool add_attribute(struct mapping *mapping, size_t *count, const char *name)
{
	for (size_t i = 0; i < *count; i++) {
		if (span_equal_case(span_of(mapping->attributes[i]), span_of(name))) {
			return true;
		}
	}
	mapping->attributes[*count] = strdup(name);
	return mapping->attributes[(*count)++] != NULL;
}

static enum status set_attributes(struct mapping *mapping)
{
	size_t room = sizeof(fixed_attributes) / sizeof(fixed_attributes[0]) +
		      (size_t)ROLE_COUNT * MAPPING_NAMES_MAX + 1;
	size_t count = 0;

	mapping->attributes = calloc(room, sizeof(*mapping->attributes));
	if (!mapping->attributes) {
		return CX_ENOMEM;
	}
	for (size_t i = 0; fixed_attributes[i]; i++) {
		if (!add_attribute(mapping, &count, fixed_attributes[i])) {
			return CX_ENOMEM;
		}
	}
	for (size_t role = 0; role < ROLE_COUNT; role++) {
		for (size_t i = 0; mapping->roles[role][i]; i++) {
			if (!add_attribute(mapping, &count, mapping->roles[role][i])) {
				return CX_ENOMEM;
			}
		}
	}
	return CX_OK;
}

static void set_fingerprint(struct mapping *mapping)
{
	unsigned char digest[EVP_MAX_MD_SIZE] = { 0 };
	EVP_MD_CTX *context = EVP_MD_CTX_new();
	char numbers[64];
	int len = snprintf(numbers, sizeof(numbers), "%d %d %d%d%d", MAPPING_VERSION,
	    RECORD_VERSION, mapping->provides_recipients, mapping->provides_domains,
	    mapping->provides_connectors);

	/* Without memory it is 0: at worst a full refresh too many. */
	if (context && EVP_DigestInit_ex(context, EVP_sha256(), NULL)) {
		EVP_DigestUpdate(context, numbers, (size_t)len + 1);
		EVP_DigestUpdate(context, mapping->row->name,
		    strlen(mapping->row->name) + 1);
		for (size_t role = 0; role < ROLE_COUNT; role++) {
			for (size_t i = 0; mapping->roles[role][i]; i++) {
				EVP_DigestUpdate(context, mapping->roles[role][i],
				    strlen(mapping->roles[role][i]) + 1);
			}
			EVP_DigestUpdate(context, "", 1);
		}
		for (size_t i = 0; mapping->domains[i]; i++) {
			EVP_DigestUpdate(context, mapping->domains[i],
			    strlen(mapping->domains[i]) + 1);
		}
		EVP_DigestFinal_ex(context, digest, NULL);
	}
	EVP_MD_CTX_free(context);
	memcpy(&mapping->fingerprint, digest, sizeof(mapping->fingerprint));
}

enum status mapping_new(const struct conf_directory *conf, struct mapping **out,
    struct errbuf *err)
{
	const char *name = conf->mapping && *conf->mapping ? conf->mapping : "coexist";
	struct mapping *mapping = calloc(1, sizeof(*mapping));
	enum status status;

	*out = NULL;
	if (!mapping) {
		return CX_ENOMEM;
	}
	mapping->row = find_row(name);
	if (!mapping->row) {
		errbuf_set(err, "directory \"%s\": no mapping \"%s\"", conf->name,
		    name);
		mapping_free(mapping);
		return CX_ECONF;
	}
	mapping->provides_recipients = conf->provides_recipients;
	mapping->provides_domains = conf->provides_domains;
	mapping->provides_connectors = conf->provides_connectors;
	if ((status = set_roles(mapping, conf)) != CX_OK ||
	    (status = set_domains(mapping, conf)) != CX_OK ||
	    (status = set_filter(mapping, conf)) != CX_OK ||
	    (status = set_attributes(mapping)) != CX_OK) {
		errbuf_set(err, "%s", status_text(status));
		mapping_free(mapping);
		return status;
	}
	set_fingerprint(mapping);
	*out = mapping;
	return CX_OK;
}

void mapping_free(struct mapping *mapping)
{
	if (!mapping) {
		return;
	}
	for (size_t role = 0; role < ROLE_COUNT; role++) {
		free(mapping->role_text[role]);
	}
	for (size_t i = 0; mapping->domains && mapping->domains[i]; i++) {
		free(mapping->domains[i]);
	}
	free(mapping->domains);
	free(mapping->filter);
	for (size_t i = 0; mapping->attributes && mapping->attributes[i]; i++) {
		free(mapping->attributes[i]);
	}
	free(mapping->attributes);
	free(mapping);
}

const char *mapping_filter(const struct mapping *mapping)
{
	return mapping->filter;
}

char *const *mapping_attributes(const struct mapping *mapping)
{
	return mapping->attributes;
}

uint64_t mapping_fingerprint(const struct mapping *mapping)
{
	return mapping->fingerprint;
}

static bool has_address(const struct mapper *mapper)
{
	for (size_t i = 0; i < ADDRESS_ROLES; i++) {
		struct value_cursor cursor = {
			.names = mapper->mapping->roles[address_roles[i]]
		};
		struct span value;

		if (mapper_next(mapper, &cursor, &value)) {
			return true;
		}
	}
	return false;
}

static enum status write_container(const struct mapper *mapper)
{
	record_begin(mapper->record, RECORD_CONTAINER);
	record_put(mapper->record, TAG_DN, mapper->entry->dn);
	return CX_OK;
}

/* Structural classes first: a domain object with an auxiliary class stays a domain. */
static enum status build(const struct mapper *mapper)
{
	const struct mapping *mapping = mapper->mapping;

	if (mapping->provides_domains && mapper_has_class(mapper, domain_classes)) {
		return mapper_domain(mapper);
	}
	if (mapping->provides_connectors &&
	    mapper_has_class(mapper, connector_classes)) {
		return mapper_connector(mapper);
	}
	if (mapping->provides_recipients &&
	    mapper_has_class(mapper, mapping->row->recipient_classes) &&
	    (!mapping->row->needs_address || has_address(mapper))) {
		return mapper_recipient(mapper);
	}
	if (mapper_has_class(mapper, container_classes)) {
		return write_container(mapper);
	}
	return CX_NOTFOUND;
}

enum status mapping_apply(const struct mapping *mapping, const struct entry *entry,
    struct buf *record, struct errbuf *why, mapping_note *note, void *context)
{
	struct mapper mapper = { mapping, entry, record, why, note, context };
	struct key key;
	bool is_within;
	enum status status = build(&mapper), dn_status;

	if (status == CX_NOTFOUND || status == CX_ENOMEM) {
		return status;
	}
	/* Before a look at record->failed: one that is too long does not fit in there. */
	dn_status = dn_key(entry->dn, &key);
	if (dn_status == CX_ENOMEM) {
		return CX_ENOMEM;
	}
	if (dn_status != CX_OK) {
		errbuf_set(why, "%s",
		    dn_status == CX_ETOOLONG ? "the DN is too long" : "not a DN");
		return CX_EINVAL;
	}
	if (status == CX_ETOOLONG) {
		errbuf_set(why, "a value is too long");
		return CX_EINVAL;
	}
	if (mapping_is_within_base(mapping, entry->dn, &key, &is_within) != CX_OK) {
		return CX_ENOMEM;
	}
	if (!is_within) {
		errbuf_set(why, "outside the base of this directory");
		return CX_EINVAL;
	}
	if (status != CX_OK) {
		return status;
	}
	return record->failed ? CX_ENOMEM : CX_OK;
}
