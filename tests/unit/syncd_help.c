#include "config.h"

#include "syncd_help.h"

#include <stdlib.h>

#include "replica/connector.h"
#include "replica/domain.h"
#include "replica/recipient.h"
#include "syncd/ldif_parse.h"
#include "unit.h"

static const struct {
	enum record_tag tag;
	const char *name;
} tags[] = {
	{ TAG_DN, "dn" },
	{ TAG_NAME, "name" },
	{ TAG_PRIMARY, "primary" },
	{ TAG_MAIL, "mail" },
	{ TAG_PROXY, "proxy" },
	{ TAG_TARGET, "target" },
	{ TAG_ALT_KEY, "alt-key" },
	{ TAG_ALT_DN, "alt" },
	{ TAG_FORWARDING, "forwarding" },
	{ TAG_HOME_SERVER, "home" },
	{ TAG_LOGIN, "login" },
	{ TAG_MEMBER_KEY, "member-key" },
	{ TAG_MEMBER_DN, "member" },
	{ TAG_MEMBER_ADDRESS, "member-address" },
	{ TAG_DOMAIN, "domain" },
	{ TAG_REWRITE_DOMAIN, "rewrite" },
	{ TAG_FORWARD_HOST, "forward-host" },
	{ TAG_NEXT_HOP, "next-hop" },
	{ TAG_SPACE, "space" },
	{ TAG_PEER, "peer" },
	{ TAG_RELAY_CLIENT, "relay-client" },
	{ TAG_RELAY_CERTIFICATE, "relay-certificate" },
};

static const struct {
	enum record_kind kind;
	uint32_t flag;
	const char *name;
} flags[] = {
	{ RECORD_RECIPIENT, RECIPIENT_IS_GROUP, "group" },
	{ RECORD_RECIPIENT, RECIPIENT_DELIVER_AND_REDIRECT, "both" },
	{ RECORD_RECIPIENT, RECIPIENT_HIDDEN, "hidden" },
	{ RECORD_RECIPIENT, RECIPIENT_RELAY_FORBIDDEN, "no-relay" },
	{ RECORD_RECIPIENT, RECIPIENT_REQUIRE_AUTH, "auth" },
	{ RECORD_RECIPIENT, RECIPIENT_PARKED, "parked" },
	{ RECORD_RECIPIENT, RECIPIENT_IS_MAILBOX, "mailbox" },
	{ RECORD_RECIPIENT, RECIPIENT_TARGET_NOT_OWN, "target-not-own" },
	{ RECORD_DOMAIN, DOMAIN_DISABLED, "disabled" },
	{ RECORD_CONNECTOR, CONNECTOR_DISABLED, "disabled" },
};

struct conf_directory help_directory(void)
{
	struct conf_directory directory = {
		.name = "test",
		.ldif = "",
		.uri = "",
		.base = "",
		.scope = "sub",
		.filter = "",
		.mapping = "coexist",
		.provides_recipients = true,
		.provides_domains = true,
		.provides_connectors = true,
		.bind_dn = "",
		.bind_password_file = "",
		.sasl_mech = "",
		.tls_ca_file = "",
		.tls_cert_file = "",
		.tls_key_file = "",
		.max_delete_percent = 10,
	};

	for (size_t i = 0; i < ROLE_COUNT; i++) {
		directory.attributes[i] = "";
	}
	return directory;
}

static const char *kind_name(enum record_kind kind)
{
	switch (kind) {
	case RECORD_RECIPIENT: return "recipient";
	case RECORD_DOMAIN: return "domain";
	case RECORD_CONNECTOR: return "connector";
	case RECORD_CONTAINER: return "container";
	}
	return "?";
}

static void print_domain(const struct record *record, struct buf *out)
{
	static const char *const unknown[] = { "?", "reject", "forward", "observe" };
	struct domain domain;

	ck_assert_int_eq(domain_decode(record, &domain), CX_OK);
	buf_printf(out, "type %s\nunknown %s\n", domain_type_text(domain.type),
	    unknown[domain.unknown]);
}

