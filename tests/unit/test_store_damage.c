#include "config.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "replica/store_lmdb.h"
#include "store_fixture.h"

/* Writes past the store what a failing disk might. */
static void damage(unsigned db, struct span key_text, struct span bytes)
{
	MDB_val key = val_of(key_text), value = val_of(bytes);

	fixture_begin();
	ck_assert_int_eq(mdb_put(fx.writer->txn, writer_dbi(fx.writer, db), &key,
			     &value, 0),
	    0);
	fixture_commit();
}

static bool visit_any(void *context, const struct record_id *id,
    const struct record *record)
{
	(void)context;
	(void)id;
	return record->kind == RECORD_RECIPIENT;
}

START_TEST(a_damaged_record_is_told_from_a_missing_one)
{
	struct record_id id = make_id(1, 1), none = make_id(1, 9);
	uint8_t key[INDEX_ID_SIZE];
	struct snapshot *snapshot;
	struct record record;

	fixture_commit_mailbox("x@acme.example");
	index_put_id(key, &id);
	damage(DB_REC, (struct span){ (const char *)key, sizeof(key) },
	    SPAN("\2\1\5junk"));
	snapshot = fixture_snapshot();
	unit_assert_status(snapshot_record(snapshot, &id, &record), CX_EFORMAT,
	    "damaged");
	unit_assert_status(snapshot_record(snapshot, &none, &record), CX_NOTFOUND,
	    "missing");
	unit_assert_status(snapshot_each(snapshot, visit_any, NULL), CX_EFORMAT,
	    "each");
	snapshot_end(snapshot);
}
END_TEST

/* Zeros over all pages but the two that say what is in force, as a dying disk may leave. */
static void wipe_pages(void)
{
	char *path = store_path(fx.writer->directory, fx.writer->live_name);
	long page = sysconf(_SC_PAGESIZE);
	int fd = open(path, O_WRONLY | O_CLOEXEC);
	off_t size = lseek(fd, 0, SEEK_END);
	char *zeros = calloc(1, (size_t)size);

	ck_assert_int_gt(size, 2 * page);
	ck_assert_int_eq(pwrite(fd, zeros, (size_t)(size - 2 * page), 2 * page),
	    size - 2 * page);
	close(fd);
	free(zeros);
	free(path);
}

START_TEST(damage_in_use_is_found_after_a_failure)
{
	fixture_commit_mailbox("x@acme.example");
	unit_assert_status(store_look_for_damage(fx.writer, &fx.err), CX_OK, "sound");
	wipe_pages();
	unit_assert_status(store_look_for_damage(fx.writer, &fx.err), CX_OK,
	    "nothing failed yet, so nobody looks");
	ck_assert_int_ne(store_begin(fx.writer, &fx.err), CX_OK);
	unit_assert_status(store_look_for_damage(fx.writer, &fx.err), CX_EFORMAT,
	    "wiped");
	ck_assert_ptr_nonnull(strstr(fx.err.text, "damaged"));
	unit_assert_status(store_look_for_damage(fx.writer, &fx.err), CX_EFORMAT,
	    "still");
	store_writer_close(fx.writer);
	fixture_reopen_writer(true);
	unit_assert_status(store_look_for_damage(fx.writer, &fx.err), CX_OK, "new");
}
END_TEST

START_TEST(a_failure_that_is_no_damage_is_forgotten)
{
	fixture_begin();
	unit_assert_status(writer_db_failed(fx.writer, ENOSPC), CX_EIO, "full disk");
	unit_assert_status(store_commit(fx.writer, &fx.err), CX_EIO, "commit");
	ck_assert(fx.writer->may_be_damaged);
	unit_assert_status(store_look_for_damage(fx.writer, &fx.err), CX_OK, "sound");
	ck_assert(!fx.writer->may_be_damaged);
	fixture_commit_mailbox("x@acme.example");
}
END_TEST

