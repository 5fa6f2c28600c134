#include "config.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "replica/recipient.h"
#include "replica/store_lmdb.h"
#include "store_fixture.h"

/*
 * Random changes, against a model that is an array: after them every index must be what a
 * replica has that was filled from nothing, and look-ups must say what a scan of the
 * array says. Values come from small sets, so that records collide all the time.
 */
enum {
	RECORDS = 24,
	SEEDS = 12,
	ROUNDS = 12,
	TRANSACTIONS = 12,
	CHANGES = 8
};

static struct {
	struct record_id id;
	char *bytes; /* NULL: absent */
	size_t len;
} model[RECORDS];

static uint32_t random_state;

static unsigned random_below(unsigned limit)
{
	random_state ^= random_state << 13;
	random_state ^= random_state >> 17;
	random_state ^= random_state << 5;
	return random_state % limit;
}

/* clang-format off */
static const char *const addresses[] = {
	"a@acme.example", "B@acme.example", "b@ACME.example", "\"a\"@acme.example",
	"c@acme.example", "smtp:c@acme.example", "MS:ACME/PO/A", "ms:acme/po/a",
	"X400:c=us;a=att;p=acme;s=a", "d@other.example", "d@other.example.", "not an address",
	"", "@", "NOTES:a",
};
static const char *const names[] = { "siteb", "SiteB", "sitec", "", "x" };
static const char *const dns[] = { "cn=a,dc=x", "CN=A, DC=X", "cn=b,dc=x", "no dn", "" };
static const char *const dn_keys[] = { "dn:cn=a,dc=x", "dn:cn=b,dc=x", "dn:cn=c", "" };
static const char *const logins[] = { "a", "b", "c", "" };
static const char *const domains[] = { "acme.example", "*.acme.example", "x.example", "" };
static const char *const spaces[] = {
	"SMTP:*", "SMTP:*;5", "SMTP:pop.example.com", "SMTP:*@pop.example.com;1",
	"SMTP:*.example.com", "MS:ACME/PO", "MS:ACME/PO/", "X400:c=us;a=att", "FAX:5*",
	"SMTP:a@acme.example", "",
};
static const char *const nets[] = {
	"192.0.2.0/24", "!192.0.2.0/24", "192.0.2.9", "!192.0.2.9", "2001:db8::/32",
	"::/0", "nonsense", "",
};
static const char *const certificates[] = { "ab", "cd", "" };
/* clang-format on */

#define PUT_SOME(tag, set, most) \
 put_some((tag), (set), sizeof(set) / sizeof((set)[0]), (most))

static void put_some(enum record_tag tag, const char *const *set, unsigned size,
    unsigned most)
{
	for (unsigned n = random_below(most + 1); n > 0; n--) {
		record_put(&fx.buf, tag, span_of(set[random_below(size)]));
	}
}

static void make_recipient(void)
{
	PUT_SOME(TAG_DN, dns, 1);
	record_put_flags(&fx.buf, random_below(64));
	PUT_SOME(TAG_PRIMARY, addresses, 2);
	PUT_SOME(TAG_MAIL, addresses, 2);
	PUT_SOME(TAG_PROXY, addresses, 3);
	PUT_SOME(TAG_TARGET, addresses, 1);
	PUT_SOME(TAG_ALT_KEY, dn_keys, 2);
	PUT_SOME(TAG_LOGIN, logins, 2);
	PUT_SOME(TAG_MEMBER_KEY, dn_keys, 3);
}

static void make_connector(void)
{
	record_put_flags(&fx.buf, random_below(4) == 0 ? 1 : 0);
	PUT_SOME(TAG_NAME, names, 1);
	PUT_SOME(TAG_SPACE, spaces, 4);
	PUT_SOME(TAG_PEER, nets, 3);
	PUT_SOME(TAG_RELAY_CLIENT, nets, 3);
	PUT_SOME(TAG_RELAY_CERTIFICATE, certificates, 2);
}

