#include "config.h"

#include "org.h"

#include <stdio.h>
#include <stdlib.h>

#include "make_record.h"
#include "unit.h"

static const char *const no_servers[] = { NULL };

void org_open(struct org *org)
{
	struct source_info source = {
		.name = "corp",
		.provides_recipients = true,
		.provides_domains = true,
		.provides_connectors = true,
	};
	struct errbuf err;
	bool is_new;

	memset(org, 0, sizeof(*org));
	org->folder = unit_mkdir();
	org->settings = (struct settings){
		.organization = "acme",
		.local_servers = no_servers,
		.recipient_delimiter = "+",
		.postmaster = "postmaster",
		.mailbox_transport = "",
		.rewrite_to_primary = true,
		.max_depth = 16,
		.max_deliveries = 10000,
		.max_staleness_s = 7 * 86400,
		.unknown_defer_after_s = 3600,
	};
	org->arena.size = RESOLVE_MEMORY;
	org->arena.memory = malloc(org->arena.size);
	ck_assert_ptr_nonnull(org->arena.memory);
	ck_assert_msg(store_writer_open(org->folder, &org->writer, &is_new, &err) == CX_OK,
	    "%s", err.text);
	ck_assert_int_eq(store_begin(org->writer, &err), CX_OK);
	ck_assert_int_eq(store_set_sources(org->writer, &source, 1), CX_OK);
	ck_assert_int_eq(store_set_contact(org->writer, source.id, ORG_NOW, true), CX_OK);
	org->next = source.id * 1000000U;
}

void org_close(struct org *org)
{
	store_abort(org->writer);
	if (org->view.snapshot != NULL) {
		snapshot_end(org->view.snapshot);
	}
	if (org->store != NULL) {
		store_close(org->store);
	}
	store_writer_close(org->writer);
	free(org->arena.memory);
	unit_rmdir(org->folder);
}

void org_put(struct org *org, enum record_kind kind, uint32_t flags, ...)
{
	struct record_id id = make_id(org->next / 1000000U, org->next % 1000000U);
	struct buf buf;
	va_list args;

	org->next++;
	buf_init(&buf);
	va_start(args, flags);
	vmake_record(&buf, kind, flags, args);
	va_end(args);
	ck_assert_int_eq(store_put(org->writer, &id, buf_span(&buf), NULL), CX_OK);
	buf_release(&buf);
}

void org_put_domain(struct org *org)
{
	org_put(org, RECORD_DOMAIN, 0, TAG_DN, "associatedDomain=acme.example,dc=acme",
	    TAG_DOMAIN, "acme.example", TAG_DOMAIN_TYPE, "1", TAG_UNKNOWN, "1", 0);
}

void org_put_mailbox(struct org *org, const char *name)
{
	char dn[128], mail[128];

	snprintf(dn, sizeof(dn), "uid=%s,dc=acme", name);
	snprintf(mail, sizeof(mail), "%s@acme.example", name);
	org_put(org, RECORD_RECIPIENT, 0, TAG_DN, dn, TAG_MAIL, mail, TAG_LOGIN, name, 0);
}

void org_contact(struct org *org, int64_t when, bool is_loaded)
{
	ck_assert_int_eq(
	    store_set_contact(org->writer, (uint8_t)(org->next / 1000000U), when, is_loaded),
	    CX_OK);
}

void org_look(struct org *org)
{
	struct errbuf err;

	ck_assert_msg(store_commit(org->writer, &err) == CX_OK, "%s", err.text);
	if (org->store == NULL) {
		ck_assert_msg(store_open(org->folder, &org->store, &err) == CX_OK, "%s", err.text);
	}
	if (org->view.snapshot != NULL) {
		snapshot_end(org->view.snapshot);
	}
	ck_assert_msg(snapshot_begin(org->store, &org->view.snapshot, &err) == CX_OK, "%s",
	    err.text);
	/* Not before: files are opened and closed outside of transactions (order of locks). */
	ck_assert_int_eq(store_begin(org->writer, &err), CX_OK);
	org->view.settings = &org->settings;
	org->view.now = ORG_NOW;
}

struct resolution org_resolve(struct org *org, const char *text, const struct client *client)
{
	struct question question = { .want_deliveries = true, .want_steps = true };
	struct resolution resolution;
	struct address address;

	ck_assert_int_eq(address_parse_internal(span_of(text), &address), CX_OK);
	question.address = &address;
	if (client != NULL) {
		question.client = *client;
	}
	org->arena.used = 0;
	while (resolve(&org->view, &question, &org->arena, &resolution) == CX_EFULL) {
		org->arena.size *= 2;
		org->arena.used = 0;
		free(org->arena.memory);
		org->arena.memory = malloc(org->arena.size);
		ck_assert_ptr_nonnull(org->arena.memory);
	}
	return resolution;
}
