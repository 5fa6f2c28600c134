#include "config.h"

#include "replica/store_lmdb.h"
#include "store_fixture.h"

/* A load: what it takes and leaves, beside a writer that goes on. */

static void put_loaded(struct store_load *loaded, unsigned number, const char *mail)
{
	struct record_id id = make_id(1, number);

	unit_assert_status(store_load_put(loaded, id.uuid,
			       make_record(&fx.buf, RECORD_RECIPIENT, 0, TAG_MAIL, mail,
				   0)),
	    CX_OK, "put");
}

/* Each ends the load. */
static void build(struct store_load *loaded)
{
	unit_assert_status(store_load_build(loaded, &fx.err), CX_OK, fx.err.text);
	store_load_free(loaded);
}

static void publish(struct store_load *loaded)
{
	build(loaded);
	fixture_begin();
	fixture_commit();
	fixture_publish();
}

START_TEST(what_is_no_record_is_refused_and_the_load_goes_on)
{
	static const struct {
		const char *label;
		struct span bytes;
	} rows[] = {
		{ "nothing", { NULL, 0 } },
		{ "no header", { "\1", 1 } },
		{ "unknown kind", { "\2\11\0", 3 } },
		{ "domain without type", { "\2\2\0", 3 } },
	};
	struct store_load *loaded = fixture_load(fx.writer, 1, 10);
	struct record_id id = make_id(1, 1);

	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		unit_assert_status(store_load_put(loaded, id.uuid, rows[i].bytes),
		    CX_EINVAL, rows[i].label);
	}
	put_loaded(loaded, 1, "a@acme.example");
	ck_assert_uint_eq(store_load_count(loaded), 1);
	publish(loaded);
	fixture_assert_owners("a@acme.example", "1/1 ");
}
END_TEST

START_TEST(a_load_can_be_dropped_at_any_time)
{
	struct store_load *loaded;

	store_load_free(NULL);
	for (unsigned count = 0; count < 30; count += 7) {
		loaded = fixture_load(fx.writer, 1, 3);
		for (unsigned n = 0; n < count; n++) {
			put_loaded(loaded, n, "a@acme.example");
		}
		store_load_free(loaded);
	}
	loaded = fixture_load(fx.writer, 1, 3);
	put_loaded(loaded, 1, "a@acme.example");
	build(loaded);
	store_writer_discard(fx.writer);
	fixture_assert_owners("a@acme.example", "");
}
END_TEST

START_TEST(the_writer_may_be_used_while_a_load_collects)
{
	struct store_load *loaded = fixture_load(fx.writer, 1, 3);

	put_loaded(loaded, 1, "a@acme.example");
	fixture_begin();
	fixture_put_mailbox(2, 9, "b@acme.example");
	fixture_commit();
	put_loaded(loaded, 2, "b@acme.example");
	publish(loaded);
	fixture_assert_owners("b@acme.example", "1/2 2/9 ");
}
END_TEST

/* Overwrites a record behind the writer's back. */
static void damage(const struct record_id *id)
{
	uint8_t bytes[INDEX_ID_SIZE];

	fixture_begin();
	index_put_id(bytes, id);
	unit_assert_status(writer_put(fx.writer, DB_REC,
			       (struct span){ (const char *)bytes, sizeof(bytes) },
			       SPAN("\2\3")),
	    CX_OK, "damage");
	fixture_commit();
}

START_TEST(damage_in_what_is_replaced_goes_and_elsewhere_stays_as_it_was)
{
	struct record_id ours = make_id(1, 5), others = make_id(2, 5);
	struct store_load *loaded;
	struct span stored;

	fixture_begin();
	fixture_put_mailbox(1, 5, "a@acme.example");
	fixture_put_mailbox(2, 5, "b@acme.example");
	fixture_commit();
	damage(&ours);
	damage(&others);
	fixture_begin();
	unit_assert_status(writer_put(fx.writer, INDEX_LOGIN, SPAN("login"),
			       SPAN("junk")),
	    CX_OK, "an entry of nobody");
	fixture_commit();
	loaded = fixture_load(fx.writer, 1, 3);
	put_loaded(loaded, 5, "c@acme.example");
	build(loaded);
	fixture_begin();
	unit_assert_status(store_get(fx.writer, &ours, &stored), CX_OK, "ours");
	ck_assert_uint_gt(stored.len, 3);
	unit_assert_status(store_get(fx.writer, &others, &stored), CX_OK, "others");
	ck_assert_uint_eq(stored.len, 2);
	unit_assert_status(writer_get(fx.writer, INDEX_LOGIN, SPAN("login"), &stored),
	    CX_OK, "login");
	unit_assert_span(stored, "junk", "an entry of nobody");
	fixture_commit();
	fixture_publish();
	fixture_assert_owners("a@acme.example", "");
	fixture_assert_owners("b@acme.example", "2/5 ");
	fixture_assert_owners("c@acme.example", "1/5 ");
}
END_TEST

Suite *unit_suite(void)
{
	Suite *suite = suite_create("store_load");
	TCase *tcase = tcase_create("store_load");

	tcase_set_timeout(tcase, 60);
	tcase_add_checked_fixture(tcase, fixture_set_up, fixture_tear_down);
	tcase_add_test(tcase, what_is_no_record_is_refused_and_the_load_goes_on);
	tcase_add_test(tcase, a_load_can_be_dropped_at_any_time);
	tcase_add_test(tcase, the_writer_may_be_used_while_a_load_collects);
	tcase_add_test(tcase, damage_in_what_is_replaced_goes_and_elsewhere_stays_as_it_was);
	suite_add_tcase(suite, tcase);
	return suite;
}