static struct span make_random_record(void)
{
	switch (random_below(8)) {
	case 0:
		record_begin(&fx.buf, RECORD_CONTAINER);
		PUT_SOME(TAG_DN, dns, 1);
		break;
	case 1:
		record_begin(&fx.buf, RECORD_DOMAIN);
		PUT_SOME(TAG_DOMAIN, domains, 3);
		record_put_byte(&fx.buf, TAG_DOMAIN_TYPE,
		    (uint8_t)(1 + random_below(4)));
		break;
	case 2:
	case 3:
		record_begin(&fx.buf, RECORD_CONNECTOR);
		make_connector();
		break;
	default:
		record_begin(&fx.buf, RECORD_RECIPIENT);
		make_recipient();
		break;
	}
	ck_assert(!fx.buf.failed);
	return buf_span(&fx.buf);
}

static void model_set(unsigned at, struct span record)
{
	free(model[at].bytes);
	model[at].bytes = record.ptr ? unit_copy(record.ptr, record.len) : NULL;
	model[at].len = record.len;
}

static void change_one(bool is_kept)
{
	unsigned at = random_below(RECORDS);
	struct span none = { NULL, 0 };

	if (random_below(3) == 0) {
		enum status status = store_remove(fx.writer, &model[at].id);

		/* In one that is aborted the model does not know what went before. */
		ck_assert(status == CX_OK || status == CX_NOTFOUND);
		if (is_kept) {
			ck_assert_int_eq(status == CX_OK, model[at].bytes != NULL);
			model_set(at, none);
		}
		return;
	}
	struct span record = make_random_record();

	unit_assert_status(store_put(fx.writer, &model[at].id, record, NULL), CX_OK,
	    "put");
	if (is_kept) {
		model_set(at, record);
	}
}

/* Everything in the databases but what only counts time, as one text. */
static void dump(struct store_writer *writer, struct buf *out)
{
	for (unsigned db = 0; db < DB_COUNT; db++) {
		MDB_cursor *cursor;
		MDB_val key, value;

		ck_assert_int_eq(mdb_cursor_open(writer->txn,
				     writer_env(writer)->dbi[db], &cursor),
		    0);
		while (mdb_cursor_get(cursor, &key, &value, MDB_NEXT) == MDB_SUCCESS) {
			if (db == DB_META &&
			    span_equal(span_of_val(key), SPAN(META_HEAD))) {
				continue;
			}
			buf_printf(out, "%u ", db);
			buf_add_escaped(out, span_of_val(key));
			buf_add_text(out, " ");
			buf_add_escaped(out, span_of_val(value));
			buf_add_text(out, "\n");
		}
		mdb_cursor_close(cursor);
	}
	ck_assert(!out->failed);
}

/* A replica filled from nothing with the records of the model, in any order. */
static void dump_of_fresh(struct buf *out)
{
	char *folder = unit_mkdir();
	unsigned start = random_below(RECORDS);
	struct store_writer *writer;
	bool is_new;

	unit_assert_status(store_writer_open(folder, &writer, &is_new, &fx.err), CX_OK,
	    fx.err.text);
	unit_assert_status(store_begin(writer, &fx.err), CX_OK, fx.err.text);
	for (unsigned i = 0; i < RECORDS; i++) {
		unsigned at = (start + 7 * i) % RECORDS;

		if (model[at].bytes) {
			unit_assert_status(
			    store_put(writer, &model[at].id,
				(struct span){ model[at].bytes, model[at].len }, NULL),
			    CX_OK, "put");
		}
	}
	unit_assert_status(store_commit(writer, &fx.err), CX_OK, fx.err.text);
	unit_assert_status(store_begin(writer, &fx.err), CX_OK, fx.err.text);
	dump(writer, out);
	store_abort(writer);
	store_writer_close(writer);
	unit_rmdir(folder);
}

/* Names the first line that differs; the texts are too long for a message. */
static void assert_equal_texts(const char *ours, const char *fresh)
{
	size_t at = 0, line = 0;

	while (ours[at] && ours[at] == fresh[at]) {
		if (ours[at++] == '\n') {
			line = at;
		}
	}
	ck_assert_msg(ours[at] == fresh[at], "\"%.200s\", not \"%.200s\"", ours + line,
	    fresh + line);
}