/* What the directories hold, for comparing replicas: ids, counts, keys with their owners. */
static void describe(struct buf *out)
{
	static const char *const addresses[] = { "x@acme.example", "y@acme.example",
		"z@acme.example", "t@pop.example" };
	struct snapshot *snapshot = fixture_snapshot();
	struct space_entry spaces[4];
	struct address_space space;
	struct record_id id;
	size_t count;

	buf_clear(out);
	unit_assert_status(fixture_print_keys(snapshot, KEYS_ADDRESS, out), CX_OK,
	    "addresses");
	unit_assert_status(fixture_print_keys(snapshot, KEYS_LOGIN, out), CX_OK,
	    "logins");
	unit_assert_status(fixture_print_keys(snapshot, KEYS_CONNECTOR, out), CX_OK,
	    "connectors");
	for (size_t i = 0; i < sizeof(addresses) / sizeof(addresses[0]); i++) {
		struct address_owner owner;
		struct address address;
		struct key key;

		unit_assert_status(address_parse_typed(span_of(addresses[i]), &address),
		    CX_OK, addresses[i]);
		address_key(&address, &key);
		(void)snapshot_address_owners(snapshot, &key, &owner, 1, &count);
		buf_printf(out, "%s:%zu ", addresses[i], count);
	}
	unit_assert_status(address_space_parse(SPAN("MS:NET/PO"), &space), CX_OK, "space");
	(void)snapshot_spaces(snapshot, &space.pattern, spaces, 4, &count);
	buf_printf(out, "space:%zu by-dn:%d ", count,
	    snapshot_by_dn(snapshot, SPAN("dn:cn=x"), &id));
	snapshot_end(snapshot);
	fixture_begin();
	for (unsigned kind = RECORD_RECIPIENT; kind <= RECORD_CONTAINER; kind++) {
		buf_printf(out, "%zu/%zu ", store_count(fx.writer, 1, kind),
		    store_count(fx.writer, 2, kind));
	}
	store_abort(fx.writer);
}

enum repairing {
	REPLACE,
	REPLACE_BY_OTHER,
	REMOVE,
};

static void put_people(enum repairing how, bool is_anew)
{
	const char *mail = is_anew && how == REPLACE_BY_OTHER ? "y@acme.example"
							      : "x@acme.example";
	struct record_id id = make_id(1, 1);

	if (is_anew && how == REMOVE) {
		enum status status = store_remove(fx.writer, &id);

		ck_assert(status == CX_OK || status == CX_NOTFOUND);
	} else {
		fixture_put(1, 1,
		    make_record(&fx.buf, RECORD_RECIPIENT, 0, TAG_DN, "cn=x", TAG_MAIL,
			mail, TAG_TARGET, "t@pop.example", TAG_ALT_KEY, "dn:cn=y",
			TAG_LOGIN, "joe", 0));
	}
	fixture_put_mailbox(2, 2, "z@acme.example");
	fixture_put_mailbox(2, 3, "x@acme.example");
}

static void put_a_connector(enum repairing how, bool is_anew)
{
	struct record_id id = make_id(1, 4);

	if (is_anew && how == REMOVE) {
		enum status status = store_remove(fx.writer, &id);

		ck_assert(status == CX_OK || status == CX_NOTFOUND);
	} else {
		fixture_put(1, 4,
		    make_record(&fx.buf, RECORD_CONNECTOR, 0, TAG_DN, "cn=c", TAG_NAME, "c",
			TAG_SPACE,
			is_anew && how == REPLACE_BY_OTHER ? "MS:OTHER" : "MS:NET/PO", 0));
	}
}

/* Bytes that are no record, and records that are others. */
static const char *const damages[] = { "no record", "nothing", "another recipient",
	"another kind" };
enum {
	DAMAGES = sizeof(damages) / sizeof(damages[0])
};

static struct span damaged_bytes(int which)
{
	switch (which) {
	case 0: return SPAN("\377\1\5junk");
	case 1: return SPAN("");
	case 2:
		return make_record(&fx.buf, RECORD_RECIPIENT, 0, TAG_MAIL, "q@acme.example",
		    0);
	default: return make_record(&fx.buf, RECORD_CONTAINER, 0, TAG_DN, "cn=q", 0);
	}
}

START_TEST(a_damaged_record_is_replaced_without_a_trace)
{
	enum repairing how = (enum repairing)(_i % 3);
	const char *label = damages[_i / 3];
	struct record_id person = make_id(1, 1), connector = make_id(1, 4);
	uint8_t keys[2][INDEX_ID_SIZE];
	struct buf repaired, fresh;

	buf_init(&repaired);
	buf_init(&fresh);
	fixture_begin();
	put_people(how, false);
	put_a_connector(how, false);
	fixture_commit();
	ck_assert_uint_eq(store_repaired(fx.writer), 0);
	index_put_id(keys[0], &person);
	index_put_id(keys[1], &connector);
	for (size_t i = 0; i < 2; i++) {
		damage(DB_REC, (struct span){ (const char *)keys[i], INDEX_ID_SIZE },
		    damaged_bytes(_i / 3));
	}
	fixture_begin();
	put_people(how, true);
	put_a_connector(how, true);
	fixture_commit();
	ck_assert_uint_eq(store_repaired(fx.writer), 2);
	describe(&repaired);

	fixture_tear_down();
	fixture_set_up();
	fixture_begin();
	put_people(how, true);
	put_a_connector(how, true);
	fixture_commit();
	describe(&fresh);
	ck_assert_msg(span_equal(buf_span(&repaired), buf_span(&fresh)), "%s, %d: %s\n%s",
	    label, how, repaired.data, fresh.data);
	buf_release(&repaired);
	buf_release(&fresh);
}
END_TEST

