#include "config.h"

#include <string.h>
#include <unistd.h>

#include "replica/recipient.h"
#include "store_fixture.h"

START_TEST(there_is_no_snapshot_before_there_is_a_replica)
{
	char *empty = unit_mkdir();
	struct store *other;
	struct snapshot *snap;

	unit_assert_status(store_open(empty, &other, &fx.err), CX_OK, fx.err.text);
	unit_assert_status(snapshot_begin(other, &snap, &fx.err), CX_ETEMP,
	    "no replica");
	ck_assert_ptr_nonnull(strstr(fx.err.text, "no replica yet"));
	unit_assert_status(snapshot_begin(other, &snap, NULL), CX_ETEMP,
	    "without errbuf");
	store_close(other);
	unit_rmdir(empty);
}
END_TEST

START_TEST(the_first_replica_is_seen_at_once)
{
	char *empty = unit_mkdir();
	struct store_writer *first;
	struct store *other;
	struct snapshot *snap;
	bool is_new;

	unit_assert_status(store_open(empty, &other, &fx.err), CX_OK, fx.err.text);
	unit_assert_status(snapshot_begin(other, &snap, NULL), CX_ETEMP, "before");
	unit_assert_status(store_writer_open(empty, &first, &is_new, &fx.err), CX_OK,
	    fx.err.text);
	ck_assert(is_new);
	unit_assert_status(snapshot_begin(other, &snap, &fx.err), CX_OK, fx.err.text);
	ck_assert_uint_eq(snapshot_generation(snap), 0);
	snapshot_end(snap);
	store_close(other);
	store_writer_close(first);
	unit_rmdir(empty);
}
END_TEST

START_TEST(the_writer_makes_the_folder_for_readers_that_were_there_first)
{
	char *empty = unit_mkdir();
	struct store_writer *first;
	struct store *other;
	struct snapshot *snap;
	bool is_new;

	ck_assert_int_eq(rmdir(empty), 0);
	unit_assert_status(store_open(empty, &other, &fx.err), CX_OK, fx.err.text);
	unit_assert_status(snapshot_begin(other, &snap, &fx.err), CX_ETEMP, "before");
	ck_assert_ptr_nonnull(strstr(fx.err.text, "no replica yet"));
	unit_assert_status(store_writer_open(empty, &first, &is_new, &fx.err), CX_OK,
	    fx.err.text);
	unit_assert_status(snapshot_begin(other, &snap, &fx.err), CX_OK, fx.err.text);
	snapshot_end(snap);
	store_close(other);
	store_writer_close(first);
	unit_rmdir(empty);
}
END_TEST

START_TEST(a_folder_that_is_none_is_a_wrong_configuration)
{
	struct store *other;

	unit_assert_status(store_open("/nonexistent/x", &other, &fx.err), CX_ECONF,
	    "missing");
	unit_assert_status(store_open("/dev/null", &other, &fx.err), CX_ECONF,
	    "a device");
}
END_TEST

START_TEST(the_same_bytes_change_nothing)
{
	struct snapshot *snap;
	uint64_t generation;

	fixture_commit_mailbox("x@acme.example");
	snap = fixture_snapshot();
	generation = snapshot_generation(snap);
	snapshot_end(snap);
	fixture_begin();
	ck_assert(!fixture_put(1, 1,
	    make_record(&fx.buf, RECORD_RECIPIENT, 0, TAG_MAIL, "x@acme.example", 0)));
	unit_assert_status(store_put_meta(fx.writer, "src/1/cookie", SPAN("c")), CX_OK,
	    "meta");
	unit_assert_status(store_set_contact(fx.writer, 1, 99, false), CX_OK,
	    "contact");
	fixture_commit();
	snap = fixture_snapshot();
	ck_assert_uint_eq(snapshot_generation(snap), generation);
	snapshot_end(snap);
}
END_TEST

START_TEST(an_aborted_transaction_leaves_no_trace)
{
	fixture_begin();
	fixture_put_mailbox(1, 1, "x@acme.example");
	ck_assert_uint_eq(store_count(fx.writer, 1, RECORD_RECIPIENT), 1);
	store_abort(fx.writer);
	fixture_assert_owners("x@acme.example", "");
	fixture_begin();
	ck_assert_uint_eq(store_count(fx.writer, 1, RECORD_RECIPIENT), 0);
	fixture_commit();
}
END_TEST

