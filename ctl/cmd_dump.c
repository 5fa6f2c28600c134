#include "config.h"

#include <stdio.h>
#include <stdlib.h>
#include <sysexits.h>

#include "ctl/command.h"
#include "ctl/json.h"
#include "replica/connector.h"
#include "replica/domain.h"
#include "replica/recipient.h"

/*
 * The replica in a canonical form: what two replicas of the same directories have in common,
 * without ids, times and cookies, in an order of its own. Tests compare the two after
 * every fault; people read it.
 */

/* How a field is shown. Keys of references are left out: they follow from the DNs. */
static const struct field {
	enum record_tag tag;
	const char *name;
} fields[] = {
	{ TAG_NAME, "name" },
	{ TAG_PRIMARY, "primary" },
	{ TAG_MAIL, "mail" },
	{ TAG_PROXY, "proxyAddress" },
	{ TAG_TARGET, "targetAddress" },
	{ TAG_ALT_DN, "altRecipient" },
	{ TAG_FORWARDING, "forwardingAddress" },
	{ TAG_HOME_SERVER, "homeServer" },
	{ TAG_LOGIN, "login" },
	{ TAG_MEMBER_DN, "member" },
	{ TAG_MEMBER_ADDRESS, "memberAddress" },
	{ TAG_DOMAIN, "associatedDomain" },
	{ TAG_REWRITE_DOMAIN, "rewriteDomain" },
	{ TAG_FORWARD_HOST, "forwardHost" },
	{ TAG_NEXT_HOP, "nextHop" },
	{ TAG_SPACE, "addressSpace" },
	{ TAG_PEER, "peer" },
	{ TAG_RELAY_CLIENT, "relayClient" },
	{ TAG_RELAY_CERTIFICATE, "relayCertificate" },
};

static const struct flag {
	enum record_kind kind;
	uint32_t bit;
	const char *name;
} flags[] = {
	{ RECORD_RECIPIENT, RECIPIENT_IS_GROUP, "group" },
	{ RECORD_RECIPIENT, RECIPIENT_DELIVER_AND_REDIRECT, "deliverAndRedirect" },
	{ RECORD_RECIPIENT, RECIPIENT_HIDDEN, "hideFromAddressLists" },
	{ RECORD_RECIPIENT, RECIPIENT_RELAY_FORBIDDEN, "relayForbidden" },
	{ RECORD_RECIPIENT, RECIPIENT_REQUIRE_AUTH, "requireAuth" },
	{ RECORD_RECIPIENT, RECIPIENT_PARKED, "parked" },
	{ RECORD_RECIPIENT, RECIPIENT_IS_MAILBOX, "mailboxAsWell" },
	{ RECORD_DOMAIN, DOMAIN_DISABLED, "disabled" },
	{ RECORD_CONNECTOR, CONNECTOR_DISABLED, "disabled" },
};

struct row {
	const char *source;
	enum record_kind kind;
	struct span dn;
	struct record record;
};

struct rows {
	struct snapshot *snapshot;
	struct row *rows;
	size_t count, room;
	bool failed;
};

#define ROWS(array) (sizeof(array) / sizeof((array)[0]))

static const char *source_name(struct snapshot *snapshot, uint8_t id)
{
	size_t count, i;
	const struct source_info *sources = snapshot_sources(snapshot, &count);

	for (i = 0; i < count; i++) {
		if (sources[i].id == id) {
			return sources[i].name;
		}
	}
	return NULL;
}

static bool collect(void *context, const struct record_id *id, const struct record *record)
{
	struct rows *all = context;
	const char *source = source_name(all->snapshot, id->source);
	struct row *larger;

	if (source == NULL || record->kind == RECORD_CONTAINER) {
		return true;
	}
	if (all->count == all->room) {
		all->room = all->room == 0 ? 1024 : all->room * 2;
		larger = realloc(all->rows, all->room * sizeof(*all->rows));
		if (larger == NULL) {
			all->failed = true;
			return false;
		}
		all->rows = larger;
	}
	all->rows[all->count++] = (struct row){
		.source = source,
		.kind = record->kind,
		.dn = record_first(record, TAG_DN),
		.record = *record,
	};
	return true;
}

static int compare_rows(const void *a, const void *b)
{
	const struct row *x = a, *y = b;
	int order = strcmp(x->source, y->source);

	if (order == 0) {
		order = (int)x->kind - (int)y->kind;
	}
	return order != 0 ? order : span_compare(x->dn, y->dn);
}

static const char *kind_text(const struct row *row)
{
	struct recipient recipient;

	if (row->kind == RECORD_DOMAIN) {
		return "domain";
	}
	if (row->kind == RECORD_CONNECTOR) {
		return "connector";
	}
	if (recipient_decode(&row->record, &recipient) != CX_OK) {
		return "damaged";
	}
	switch (recipient.kind) {
	case RECIPIENT_MAILBOX: return "mailbox";
	case RECIPIENT_CUSTOM: return "customRecipient";
	case RECIPIENT_GROUP: return "group";
	}
	return "damaged";
}

