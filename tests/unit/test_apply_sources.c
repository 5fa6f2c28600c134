#include "config.h"

#include <stdio.h>
#include <string.h>

#include "apply_world.h"
#include "unit.h"

static bool is_loaded(struct world *world, uint8_t source)
{
	struct apply_report report;

	ck_assert_int_eq(apply_report(world->apply, source, &report), CX_OK);
	return report.is_loaded;
}

START_TEST(directories_that_are_not_named_lose_their_records)
{
	char before[64], after[64];
	struct world world;
	struct source_info infos[2] = {
		{ .name = "new", .provides_recipients = true },
		{ .name = "test", .provides_recipients = true },
	};
	struct errbuf err;

	world_init(&world);
	put_domain(&world, 900, 0);
	load_mailboxes(&world, 0, 5);
	name_file(&world, before);
	/* Another comes first; ours keeps its number and its records, but gives no domains. */
	ck_assert_int_eq(apply_sources(world.apply, infos, NULL, 2, &err), CX_OK);
	ck_assert_uint_eq(infos[1].id, world.source.id);
	ck_assert_uint_ne(infos[0].id, world.source.id);
	ck_assert_uint_eq(report(&world).recipients, 5);
	ck_assert_uint_eq(report(&world).domains, 0);
	name_file(&world, after);
	ck_assert_str_eq(before, after);
	ck_assert_int_eq(apply_sources(world.apply, infos, NULL, 1, &err), CX_OK);
	name_file(&world, after);
	ck_assert_int_eq(strcmp(before, after) != 0, changes_max > 0);
	ck_assert_uint_eq(report(&world).recipients, 0);
	world_release(&world);
}
END_TEST

/* So many do not fit into the memory of one transaction: a new file without them. */
START_TEST(very_many_records_that_are_not_wanted_are_left_out_of_a_new_file)
{
	enum {
		MANY = 5000
	};
	struct source_info infos[2] = {
		{ .name = "test", .provides_recipients = true, .provides_domains = true },
		{ .name = "other", .provides_recipients = true },
	};
	char names[3][64];
	struct world world;
	struct errbuf err;
	struct buf cookie;

	world_init(&world);
	name_file(&world, names[0]);
	put_domain(&world, 9000, 0);
	load_mailboxes(&world, 0, MANY);
	ck_assert_int_eq(apply_sources(world.apply, infos, NULL, 2, &err), CX_OK);
	world.source.id = world.batch.source = infos[1].id;
	world.batch.has_cookie = true;
	buf_add_text(&world.batch.cookie, "c1");
	load_mailboxes(&world, 0, 5);
	name_file(&world, names[1]);

	/* Its recipients are not wanted any more, then it goes. */
	infos[0].provides_recipients = false;
	ck_assert_int_eq(apply_sources(world.apply, infos, NULL, 2, &err), CX_OK);
	name_file(&world, names[2]);
	ck_assert_str_ne(names[1], names[2]);
	ck_assert_uint_eq(recipients_of(&world, infos[0].id), 0);
	ck_assert_uint_eq(recipients_of(&world, infos[1].id), 5);
	world.source.id = infos[0].id;
	ck_assert_uint_eq(report(&world).domains, 1);
	world.source.id = world.batch.source = infos[1].id;
	load_mailboxes(&world, 0, MANY);
	ck_assert_int_eq(apply_sources(world.apply, infos, NULL, 1, &err), CX_OK);
	name_file(&world, names[1]);
	ck_assert_str_ne(names[1], names[2]);
	ck_assert_uint_eq(recipients_of(&world, infos[1].id), 0);
	/* Nothing of it is left: not its cookie for who gets its number. */
	infos[1].id = 0;
	ck_assert_int_eq(apply_sources(world.apply, infos, NULL, 2, &err), CX_OK);
	buf_init(&cookie);
	world.source.id = infos[1].id;
	ck_assert_int_eq(apply_cookie(world.apply, &world.source, &cookie), CX_OK);
	ck_assert_uint_eq(cookie.len, 0);
	ck_assert(!is_loaded(&world, infos[1].id));
	buf_release(&cookie);
	world_release(&world);
}
END_TEST

static const struct apply_place here = { { 1 } }, there = { { 2 } }, elsewhere = { { 3 } };