void help_print_record(struct span stored, struct buf *out)
{
	struct record record;
	struct span value;

	ck_assert_int_eq(record_open(stored, &record), CX_OK);
	buf_printf(out, "kind %s\n", kind_name(record.kind));
	for (size_t i = 0; i < sizeof(flags) / sizeof(flags[0]); i++) {
		if (flags[i].kind == record.kind &&
		    (record_flags(&record) & flags[i].flag)) {
			buf_printf(out, "flag %s\n", flags[i].name);
		}
	}
	if (record.kind == RECORD_DOMAIN) {
		print_domain(&record, out);
	}
	for (size_t i = 0; i < sizeof(tags) / sizeof(tags[0]); i++) {
		struct values values = record_values(&record, tags[i].tag);

		while (values_next(&values, &value)) {
			buf_printf(out, "%s ", tags[i].name);
			buf_add_escaped(out, value);
			buf_add_char(out, '\n');
		}
	}
	ck_assert(!out->failed);
}

struct texts {
	char **items;
	size_t count;
};

static bool add_text(void *context, const struct record_id *id, struct span record)
{
	struct texts *texts = context;
	struct buf text;

	(void)id;
	buf_init(&text);
	help_print_record(record, &text);
	texts->items = reallocarray(texts->items, texts->count + 1, sizeof(char *));
	ck_assert_ptr_nonnull(texts->items);
	texts->items[texts->count++] = text.data;
	return true;
}

static int compare_texts(const void *a, const void *b)
{
	return strcmp(*(char *const *)a, *(char *const *)b);
}

void help_print_store(struct store_writer *store, uint8_t source, struct buf *out)
{
	struct texts texts = { NULL, 0 };
	struct errbuf err;

	ck_assert_int_eq(store_begin(store, &err), CX_OK);
	ck_assert_int_eq(store_each(store, source, add_text, &texts), CX_OK);
	store_abort(store);
	if (texts.count) {
		qsort(texts.items, texts.count, sizeof(char *), compare_texts);
	}
	for (size_t i = 0; i < texts.count; i++) {
		buf_add_text(out, texts.items[i]);
		free(texts.items[i]);
	}
	free(texts.items);
}

struct map_context {
	struct mapping *mapping;
	struct buf record, *said;
	enum status status;
	unsigned count;
};

static void say(void *context, const char *text)
{
	buf_add_text(context, text);
	buf_add_char(context, '\n');
}

static enum status map_entry(void *context, const struct ldif_entry *entry)
{
	struct map_context *map = context;
	struct errbuf why = { "" };

	map->count++;
	map->status = mapping_apply(map->mapping, &entry->entry, &map->record, &why,
	    say, map->said);
	if (map->status == CX_EINVAL) {
		say(map->said, why.text);
	}
	return CX_OK;
}

static void map_text(const struct conf_directory *directory, const char *ldif,
    struct map_context *map)
{
	struct errbuf err = { "" };
	size_t len = strlen(ldif);
	char *text = malloc(len + 1);

	ck_assert_ptr_nonnull(text);
	memcpy(text, ldif, len + 1);
	buf_init(&map->record);
	ck_assert_int_eq(mapping_new(directory, &map->mapping, &err), CX_OK);
	ck_assert_msg(ldif_parse("test.ldif", "/tmp", text, len, map_entry, map, &err) == CX_OK,
	    "%s", err.text);
	ck_assert_uint_eq(map->count, 1);
	mapping_free(map->mapping);
	free(text);
}

enum status help_map(const struct conf_directory *directory, const char *ldif,
    struct buf *out, struct buf *said)
{
	struct map_context map = { .said = said };

	map_text(directory, ldif, &map);
	if (map.status == CX_OK) {
		help_print_record(buf_span(&map.record), out);
	}
	buf_release(&map.record);
	return map.status;
}

void help_record(const struct conf_directory *directory, const char *ldif,
    struct buf *record)
{
	struct buf said;
	struct map_context map = { .said = &said };

	buf_init(&said);
	map_text(directory, ldif, &map);
	ck_assert_msg(map.status == CX_OK, "%s", said.data);
	buf_add_span(record, buf_span(&map.record));
	buf_release(&map.record);
	buf_release(&said);
}