/* What nothing is said of stays as it is: temporary for readers, not gone. */
START_TEST(a_damaged_record_that_is_not_replaced_stays_known)
{
	struct record_id id = make_id(1, 1), other = make_id(2, 3);
	uint8_t keys[2][INDEX_ID_SIZE];
	struct snapshot *snapshot;
	struct record record;

	fixture_begin();
	put_people(REPLACE, false);
	fixture_commit();
	index_put_id(keys[0], &id);
	index_put_id(keys[1], &other);
	for (size_t i = 0; i < 2; i++) {
		damage(DB_REC, (struct span){ (const char *)keys[i], INDEX_ID_SIZE },
		    SPAN("\1\1\5junk"));
	}
	fixture_begin();
	fixture_put_mailbox(2, 3, "y@acme.example");
	fixture_commit();
	fixture_assert_owners("x@acme.example", "1/1 ");
	fixture_assert_owners("y@acme.example", "2/3 ");
	snapshot = fixture_snapshot();
	unit_assert_status(snapshot_record(snapshot, &id, &record), CX_EFORMAT, "still");
	snapshot_end(snapshot);
}
END_TEST

START_TEST(a_damaged_index_is_told_from_an_empty_one)
{
	struct address_owner owners[2];
	struct snapshot *snapshot;
	struct address address;
	struct key key;
	size_t count;

	unit_assert_status(address_parse_typed(SPAN("x@acme.example"), &address), CX_OK,
	    "address");
	address_key(&address, &key);
	damage(INDEX_ADDR, key_span(&key), SPAN("\377\1uuid"));
	snapshot = fixture_snapshot();
	unit_assert_status(snapshot_address_owners(snapshot, &key, owners, 2, &count),
	    CX_EFORMAT, "owners");
	snapshot_end(snapshot);
}
END_TEST

START_TEST(a_damaged_head_gives_no_snapshot)
{
	struct snapshot *snapshot;

	damage(DB_META, SPAN(META_HEAD), SPAN("\1"));
	unit_assert_status(snapshot_begin(fx.store, &snapshot, &fx.err), CX_EFORMAT,
	    "reader");
	ck_assert_ptr_nonnull(strstr(fx.err.text, "damaged"));
	unit_assert_status(store_begin(fx.writer, &fx.err), CX_EFORMAT, "writer");
	unit_assert_status(store_look_for_damage(fx.writer, &fx.err), CX_EFORMAT, "look");
}
END_TEST

START_TEST(a_replica_with_a_damaged_head_is_put_aside_at_the_next_start)
{
	damage(DB_META, SPAN(META_HEAD), SPAN("\1"));
	store_writer_close(fx.writer);
	fixture_reopen_writer(true);
	fixture_begin();
	fixture_commit();
	snapshot_end(fixture_snapshot());
}
END_TEST

Suite *unit_suite(void)
{
	Suite *suite = suite_create("store damage");
	TCase *tcase = tcase_create("store damage");

	tcase_add_checked_fixture(tcase, fixture_set_up, fixture_tear_down);
	tcase_add_test(tcase, damage_in_use_is_found_after_a_failure);
	tcase_add_test(tcase, a_failure_that_is_no_damage_is_forgotten);
	tcase_add_test(tcase, a_damaged_record_is_told_from_a_missing_one);
	/* Nothing tells that what has no index entries had some, once it goes: not the last. */
	tcase_add_loop_test(tcase, a_damaged_record_is_replaced_without_a_trace, 0,
	    3 * DAMAGES - 1);
	tcase_add_test(tcase, a_damaged_record_that_is_not_replaced_stays_known);
	tcase_add_test(tcase, a_damaged_index_is_told_from_an_empty_one);
	tcase_add_test(tcase, a_damaged_head_gives_no_snapshot);
	tcase_add_test(tcase,
	    a_replica_with_a_damaged_head_is_put_aside_at_the_next_start);
	suite_add_tcase(suite, tcase);
	return suite;
}
