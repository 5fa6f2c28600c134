#include "config.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "replica/recipient.h"
#include "store_fixture.h"
#include "store_random.h"

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
	struct span record = random_record(&fx.buf);

	unit_assert_status(store_put(fx.writer, &model[at].id, record, NULL), CX_OK,
	    "put");
	if (is_kept) {
		model_set(at, record);
	}
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
	random_dump(writer, out);
	store_abort(writer);
	store_writer_close(writer);
	unit_rmdir(folder);
}

static void assert_as_fresh(void)
{
	struct buf ours, fresh;

	buf_init(&ours);
	buf_init(&fresh);
	fixture_begin();
	random_dump(fx.writer, &ours);
	store_abort(fx.writer);
	dump_of_fresh(&fresh);
	random_assert_equal(ours.data, fresh.data);
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
	random_seed((unsigned)_i);
	/* In the order in which owners are listed. */
	for (unsigned at = 0; at < RECORDS; at++) {
		model[at].id = make_id(1 + at / (RECORDS / 3), at);
	}
	for (int round = 0; round < ROUNDS; round++) {
		bool is_building = random_below(3) == 0;

		if (is_building) {
			fixture_build();
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
			fixture_publish();
			/* Not a second's wait: a reader that opens now. */
			store_close(fx.store);
			fixture_open_store();
		}
		assert_as_fresh();
		for (size_t i = 0; i < RANDOM_ADDRESSES; i++) {
			assert_owners_by_scan(random_addresses[i]);
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