START_TEST(what_is_no_record_is_refused_and_the_rest_goes_on)
{
	struct record_id id = make_id(1, 1);
	struct span record;

	fixture_begin();
	unit_assert_status(store_put(fx.writer, &id, SPAN("junk"), NULL), CX_EINVAL,
	    "junk");
	record = make_record(&fx.buf, RECORD_DOMAIN, 0, TAG_DOMAIN, "x",
	    TAG_DOMAIN_TYPE, "9", 0);
	unit_assert_status(store_put(fx.writer, &id, record, NULL), CX_EINVAL,
	    "no type");
	fixture_put_mailbox(1, 1, "x@acme.example");
	fixture_commit();
	fixture_assert_owners("x@acme.example", "1/1 ");
}
END_TEST

static bool count_records(void *context, const struct record_id *id,
    const struct record *record)
{
	ck_assert_uint_eq(id->source, 1);
	ck_assert_int_eq(record->kind, RECORD_RECIPIENT);
	++*(unsigned *)context;
	return true;
}

START_TEST(a_source_that_is_no_longer_named_goes_with_all_it_had)
{
	struct snapshot *snap;
	struct span value;
	unsigned seen = 0;
	size_t count;

	fixture_begin();
	fixture_put_mailbox(1, 1, "a@x.example");
	fixture_put_mailbox(2, 1, "a@x.example");
	fixture_put_mailbox(2, 2, "b@x.example");
	store_put_meta(fx.writer, "src/1/cookie", SPAN("one"));
	store_put_meta(fx.writer, "src/2/cookie", SPAN("two"));
	store_put_meta(fx.writer, "src/2/confhash", SPAN("two"));
	store_put_meta(fx.writer, "src/22/cookie", SPAN("another"));
	store_set_contact(fx.writer, 1, 1234, true);
	fixture_commit();
	fixture_name_source(1, "third");
	fixture_begin();
	unit_assert_status(store_set_sources(fx.writer, fx.sources, 2), CX_OK,
	    "sources");
	ck_assert_uint_eq(fx.sources[0].id, 1);
	ck_assert(fx.sources[0].is_loaded);
	ck_assert_int_eq(fx.sources[0].last_contact, 1234);
	ck_assert_uint_eq(fx.sources[1].id, 3);
	ck_assert(!fx.sources[1].is_loaded);
	fixture_commit();
	fixture_assert_owners("b@x.example", "");
	fixture_assert_owners("a@x.example", "1/1 ");
	snap = fixture_snapshot();
	unit_assert_status(snapshot_meta(snap, "src/2/cookie", &value), CX_NOTFOUND,
	    "cookie");
	unit_assert_status(snapshot_meta(snap, "src/2/confhash", &value), CX_NOTFOUND,
	    "hash");
	unit_assert_status(snapshot_meta(snap, "src/1/cookie", &value), CX_OK,
	    "other's");
	unit_assert_span(value, "one", "cookie");
	unit_assert_status(snapshot_meta(snap, "src/22/cookie", &value), CX_OK, "like");
	unit_assert_status(snapshot_each(snap, count_records, &seen), CX_OK, "each");
	ck_assert_uint_eq(seen, 1);
	ck_assert_str_eq(snapshot_sources(snap, &count)[1].name, "third");
	ck_assert_uint_eq(count, 2);
	ck_assert_uint_eq(snapshot_precedence(snap, 3), 1);
	ck_assert_uint_eq(snapshot_precedence(snap, 2), STORE_SOURCES_MAX);
	snapshot_end(snap);
}
END_TEST

START_TEST(contact_is_noted_and_loaded_never_falls_back)
{
	const struct source_info *info;
	struct snapshot *snap;
	size_t count;

	fixture_begin();
	unit_assert_status(store_set_contact(fx.writer, 2, 100, true), CX_OK, "first");
	unit_assert_status(store_set_contact(fx.writer, 2, 200, false), CX_OK,
	    "second");
	unit_assert_status(store_set_contact(fx.writer, 9, 200, false), CX_NOTFOUND,
	    "none");
	fixture_commit();
	snap = fixture_snapshot();
	info = snapshot_sources(snap, &count);
	ck_assert_int_eq(info[0].last_contact, 0);
	ck_assert(!info[0].is_loaded);
	ck_assert_int_eq(info[1].last_contact, 200);
	ck_assert(info[1].is_loaded);
	snapshot_end(snap);
}
END_TEST