static void assert_as_fresh(void)
{
	struct buf ours, fresh;

	buf_init(&ours);
	buf_init(&fresh);
	fixture_begin();
	dump(fx.writer, &ours);
	store_abort(fx.writer);
	dump_of_fresh(&fresh);
	assert_equal_texts(ours.data, fresh.data);
	buf_release(&ours);
	buf_release(&fresh);
}

static bool values_have(struct values values, const struct key *wanted)
{
	struct address address;
	struct span value;
	struct key key;

	while (values_next(&values, &value)) {
		if (address_parse_typed(value, &address) == CX_OK) {
			address_key(&address, &key);
			if (key_equal(&key, wanted)) {
				return true;
			}
		}
	}
	return false;
}

/* 0: not by this record; 1: its own; 2: only its target. */
static int claim_of(unsigned at, const struct key *wanted)
{
	struct recipient r;
	struct record record;

	if (!model[at].bytes ||
	    record_open((struct span){ model[at].bytes, model[at].len }, &record) !=
		CX_OK ||
	    recipient_decode(&record, &r) != CX_OK) {
		return 0;
	}
	if (values_have(r.primaries, wanted) || values_have(r.mails, wanted) ||
	    values_have(r.proxies, wanted)) {
		return 1;
	}
	return values_have(record_values(&record, TAG_TARGET), wanted) ? 2 : 0;
}

/* Sources 1 and 2 are named in this order; 3 is not. */
static void assert_owners_by_scan(const char *address)
{
	char expected[256] = "";
	struct address parsed;
	struct key key;
	size_t used = 0;
	unsigned count = 0;

	if (address_parse_typed(span_of(address), &parsed) != CX_OK) {
		return;
	}
	address_key(&parsed, &key);
	for (int claim = 1; claim <= 2; claim++) {
		for (unsigned at = 0; at < RECORDS; at++) {
			if (model[at].id.source <= 2 && claim_of(at, &key) == claim &&
			    count++ < 8) {
				used += (size_t)snprintf(expected + used,
				    sizeof(expected) - used, "%u/%u%s ",
				    model[at].id.source, model[at].id.uuid[3],
				    claim == 2 ? "t" : "");
			}
		}
	}
	if (count <= 8) {
		fixture_assert_owners(address, expected);
	}
}

START_TEST(indexes_are_those_of_a_replica_filled_from_nothing)
{
	random_state = 2463534242U + (uint32_t)_i * 7919;
	/* In the order in which owners are listed. */
	for (unsigned at = 0; at < RECORDS; at++) {
		model[at].id = make_id(1 + at / (RECORDS / 3), at);
	}
	for (int round = 0; round < ROUNDS; round++) {
		bool is_building = random_below(3) == 0;

		if (is_building) {
			unit_assert_status(store_writer_build(fx.writer, &fx.err),
			    CX_OK, fx.err.text);
		}
		for (unsigned n = random_below(TRANSACTIONS); n > 0; n--) {
			bool is_kept = random_below(4) != 0;

			fixture_begin();
			for (unsigned i = random_below(CHANGES); i > 0; i--) {
				change_one(is_kept);
			}
			if (is_kept) {
				fixture_commit();
			} else {
				store_abort(fx.writer);
			}
		}
		if (is_building) {
			unit_assert_status(store_writer_publish(fx.writer, &fx.err),
			    CX_OK, fx.err.text);
			/* Not a second's wait: a reader that opens now. */
			store_close(fx.store);
			unit_assert_status(store_open(fx.folder, &fx.store, &fx.err),
			    CX_OK, fx.err.text);
		}
		assert_as_fresh();
		for (size_t i = 0; i < sizeof(addresses) / sizeof(addresses[0]); i++) {
			assert_owners_by_scan(addresses[i]);
		}
	}
	for (unsigned at = 0; at < RECORDS; at++) {
		model_set(at, (struct span){ NULL, 0 });
	}
}
END_TEST

Suite *unit_suite(void)
{
	Suite *suite = suite_create("store_model");
	TCase *tcase = tcase_create("store_model");

	tcase_set_timeout(tcase, 120);
	tcase_add_checked_fixture(tcase, fixture_set_up, fixture_tear_down);
	tcase_add_loop_test(tcase, indexes_are_those_of_a_replica_filled_from_nothing,
	    0, SEEDS);
	suite_add_tcase(suite, tcase);
	return suite;
}