/* A section that got another name, two that changed theirs, one that moved to another server. */
START_TEST(directories_are_known_by_their_place_then_by_their_name)
{
	struct source_info both[2] = { { .name = "test", .provides_recipients = true },
		{ .name = "other", .provides_recipients = true } };
	struct apply_place places[2] = { here, there };
	struct errbuf err;
	struct world world;

	world_init(&world);
	load_mailboxes(&world, 0, 5);
	ck_assert_int_eq(apply_sources(world.apply, both, places, 2, &err), CX_OK);
	uint8_t ours = both[0].id, other = both[1].id;
	ck_assert_uint_eq(ours, world.source.id);

	snprintf(both[0].name, sizeof(both[0].name), "renamed");
	ck_assert_int_eq(apply_sources(world.apply, both, places, 2, &err), CX_OK);
	ck_assert_uint_eq(both[0].id, ours);
	ck_assert_uint_eq(recipients_of(&world, ours), 5);
	ck_assert(is_loaded(&world, ours));
	ck_assert(!is_loaded(&world, other));

	snprintf(both[0].name, sizeof(both[0].name), "other");
	snprintf(both[1].name, sizeof(both[1].name), "renamed");
	ck_assert_int_eq(apply_sources(world.apply, both, places, 2, &err), CX_OK);
	ck_assert_uint_eq(both[0].id, ours);
	ck_assert_uint_eq(both[1].id, other);

	/* Its server moved: the name tells. */
	places[0] = elsewhere;
	ck_assert_int_eq(apply_sources(world.apply, both, places, 2, &err), CX_OK);
	ck_assert_uint_eq(both[0].id, ours);
	ck_assert_uint_eq(recipients_of(&world, ours), 5);

	/* Neither: that is another one. */
	places[0] = here;
	snprintf(both[0].name, sizeof(both[0].name), "new");
	ck_assert_int_eq(apply_sources(world.apply, both, places, 2, &err), CX_OK);
	ck_assert_uint_ne(both[0].id, ours);
	ck_assert_uint_eq(recipients_of(&world, both[0].id), 0);
	world_release(&world);
}
END_TEST

/* The name of one that goes is taken by another that stays. */
START_TEST(a_directory_that_takes_the_name_of_another_keeps_its_records)
{
	struct source_info both[2] = { { .name = "test", .provides_recipients = true },
		{ .name = "other", .provides_recipients = true } };
	struct source_info one = { .name = "other", .provides_recipients = true };
	struct apply_place places[2] = { here, there };
	struct errbuf err;
	struct world world;

	world_init(&world);
	load_mailboxes(&world, 0, 5);
	ck_assert_int_eq(apply_sources(world.apply, both, places, 2, &err), CX_OK);
	ck_assert_int_eq(apply_sources(world.apply, &one, places, 1, &err), CX_OK);
	ck_assert_uint_eq(one.id, world.source.id);
	ck_assert_uint_eq(recipients_of(&world, one.id), 5);
	world_release(&world);
}
END_TEST

/* What it was not asked for before is not missing in it: it is not known. */
START_TEST(a_directory_that_is_to_provide_more_counts_as_not_loaded)
{
	struct source_info info = { .name = "test", .provides_recipients = true };
	struct errbuf err;
	struct world world;
	struct buf cookie;

	world_init(&world);
	load_mailboxes(&world, 0, 5);
	world.batch.has_cookie = true;
	buf_add_text(&world.batch.cookie, "c1");
	deliver(&world);
	buf_init(&cookie);
	ck_assert_int_eq(apply_cookie(world.apply, &world.source, &cookie), CX_OK);
	unit_assert_span(buf_span(&cookie), "c1", "before");
	ck_assert_int_eq(apply_sources(world.apply, &info, NULL, 1, &err), CX_OK);
	ck_assert(is_loaded(&world, info.id));
	/* The old request may come back before the new one was answered: its data are gone. */
	ck_assert_int_eq(apply_cookie(world.apply, &world.source, &cookie), CX_OK);
	ck_assert_uint_eq(cookie.len, 0);
	info.provides_domains = true;
	ck_assert_int_eq(apply_sources(world.apply, &info, NULL, 1, &err), CX_OK);
	ck_assert(!is_loaded(&world, info.id));
	ck_assert_uint_eq(recipients_of(&world, info.id), 5);
	buf_release(&cookie);
	world_release(&world);
}
END_TEST

static void add_tests(TCase *apply)
{
	tcase_add_test(apply, directories_that_are_not_named_lose_their_records);
	tcase_add_test(apply,
	    very_many_records_that_are_not_wanted_are_left_out_of_a_new_file);
	tcase_add_test(apply, directories_are_known_by_their_place_then_by_their_name);
	tcase_add_test(apply,
	    a_directory_that_takes_the_name_of_another_keeps_its_records);
	tcase_add_test(apply, a_directory_that_is_to_provide_more_counts_as_not_loaded);
}

Suite *unit_suite(void)
{
	return apply_suite("apply sources", add_tests);
}
