#include "config.h"

#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "apply_world.h"
#include "syncd_help.h"
#include "unit.h"

START_TEST(a_first_load_goes_into_a_new_file_as_it_comes)
{
	struct world world;
	uint64_t before;

	world_init(&world);
	before = generation(&world);
	begin_refresh(&world);
	ck_assert_ptr_nonnull(world.batch.load);
	put_domain(&world, 900, 0);
	for (unsigned i = 0; i < 50; i++) {
		put_mailbox(&world, i, 0);
	}
	ck_assert_uint_eq(world.batch.count, 0);
	unusable_number(&world, 901);
	buf_add_text(&world.batch.cookie, "c1");
	world.batch.has_cookie = true;
	ck_assert_uint_eq(report(&world).recipients, 0);
	deliver_complete(&world);
	ck_assert_ptr_null(world.batch.load);
	ck_assert_uint_eq(world.outcome.changed, 51);
	ck_assert_uint_eq(world.outcome.skipped, 1);
	ck_assert_uint_eq(generation(&world), before + 1);
	world_restart(&world);
	ck_assert(report(&world).is_loaded);
	ck_assert_uint_eq(report(&world).recipients, 50);
	ck_assert_uint_eq(report(&world).domains, 1);
	ck_assert_uint_eq(report(&world).skipped, 1);
	struct buf cookie;

	buf_init(&cookie);
	ck_assert_int_eq(apply_cookie(world.apply, &world.source, &cookie), CX_OK);
	unit_assert_span(buf_span(&cookie), "c1", "the cookie");
	buf_release(&cookie);
	/* From now on it is a refresh like any other. */
	begin_refresh(&world);
	ck_assert_ptr_null(world.batch.load);
	ck_assert(world.batch.is_compared);
	world_release(&world);
}
END_TEST

START_TEST(a_load_that_is_given_up_leaves_nothing)
{
	struct world world;

	world_init(&world);
	begin_refresh(&world);
	load_mailboxes(&world, 0, 0);
	ck_assert_uint_eq(world.outcome.changed, 0);
	world_restart(&world);
	ck_assert_uint_eq(report(&world).recipients, 0);
	world_release(&world);

	world_init(&world);
	begin_refresh(&world);
	put_mailbox(&world, 1, 0);
	batch_clear(&world.batch);
	ck_assert(!report(&world).is_loaded);
	ck_assert_uint_eq(report(&world).recipients, 0);
	begin_refresh(&world);
	ck_assert_ptr_nonnull(world.batch.load);
	load_mailboxes(&world, 2, 3);
	ck_assert_uint_eq(report(&world).recipients, 3);
	world_release(&world);
}
END_TEST

START_TEST(the_last_word_counts_in_a_load_too)
{
	struct world world;
	struct buf is;

	world_init(&world);
	begin_refresh(&world);
	put_mailbox(&world, 0, 0); /* put, removed */
	remove_number(&world, 0);
	remove_number(&world, 1); /* removed, put, put */
	put_mailbox(&world, 1, 0);
	put_mailbox(&world, 1, 1);
	put_mailbox(&world, 2, 0); /* put twice */
	put_mailbox(&world, 2, 1);
	put_mailbox(&world, 3, 0); /* put, unusable, put, gone */
	unusable_number(&world, 3);
	put_mailbox(&world, 3, 1);
	not_ours_number(&world, 3);
	deliver_complete(&world);
	ck_assert_uint_eq(report(&world).recipients, 2);
	ck_assert_uint_eq(report(&world).held, 0);
	ck_assert_uint_eq(report(&world).skipped, 0);
	buf_init(&is);
	help_print_store(apply_store(world.apply), world.source.id, &is);
	ck_assert_ptr_nonnull(strstr(is.data, "v1.u1@"));
	ck_assert_ptr_nonnull(strstr(is.data, "v1.u2@"));
	ck_assert_ptr_null(strstr(is.data, "v0."));
	buf_release(&is);
	world_release(&world);
}
END_TEST

