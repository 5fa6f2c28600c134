#include "config.h"

#include "apply_world.h"
#include "replica/sync_notes.h"
#include "unit.h"

/* Of what polling did not see once, and what another session touched, nothing is known. */
START_TEST(when_everything_was_read_outlives_the_process)
{
	struct world world;
	int64_t last = -1;

	world_init(&world);
	load_mailboxes(&world, 0, 3); /* complete, but by ids for all we know */
	ck_assert_int_eq(apply_last_full(world.apply, world.source.id, &last), CX_OK);
	ck_assert_int_eq(last, 0);
	world.batch.is_full = true;
	load_mailboxes(&world, 0, 3);
	world_restart(&world);
	world.now += 100;
	load_mailboxes(&world, 0, 3);
	ck_assert_int_eq(apply_last_full(world.apply, world.source.id, &last), CX_OK);
	ck_assert_int_eq(last, NOW);
	world_release(&world);
}
END_TEST

START_TEST(skipped_entries_are_listed_until_they_are_usable)
{
	struct world world;
	char key[SYNC_NOTES_KEY_MAX];
	struct span list;
	struct skipped item;
	struct errbuf err;

	world_init(&world);
	unusable_number(&world, 70);
	unusable_number(&world, 60);
	load_mailboxes(&world, 0, 5);
	ck_assert_uint_eq(report(&world).skipped, 2);
	/* One that worked before no longer does: its record is gone. */
	unusable_number(&world, 1);
	deliver(&world);
	ck_assert_uint_eq(report(&world).skipped, 3);
	ck_assert_uint_eq(report(&world).recipients, 4);
	ck_assert_int_eq(store_begin(apply_store(world.apply), &err), CX_OK);
	sync_notes_key(key, world.source.id, SYNC_NOTES_SKIPPED);
	ck_assert_int_eq(store_get_meta(apply_store(world.apply), key, &list), CX_OK);
	ck_assert(skipped_next(&list, &item));
	unit_assert_span(item.dn, "cn=1", "dn");
	unit_assert_span(item.why, "bad", "why");
	ck_assert(skipped_next(&list, &item));
	unit_assert_span(item.dn, "cn=60", "dn");
	store_abort(apply_store(world.apply));

	put_mailbox(&world, 1, 0);
	remove_number(&world, 70);
	deliver(&world);
	ck_assert_uint_eq(report(&world).skipped, 1);
	/* Present and not sent again: still unusable. */
	present_number(&world, 60);
	for (unsigned i = 0; i < 5; i++) {
		present_number(&world, i);
	}
	deliver_complete(&world);
	ck_assert_uint_eq(report(&world).skipped, 1);
	load_mailboxes(&world, 0, 5);
	ck_assert_uint_eq(report(&world).skipped, 0);
	world_release(&world);
}
END_TEST

static void set_cookie(struct world *world, const char *text)
{
	world->batch.has_cookie = true;
	buf_clear(&world->batch.cookie);
	buf_add_text(&world->batch.cookie, text);
}

static void check_cookie(struct world *world, const char *expected)
{
	struct buf cookie;

	buf_init(&cookie);
	ck_assert_int_eq(apply_cookie(world->apply, &world->source, &cookie), CX_OK);
	unit_assert_span(buf_span(&cookie), expected, "cookie");
	buf_release(&cookie);
}

START_TEST(the_cookie_is_that_of_the_data)
{
	struct world world;

	world_init(&world);
	check_cookie(&world, "");
	set_cookie(&world, "one");
	load_mailboxes(&world, 0, 3);
	check_cookie(&world, "one");
	put_mailbox(&world, 1, 1);
	set_cookie(&world, "two");
	deliver(&world);
	world_restart(&world);
	check_cookie(&world, "two");
	/* Another mapping or request: it says nothing. */
	world.source.confhash[0] = 1;
	check_cookie(&world, "");
	world_release(&world);
}
END_TEST

static void set_agenda(struct world *world, const char *text)
{
	world->batch.has_agenda = true;
	buf_clear(&world->batch.agenda);
	buf_add_text(&world->batch.agenda, text);
}

static void check_agenda(struct world *world, const char *expected)
{
	struct buf agenda;

	buf_init(&agenda);
	ck_assert_int_eq(apply_agenda(world->apply, world->source.id, &agenda), CX_OK);
	unit_assert_span(buf_span(&agenda), expected, "agenda");
	buf_release(&agenda);
}

START_TEST(what_is_to_be_done_yet_is_stored_with_the_change)
{
	struct world world;

	world_init(&world);
	check_agenda(&world, "");
	load_mailboxes(&world, 0, 3);
	put_mailbox(&world, 1, 1);
	set_agenda(&world, "referrers");
	deliver(&world);
	world_restart(&world);
	check_agenda(&world, "referrers");
	put_mailbox(&world, 1, 2);
	deliver(&world);
	check_agenda(&world, "referrers");
	/* That it is done is no reason to write, and goes with the next thing that is. */
	set_agenda(&world, "");
	deliver(&world);
	check_agenda(&world, "referrers");
	put_mailbox(&world, 1, 3);
	set_agenda(&world, "");
	deliver(&world);
	check_agenda(&world, "");
	world_release(&world);
}
END_TEST

START_TEST(cookies_alone_are_written_now_and_then)
{
	struct world world;

	world_init(&world);
	set_cookie(&world, "one");
	load_mailboxes(&world, 0, 3);
	world.now += 1;
	set_cookie(&world, "two");
	deliver(&world);
	check_cookie(&world, "one");
	/* It goes with the next thing that is written. */
	put_mailbox(&world, 1, 1);
	deliver(&world);
	check_cookie(&world, "two");
	world.now += 11;
	set_cookie(&world, "three");
	deliver(&world);
	check_cookie(&world, "three");
	world_release(&world);
}
END_TEST

START_TEST(contact_is_written_every_half_minute)
{
	struct world world;

	world_init(&world);
	load_mailboxes(&world, 0, 3);
	uint64_t before = generation(&world);
	world.now += 29;
	deliver(&world);
	ck_assert_int_eq(report(&world).last_contact, NOW);
	world.now += 1;
	deliver(&world);
	ck_assert_int_eq(report(&world).last_contact, NOW + 30);
	/* The clock was set back: a contact in the future would be no age at all. */
	world.now = NOW - 3600;
	deliver(&world);
	ck_assert_int_eq(report(&world).last_contact, NOW - 3600);
	ck_assert_uint_eq(generation(&world), before);
	world_release(&world);
}
END_TEST

static void add_tests(TCase *apply)
{
	tcase_add_test(apply, when_everything_was_read_outlives_the_process);
	tcase_add_test(apply, skipped_entries_are_listed_until_they_are_usable);
	tcase_add_test(apply, the_cookie_is_that_of_the_data);
	tcase_add_test(apply, what_is_to_be_done_yet_is_stored_with_the_change);
	tcase_add_test(apply, cookies_alone_are_written_now_and_then);
	tcase_add_test(apply, contact_is_written_every_half_minute);
}

Suite *unit_suite(void)
{
	return apply_suite("apply notes", add_tests);
}
