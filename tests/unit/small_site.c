#include "config.h"

#include "small_site.h"

#include <stdlib.h>

#include "make_record.h"
#include "replica/connector.h"
#include "replica/domain.h"
#include "replica/recipient.h"
#include "replica/store_write.h"
#include "unit.h"

/* The first number that a directory gets. */
#define SOURCE_ID 1

#define SHARED        "2"
#define AUTHORITATIVE "1"
#define RELAY         "3"
#define REWRITE       "4"
#define REJECT        "1"
#define OBSERVE       "3"

static const char *const no_servers[] = { NULL };

static const struct settings defaults = {
	.organization = "acme",
	.local_servers = no_servers,
	.recipient_delimiter = "+",
	.postmaster = "postmaster",
	.mailbox_transport = "lmtp:unix:private/lmtp",
	.rewrite_to_primary = true,
	.authenticated_relay = AUTHENTICATED_RELAY_DIRECTORY,
	.max_depth = 16,
	.max_deliveries = 10000,
	.max_staleness_s = 7 * 86400,
	.unknown_defer_after_s = 3600,
};

static void put(struct store_writer *writer, unsigned number, struct buf *record)
{
	struct record_id id = make_id(SOURCE_ID, number);

	ck_assert_int_eq(store_put(writer, &id, buf_span(record), NULL), CX_OK);
	buf_clear(record);
}

/* clang-format off */
static void put_domains(struct store_writer *w)
{
	struct buf r;

	buf_init(&r);
	(void)make_record(&r, RECORD_DOMAIN, 0, TAG_DN, "dc=acme", TAG_DOMAIN, "acme.example",
	    TAG_DOMAIN_TYPE, SHARED, TAG_UNKNOWN, REJECT, 0);
	put(w, 1, &r);
	(void)make_record(&r, RECORD_DOMAIN, 0, TAG_DN, "dc=auth", TAG_DOMAIN, "*.wild.example",
	    TAG_DOMAIN, "auth.example", TAG_DOMAIN_TYPE, AUTHORITATIVE, TAG_UNKNOWN, REJECT, 0);
	put(w, 2, &r);
	(void)make_record(&r, RECORD_DOMAIN, 0, TAG_DN, "dc=relay", TAG_DOMAIN, "relay.example",
	    TAG_DOMAIN_TYPE, RELAY, TAG_UNKNOWN, REJECT, TAG_FORWARD_HOST, "mx.relay.example", 0);
	put(w, 3, &r);
	(void)make_record(&r, RECORD_DOMAIN, 0, TAG_DN, "dc=old", TAG_DOMAIN, "old.example",
	    TAG_DOMAIN_TYPE, REWRITE, TAG_UNKNOWN, REJECT, TAG_REWRITE_DOMAIN, "acme.example", 0);
	put(w, 4, &r);
	(void)make_record(&r, RECORD_DOMAIN, DOMAIN_DISABLED, TAG_DN, "dc=off", TAG_DOMAIN,
	    "off.example", TAG_DOMAIN_TYPE, SHARED, TAG_UNKNOWN, REJECT, 0);
	put(w, 5, &r);
	(void)make_record(&r, RECORD_DOMAIN, 0, TAG_DN, "dc=watch", TAG_DOMAIN, "watch.example",
	    TAG_DOMAIN_TYPE, SHARED, TAG_UNKNOWN, OBSERVE, 0);
	put(w, 6, &r);
	buf_release(&r);
}