static const char *domain_policy_text(enum domain_unknown unknown)
{
	switch (unknown) {
	case DOMAIN_UNKNOWN_REJECT: return "reject";
	case DOMAIN_UNKNOWN_FORWARD: return "forward";
	case DOMAIN_UNKNOWN_OBSERVE: return "observe";
	}
	return "reject";
}

static void print_value(const char *name, struct span value)
{
	struct buf escaped;

	buf_init(&escaped);
	buf_add_escaped(&escaped, value);
	printf("  %s: %s\n", name, escaped.data != NULL ? escaped.data : "");
	buf_release(&escaped);
}

static void print_row(const struct row *row)
{
	struct domain domain;
	struct buf dn;
	size_t i;

	buf_init(&dn);
	buf_add_escaped(&dn, row->dn);
	printf("%s %s %s\n", row->source, kind_text(row), dn.data != NULL ? dn.data : "");
	buf_release(&dn);
	for (i = 0; i < ROWS(flags); i++) {
		if (flags[i].kind == row->kind &&
		    (record_flags(&row->record) & flags[i].bit) != 0) {
			printf("  %s\n", flags[i].name);
		}
	}
	if (row->kind == RECORD_DOMAIN && domain_decode(&row->record, &domain) == CX_OK) {
		printf("  domainType: %s\n", domain_type_text(domain.type));
		printf("  unknownRecipient: %s\n", domain_policy_text(domain.unknown));
	}
	for (i = 0; i < ROWS(fields); i++) {
		struct values values = record_values(&row->record, fields[i].tag);
		struct span value;

		while (values_next(&values, &value)) {
			print_value(fields[i].name, value);
		}
	}
}

static json_t *row_json(const struct row *row)
{
	json_t *out = json_object(), *list;
	struct domain domain;
	size_t i;

	json_put(out, "directory", json_string(row->source));
	json_put(out, "kind", json_string(kind_text(row)));
	json_put(out, "dn", json_span(row->dn));
	for (i = 0; i < ROWS(flags); i++) {
		if (flags[i].kind == row->kind) {
			json_put(out, flags[i].name,
			    json_boolean((record_flags(&row->record) & flags[i].bit) != 0));
		}
	}
	if (row->kind == RECORD_DOMAIN && domain_decode(&row->record, &domain) == CX_OK) {
		json_put(out, "domainType", json_string(domain_type_text(domain.type)));
		json_put(out, "unknownRecipient",
		    json_string(domain_policy_text(domain.unknown)));
	}
	for (i = 0; i < ROWS(fields); i++) {
		struct values values = record_values(&row->record, fields[i].tag);
		struct span value;

		list = json_array();
		while (values_next(&values, &value)) {
			json_add(list, json_span(value));
		}
		if (json_array_size(list) > 0) {
			json_put(out, fields[i].name, list);
		} else {
			json_decref(list);
		}
	}
	return out;
}

static void print_rows(const struct rows *all, bool as_json)
{
	size_t i;

	for (i = 0; i < all->count; i++) {
		if (as_json) {
			json_print(row_json(&all->rows[i]), true);
		} else {
			print_row(&all->rows[i]);
		}
	}
}

static int dump(struct store *store, bool as_json)
{
	struct rows all = { .rows = NULL };
	struct errbuf err;
	enum status status = snapshot_begin(store, &all.snapshot, &err);

	if (status != CX_OK) {
		complain("%s", err.text);
		return EX_TEMPFAIL;
	}
	status = snapshot_each(all.snapshot, collect, &all);
	if (status == CX_OK && !all.failed) {
		if (all.count > 0) {
			qsort(all.rows, all.count, sizeof(*all.rows), compare_rows);
		}
		print_rows(&all, as_json);
	} else {
		complain("the replica: %s",
		    status_text(all.failed ? CX_ENOMEM : status));
	}
	snapshot_end(all.snapshot);
	free(all.rows);
	return status == CX_OK && !all.failed ? EX_OK : EX_TEMPFAIL;
}

static int run(const struct conf *conf, int argc, char **argv)
{
	struct store *store;
	struct errbuf err;
	bool as_json;
	int code;

	if (!takes_json(&command_dump, argc, argv, &as_json)) {
		return EX_USAGE;
	}
	if (store_open(conf->replica, &store, &err) != CX_OK) {
		complain("%s", err.text);
		return EX_CONFIG;
	}
	code = dump(store, as_json);
	store_close(store);
	return code;
}

const struct command command_dump = {
	.name = "dump",
	.arguments = "[--json]",
	.help = "the replica in a canonical form (with --json one object a line)",
	.run = run,
};