START_TEST(what_came_as_stored_must_be_stored)
{
	struct world world;
	struct errbuf err = { "" };

	world_init(&world);
	load_mailboxes(&world, 0, 30);
	begin_refresh(&world);
	for (unsigned i = 0; i < 29; i++) {
		same_number(&world, i);
	}
	put_mailbox(&world, 29, 1);
	deliver_complete(&world);
	ck_assert_uint_eq(world.outcome.changed, 1);
	ck_assert_uint_eq(world.outcome.removed, 0);

	/* Removed between the comparison and the delivery. */
	begin_refresh(&world);
	same_number(&world, 100);
	put_mailbox(&world, 29, 2);
	world.batch.is_complete = world.batch.is_refresh = true;
	ck_assert_int_eq(apply_batch(world.apply, &world.source, &world.batch, world.now,
			     &world.outcome, &err),
	    CX_NOTFOUND);
	batch_clear(&world.batch);
	ck_assert_uint_eq(report(&world).recipients, 30);
	world_release(&world);
}
END_TEST

START_TEST(what_is_the_same_has_reappeared_and_keeps_its_addresses)
{
	struct world world;

	world_init(&world);
	load_mailboxes(&world, 0, 100);
	present_number(&world, 0);
	deliver_complete(&world);
	ck_assert_uint_eq(report(&world).held, 99);
	for (unsigned i = 0; i < 100; i++) {
		same_number(&world, i);
	}
	deliver_complete(&world);
	ck_assert_uint_eq(report(&world).held, 0);

	/* 200 came with the address of 5, which was spared then; it goes as replaced. */
	put_entry(&world, 200,
	    "dn: uid=n,dc=y\nobjectClass: coexistMailbox\nmail: new@x.example\n"
	    "coexistProxyAddress: smtp:u5@x.example\n");
	deliver(&world);
	for (unsigned i = 0; i < 100; i++) {
		if (i % 2 == 0) {
			same_number(&world, i);
		}
	}
	same_number(&world, 200);
	deliver_complete(&world);
	/* The valve keeps the other 49 back. */
	ck_assert_uint_eq(world.outcome.removed, 1);
	ck_assert_uint_eq(report(&world).held, 49);
	world_release(&world);
}
END_TEST

START_TEST(very_many_changes_go_into_a_new_file)
{
	enum {
		MANY = 10000
	};
	struct world world;
	char before[64] = "", after[64] = "";
	char path[256];

	world_init(&world);
	begin_refresh(&world);
	load_mailboxes(&world, 0, MANY);
	ck_assert_uint_eq(report(&world).recipients, MANY);
	snprintf(path, sizeof(path), "%s/current", world.folder);
	ck_assert_int_gt(readlink(path, before, sizeof(before) - 1), 0);
	for (unsigned i = 0; i < MANY; i++) {
		put_mailbox(&world, i, 1);
	}
	deliver(&world);
	ck_assert_uint_eq(world.outcome.changed, MANY);
	ck_assert_int_gt(readlink(path, after, sizeof(after) - 1), 0);
	ck_assert_str_ne(before, after);
	ck_assert_uint_eq(report(&world).recipients, MANY);
	/* Nine of ten are removed by name, then all of them accepted. */
	for (unsigned i = MANY / 10; i < MANY; i++) {
		remove_number(&world, i);
	}
	deliver(&world);
	ck_assert_uint_eq(report(&world).held, MANY - MANY / 10);
	ck_assert_uint_eq(accept_all(&world), MANY - MANY / 10);
	ck_assert_uint_eq(report(&world).recipients, MANY / 10);
	ck_assert_uint_eq(report(&world).held, 0);
	world_restart(&world);
	ck_assert_uint_eq(report(&world).recipients, MANY / 10);
	world_release(&world);
}
END_TEST

static void add_tests(TCase *apply)
{
	tcase_add_test(apply, a_first_load_goes_into_a_new_file_as_it_comes);
	tcase_add_test(apply, a_load_that_is_given_up_leaves_nothing);
	tcase_add_test(apply, the_last_word_counts_in_a_load_too);
	tcase_add_test(apply, what_came_as_stored_must_be_stored);
	tcase_add_test(apply, what_is_the_same_has_reappeared_and_keeps_its_addresses);
	tcase_add_test(apply, very_many_changes_go_into_a_new_file);
}

Suite *unit_suite(void)
{
	return apply_suite("apply load", add_tests);
}