static void put_recipients(struct store_writer *w)
{
	struct buf r;

	buf_init(&r);
	(void)make_record(&r, RECORD_RECIPIENT, 0, TAG_DN, "cn=adam", TAG_PRIMARY,
	    "adam.barr@acme.example", TAG_MAIL, "adam.barr@acme.example", TAG_PROXY,
	    "\"we ird\"@acme.example", TAG_PROXY, "a.barr@acme.example", TAG_PROXY,
	    "adam@home.example", TAG_LOGIN, "adam", 0);
	put(w, 11, &r);
	(void)make_record(&r, RECORD_RECIPIENT, 0, TAG_DN, "cn=eve", TAG_MAIL, "eve@acme.example",
	    TAG_TARGET, "eve@pop.partner.example", TAG_LOGIN, "eve", 0);
	put(w, 12, &r);
	(void)make_record(&r, RECORD_RECIPIENT, RECIPIENT_REQUIRE_AUTH, TAG_DN, "cn=boss",
	    TAG_MAIL, "boss@acme.example", 0);
	put(w, 13, &r);
	(void)make_record(&r, RECORD_RECIPIENT, RECIPIENT_PARKED, TAG_DN, "cn=parked",
	    TAG_MAIL, "parked@acme.example", 0);
	put(w, 14, &r);
	(void)make_record(&r, RECORD_RECIPIENT, RECIPIENT_RELAY_FORBIDDEN, TAG_DN, "cn=kid",
	    TAG_MAIL, "kid@acme.example", TAG_LOGIN, "kid", 0);
	put(w, 15, &r);
	(void)make_record(&r, RECORD_RECIPIENT, 0, TAG_DN, "cn=gone", TAG_MAIL,
	    "gone@acme.example", TAG_HOME_SERVER, "nowhere", 0);
	put(w, 16, &r);
	/* Two claim one login, and one address. */
	(void)make_record(&r, RECORD_RECIPIENT, 0, TAG_DN, "cn=twin1", TAG_MAIL,
	    "twin1@acme.example", TAG_PROXY, "twins@acme.example", TAG_LOGIN, "twin", 0);
	put(w, 17, &r);
	(void)make_record(&r, RECORD_RECIPIENT, 0, TAG_DN, "cn=twin2", TAG_MAIL,
	    "twin2@acme.example", TAG_PROXY, "twins@acme.example", TAG_LOGIN, "twin", 0);
	put(w, 18, &r);
	buf_release(&r);
}

static void put_connectors(struct store_writer *w)
{
	struct buf r;

	buf_init(&r);
	(void)make_record(&r, RECORD_CONNECTOR, 0, TAG_DN, "cn=clients", TAG_NAME, "clients",
	    TAG_RELAY_CLIENT, "!192.0.2.9", TAG_RELAY_CLIENT, "192.0.2.0/24", TAG_RELAY_CLIENT,
	    "2001:db8::/32", TAG_RELAY_CERTIFICATE, FINGERPRINT, 0);
	put(w, 21, &r);
	(void)make_record(&r, RECORD_CONNECTOR, 0, TAG_DN, "cn=partner", TAG_NAME, "partner",
	    TAG_NEXT_HOP, "smtp:[pop.partner.example]:2525", TAG_SPACE,
	    "SMTP:pop.partner.example", TAG_PEER, "203.0.113.0/24", 0);
	put(w, 22, &r);
	(void)make_record(&r, RECORD_CONNECTOR, 0, TAG_DN, "cn=bounce", TAG_NAME, "bounce",
	    TAG_NEXT_HOP, "error:5.1.1 no", TAG_SPACE, "SMTP:closed.example", 0);
	put(w, 23, &r);
	buf_release(&r);
}
/* clang-format on */

static void fill(const char *folder, const struct small_site_age *age)
{
	struct source_info source = {
		.name = "corp",
		.provides_recipients = true,
		.provides_domains = true,
		.provides_connectors = true,
	};
	struct store_writer *writer;
	struct errbuf err = { "" };
	bool is_new;

	ck_assert_int_eq(store_writer_open(folder, &writer, &is_new, &err), CX_OK);
	ck_assert_int_eq(store_begin(writer, &err), CX_OK);
	ck_assert_int_eq(store_set_sources(writer, &source, 1), CX_OK);
	ck_assert_uint_eq(source.id, SOURCE_ID);
	put_domains(writer);
	put_recipients(writer);
	put_connectors(writer);
	ck_assert_int_eq(store_set_contact(writer, source.id,
			     SMALL_SITE_NOW - age->seconds, age->is_loaded),
	    CX_OK);
	ck_assert_int_eq(store_commit(writer, &err), CX_OK);
	store_writer_close(writer);
}

static void open_view(struct small_site *site)
{
	struct errbuf err = { "" };

	site->settings = defaults;
	site->view =
	    (struct view){ .settings = &site->settings, .now = SMALL_SITE_NOW };
	ck_assert_int_eq(store_open(site->folder, &site->store, &err), CX_OK);
}

void small_site_init(struct small_site *site, const struct small_site_age *age)
{
	static const struct small_site_age fresh = { true, 0 };
	struct errbuf err = { "" };

	site->folder = unit_mkdir();
	fill(site->folder, age != NULL ? age : &fresh);
	open_view(site);
	ck_assert_msg(snapshot_begin(site->store, &site->view.snapshot, &err) == CX_OK,
	    "%s", err.text);
}

void small_site_init_empty(struct small_site *site)
{
	site->folder = unit_mkdir();
	open_view(site);
}

void small_site_free(struct small_site *site)
{
	if (site->view.snapshot != NULL) {
		snapshot_end(site->view.snapshot);
	}
	store_close(site->store);
	unit_rmdir(site->folder);
}