START_TEST(values_beside_the_data_are_kept_and_removed)
{
	struct span value;

	fixture_begin();
	unit_assert_status(store_put_meta(fx.writer, "src/1/cookie", SPAN("a")), CX_OK,
	    "put");
	unit_assert_status(store_get_meta(fx.writer, "src/1/cookie", &value), CX_OK,
	    "get");
	unit_assert_span(value, "a", "value");
	unit_assert_status(store_put_meta(fx.writer, "src/1/cookie", SPAN("")), CX_OK,
	    "remove");
	unit_assert_status(store_put_meta(fx.writer, "src/1/cookie", SPAN("")), CX_OK,
	    "again");
	unit_assert_status(store_get_meta(fx.writer, "src/1/cookie", &value),
	    CX_NOTFOUND, "gone");
	unit_assert_status(store_put_meta(fx.writer, "head", SPAN("x")), CX_EINVAL,
	    "ours");
	unit_assert_status(store_put_meta(fx.writer, "format", SPAN("x")), CX_EINVAL,
	    "ours");
	unit_assert_status(store_put_meta(fx.writer, "", SPAN("x")), CX_EINVAL,
	    "no name");
	fixture_commit();
}
END_TEST

START_TEST(a_second_writer_is_refused)
{
	struct store_writer *other;
	bool is_new;

	unit_assert_status(store_writer_open(fx.folder, &other, &is_new, &fx.err),
	    CX_ETEMP, "second");
	ck_assert_ptr_nonnull(strstr(fx.err.text, "another process"));
}
END_TEST

START_TEST(what_was_written_is_there_after_a_restart)
{
	fixture_commit_mailbox("x@acme.example");
	fixture_assert_owners("x@acme.example", "1/1 ");
	store_writer_close(fx.writer);
	fixture_assert_owners("x@acme.example", "1/1 ");
	fixture_reopen_writer(false);
	fixture_commit_mailbox("y@acme.example");
	fixture_assert_owners("x@acme.example", "");
	fixture_assert_owners("y@acme.example", "1/1 ");
}
END_TEST

START_TEST(a_snapshot_is_not_moved_by_later_commits)
{
	struct record_id id = make_id(1, 1);
	struct recipient recipient;
	struct record record;
	struct snapshot *old, *new;
	struct span value;

	fixture_commit_mailbox("x@acme.example");
	old = fixture_snapshot();
	fixture_commit_mailbox("y@acme.example");
	new = fixture_snapshot();
	unit_assert_status(snapshot_record(old, &id, &record), CX_OK, "old");
	recipient_decode(&record, &recipient);
	ck_assert(values_next(&recipient.mails, &value));
	unit_assert_span(value, "x@acme.example", "old");
	unit_assert_status(snapshot_record(new, &id, &record), CX_OK, "new");
	recipient_decode(&record, &recipient);
	ck_assert(values_next(&recipient.mails, &value));
	unit_assert_span(value, "y@acme.example", "new");
	snapshot_end(new);
	snapshot_end(old);
}
END_TEST

Suite *unit_suite(void)
{
	Suite *suite = suite_create("store");
	TCase *tcase = tcase_create("store");

	tcase_add_checked_fixture(tcase, fixture_set_up, fixture_tear_down);
	tcase_add_test(tcase, there_is_no_snapshot_before_there_is_a_replica);
	tcase_add_test(tcase, the_first_replica_is_seen_at_once);
	tcase_add_test(tcase,
	    the_writer_makes_the_folder_for_readers_that_were_there_first);
	tcase_add_test(tcase, a_folder_that_is_none_is_a_wrong_configuration);
	tcase_add_test(tcase, the_same_bytes_change_nothing);
	tcase_add_test(tcase, an_aborted_transaction_leaves_no_trace);
	tcase_add_test(tcase, what_is_no_record_is_refused_and_the_rest_goes_on);
	tcase_add_test(tcase, a_source_that_is_no_longer_named_goes_with_all_it_had);
	tcase_add_test(tcase, contact_is_noted_and_loaded_never_falls_back);
	tcase_add_test(tcase, values_beside_the_data_are_kept_and_removed);
	tcase_add_test(tcase, a_second_writer_is_refused);
	tcase_add_test(tcase, what_was_written_is_there_after_a_restart);
	tcase_add_test(tcase, a_snapshot_is_not_moved_by_later_commits);
	suite_add_tcase(suite, tcase);
	return suite;
}
