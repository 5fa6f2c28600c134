#include "config.h"

#include <stdio.h>
#include <string.h>

#include "apply_world.h"
#include "unit.h"

START_TEST(too_many_removals_are_kept_back)
{
	struct world world;

	world_init(&world);
	load_mailboxes(&world, 0, 100);
	/* 25 are missing, one is new, one is another now. */
	for (unsigned i = 25; i < 100; i++) {
		put_mailbox(&world, i, i == 50);
	}
	put_mailbox(&world, 200, 0);
	deliver_complete(&world);
	ck_assert_uint_eq(world.outcome.changed, 2);
	ck_assert_uint_eq(world.outcome.removed, 0);
	ck_assert_uint_eq(world.outcome.newly_held, 25);
	ck_assert_uint_eq(world.outcome.held, 25);
	ck_assert_uint_eq(report(&world).recipients, 101);

	/* The same again keeps them back again, and says nothing new; also after a restart. */
	world_restart(&world);
	for (unsigned i = 25; i < 100; i++) {
		put_mailbox(&world, i, i == 50);
	}
	put_mailbox(&world, 200, 0);
	deliver_complete(&world);
	ck_assert_uint_eq(world.outcome.newly_held, 0);
	ck_assert_uint_eq(world.outcome.held, 25);

	/* What reappears is struck off. */
	put_mailbox(&world, 0, 0);
	present_number(&world, 1);
	deliver(&world);
	ck_assert_uint_eq(world.outcome.held, 23);

	ck_assert_uint_eq(accept_all(&world), 23);
	ck_assert_uint_eq(report(&world).recipients, 78);
	ck_assert_uint_eq(report(&world).held, 0);
	ck_assert_uint_eq(accept_all(&world), 0);
	world_release(&world);
}
END_TEST

START_TEST(removals_add_up_within_ten_minutes)
{
	struct world world;
	unsigned next = 0;

	world_init(&world);
	load_mailboxes(&world, 0, 100);
	/* Two a minute: ten minutes see 20 of them. */
	for (int i = 0; i < 11; i++) {
		remove_number(&world, next++);
		remove_number(&world, next++);
		deliver(&world);
		ck_assert_msg((world.outcome.held > 0) == (i == 10), "minute %d", i);
		world.now += 50;
	}
	ck_assert_uint_eq(report(&world).recipients, 80);
	ck_assert_uint_eq(report(&world).held, 2);
	/* Later, one by one is fine again; what was kept back stays so. */
	world.now += 15 * MINUTES;
	remove_number(&world, next++);
	deliver(&world);
	ck_assert_uint_eq(world.outcome.removed, 1);
	ck_assert_uint_eq(report(&world).held, 2);
	world_release(&world);
}
END_TEST

START_TEST(an_empty_directory_removes_nobody)
{
	struct world world;

	world_init(&world);
	load_mailboxes(&world, 0, 5);
	deliver_complete(&world);
	ck_assert_uint_eq(world.outcome.held, 5);
	ck_assert_uint_eq(report(&world).recipients, 5);
	world_release(&world);
}
END_TEST

START_TEST(a_domain_goes_only_when_it_was_deleted)
{
	struct world world;

	world_init(&world);
	put_domain(&world, 900, 0);
	put_domain(&world, 901, 0);
	put_domain(&world, 902, 0);
	load_mailboxes(&world, 0, 5);
	/* Missing: kept. Unusable: kept. Deleted: gone. */
	load_mailboxes(&world, 0, 5);
	ck_assert_uint_eq(world.outcome.held, 3);
	ck_assert_uint_eq(report(&world).domains, 3);
	put_domain(&world, 900, 0);
	put_domain(&world, 901, 0);
	put_domain(&world, 902, 0);
	load_mailboxes(&world, 0, 5);
	ck_assert_uint_eq(world.outcome.held, 0);
	unusable_number(&world, 901);
	remove_number(&world, 902);
	deliver(&world);
	ck_assert_uint_eq(world.outcome.held, 1);
	ck_assert_uint_eq(report(&world).domains, 2);
	ck_assert_uint_eq(accept_all(&world), 1);
	ck_assert_uint_eq(report(&world).domains, 1);
	world_release(&world);
}
END_TEST

/* The mailbox of that number with another id, below `parent`; put_mailbox() puts it below dc=x. */
static void put_again(struct world *world, unsigned id, unsigned number, const char *parent)
{
	char ldif[256];

	snprintf(ldif, sizeof(ldif),
	    "dn: uid=u%u,%s\nobjectClass: coexistMailbox\nmail: u%u@x.example\n", number,
	    parent, number);
	put_entry(world, id, ldif);
}

START_TEST(a_directory_that_was_reloaded_with_new_ids_is_replaced)
{
	char before[64], after[64];
	struct world world;

	world_init(&world);
	put_domain(&world, 900, 0);
	load_mailboxes(&world, 0, 100);
	/* The same DNs, all other ids. */
	for (unsigned i = 0; i < 100; i++) {
		put_again(&world, 1000 + i, i, "dc=x");
	}
	put_entry(&world, 1900,
	    "dn: cn=other,dc=x\nobjectClass: coexistDomain\nassociatedDomain: d900.example\n"
	    "coexistDomainType: relay\n");
	name_file(&world, before);
	deliver_complete(&world);
	name_file(&world, after);
	ck_assert_int_eq(strcmp(before, after) != 0, changes_max > 0);
	ck_assert_uint_eq(world.outcome.changed, 101);
	ck_assert_uint_eq(world.outcome.removed, 101);
	ck_assert_uint_eq(world.outcome.held, 0);
	ck_assert_uint_eq(report(&world).recipients, 100);
	ck_assert_uint_eq(report(&world).domains, 1);

	/* Moved without an id of their own: other DNs, the same addresses. */
	for (unsigned i = 0; i < 100; i++) {
		put_again(&world, 2000 + i, i, "ou=y,dc=x");
	}
	present_number(&world, 1900);
	deliver_complete(&world);
	ck_assert_uint_eq(world.outcome.held, 0);
	ck_assert_uint_eq(report(&world).recipients, 100);
	world_release(&world);
}
END_TEST

START_TEST(what_is_spared_neither_goes_nor_reappears)
{
	struct world world;

	world_init(&world);
	load_mailboxes(&world, 0, 100);
	load_mailboxes(&world, 30, 70);
	ck_assert_uint_eq(world.outcome.held, 30);
	/* A new start: the first pass misses them, for the first time as far as it knows. */
	world_restart(&world);
	for (unsigned i = 0; i < 30; i++) {
		spare_number(&world, i);
	}
	spare_number(&world, 40);
	for (unsigned i = 41; i < 100; i++) {
		put_mailbox(&world, i, 0);
	}
	for (unsigned i = 30; i < 40; i++) {
		put_mailbox(&world, i, 0);
	}
	load_mailboxes(&world, 500, 300);
	ck_assert_uint_eq(world.outcome.held, 30);
	ck_assert_uint_eq(world.outcome.newly_held, 0);
	ck_assert_uint_eq(world.outcome.removed, 0);
	ck_assert_uint_eq(report(&world).recipients, 400);
	ck_assert_uint_eq(accept_all(&world), 30);
	world_release(&world);
}
END_TEST

START_TEST(what_is_spared_yields_to_who_takes_its_address)
{
	struct world world;

	world_init(&world);
	load_mailboxes(&world, 0, 100);
	/* The directory was made anew; polling sees none of the old ids for the first time. */
	for (unsigned i = 0; i < 100; i++) {
		put_again(&world, 1000 + i, i, "dc=x");
		spare_number(&world, i);
	}
	deliver_complete(&world);
	ck_assert_uint_eq(world.outcome.held, 0);
	ck_assert_uint_eq(world.outcome.removed, 100);
	ck_assert_uint_eq(report(&world).recipients, 100);
	world_release(&world);
}
END_TEST

START_TEST(an_old_owner_that_goes_later_is_replaced_too)
{
	struct world world;

	world_init(&world);
	load_mailboxes(&world, 0, 100);
	for (unsigned round = 0; round < 2; round++) {
		for (unsigned i = 0; i < 100; i++) {
			put_again(&world, 1000 + i, i, "ou=y,dc=x");
			if (round == 0) {
				present_number(&world, i);
			}
		}
		deliver_complete(&world);
	}
	ck_assert_uint_eq(world.outcome.held, 0);
	ck_assert_uint_eq(report(&world).recipients, 100);
	world_release(&world);
}
END_TEST

/* Access rules that hide object classes show a domain as nothing, or as a container. */
START_TEST(a_domain_that_only_looks_like_none_is_kept)
{
	static const char container[] =
	    "dn: cn=d%u,dc=x\nobjectClass: organizationalUnit\n";
	char ldif[128];
	struct world world;

	world_init(&world);
	put_domain(&world, 900, 0);
	put_domain(&world, 901, 0);
	load_mailboxes(&world, 0, 5);
	for (int i = 0; i < 2; i++) {
		not_ours_number(&world, 900);
		snprintf(ldif, sizeof(ldif), container, 901);
		put_entry(&world, 901, ldif);
		deliver(&world);
		ck_assert_uint_eq(world.outcome.held, 2);
		ck_assert_uint_eq(world.outcome.newly_held, i == 0 ? 2 : 0);
		ck_assert_uint_eq(report(&world).domains, 2);
	}
	put_domain(&world, 901, 1);
	deliver(&world);
	ck_assert_uint_eq(world.outcome.held, 1);
	ck_assert_uint_eq(accept_all(&world), 1);
	ck_assert_uint_eq(report(&world).domains, 1);
	world_release(&world);
}
END_TEST

START_TEST(recipients_that_become_containers_count_as_removals)
{
	struct world world;

	world_init(&world);
	load_mailboxes(&world, 0, 100);
	for (unsigned count = 2; count <= 30; count += 28) {
		for (unsigned i = 0; i < count; i++) {
			char ldif[128];

			snprintf(ldif, sizeof(ldif),
			    "dn: uid=u%u,dc=x\nobjectClass: organizationalUnit\n", i);
			put_entry(&world, i, ldif);
		}
		deliver(&world);
		ck_assert_uint_eq(world.outcome.removed, count == 2 ? 2 : 0);
		ck_assert_uint_eq(world.outcome.held, count == 2 ? 0 : 28);
	}
	ck_assert_uint_eq(report(&world).recipients, 98);
	world_release(&world);
}
END_TEST

START_TEST(a_removal_kept_back_yields_to_who_takes_its_address)
{
	struct world world;

	world_init(&world);
	load_mailboxes(&world, 0, 5);
	deliver_complete(&world);
	ck_assert_uint_eq(world.outcome.held, 5);
	put_entry(&world, 50,
	    "dn: uid=new,dc=x\nobjectClass: coexistMailbox\nmail: new@x.example\n"
	    "coexistProxyAddress: smtp:u3@x.example\n");
	deliver(&world);
	ck_assert_uint_eq(world.outcome.held, 4);
	ck_assert_uint_eq(report(&world).recipients, 5);
	world_release(&world);
}
END_TEST

/*
 * What is kept back is looked at with every batch, and changes nothing: neither is the whole file
 * written anew for it, nor does anything that is written go elsewhere than into the one in force.
 */
START_TEST(very_many_removals_kept_back_are_no_changes)
{
	enum {
		MANY = 5000,
		LEFT = 500
	};
	struct source_info infos[2] = {
		{ .name = "test", .provides_recipients = true },
		{ .name = "other", .provides_recipients = true },
	};
	char before[64], after[64];
	struct world world;
	struct errbuf err;

	world_init(&world);
	begin_refresh(&world);
	load_mailboxes(&world, 0, MANY);
	ck_assert_int_eq(apply_sources(world.apply, infos, NULL, 2, &err), CX_OK);
	name_file(&world, before);
	load_mailboxes(&world, 0, LEFT);
	ck_assert_uint_eq(report(&world).held, MANY - LEFT);

	/* Nothing, one change, and one of another directory. */
	put_mailbox(&world, 0, 0);
	deliver(&world);
	ck_assert_uint_eq(world.outcome.changed, 0);
	put_mailbox(&world, 1, 1);
	deliver(&world);
	put_mailbox(&world, 0, 0);
	deliver(&world);
	world.source.id = world.batch.source = infos[1].id;
	put_mailbox(&world, 1, 2);
	deliver(&world);
	uint64_t seen = generation(&world);

	put_mailbox(&world, 2, 2);
	deliver(&world);
	ck_assert_uint_eq(generation(&world), seen + 1);
	ck_assert_uint_eq(recipients_of(&world, infos[1].id), 2);
	name_file(&world, after);
	ck_assert_str_eq(before, after);
	world_release(&world);
}
END_TEST

/* More than a quarter changes: what the valve keeps back is loaded with it, as it was. */
START_TEST(what_is_kept_back_stays_where_everything_is_loaded_anew)
{
	char before[64], after[64];
	struct world world;

	world_init(&world);
	put_domain(&world, 900, 0);
	load_mailboxes(&world, 0, 100);
	/* 25 are missing, and the domain; half of the others are new, a few as before. */
	for (unsigned i = 25; i < 100; i++) {
		if (i % 10 == 0) {
			same_number(&world, i);
		} else if (i % 10 == 1) {
			present_number(&world, i);
		} else {
			put_mailbox(&world, i, i % 2);
		}
	}
	put_mailbox(&world, 200, 0);
	unusable_number(&world, 201);
	name_file(&world, before);
	deliver_complete(&world);
	name_file(&world, after);
	ck_assert_int_eq(strcmp(before, after) != 0, changes_max > 0);
	ck_assert_uint_eq(world.outcome.removed, 0);
	ck_assert_uint_eq(world.outcome.newly_held, 26);
	ck_assert_uint_eq(world.outcome.skipped, 1);
	ck_assert_uint_eq(report(&world).recipients, 101);
	ck_assert_uint_eq(report(&world).domains, 1);
	world_restart(&world);
	ck_assert_uint_eq(report(&world).held, 26);
	ck_assert_uint_eq(accept_all(&world), 26);
	ck_assert_uint_eq(report(&world).recipients, 76);
	ck_assert_uint_eq(report(&world).domains, 0);
	world_release(&world);
}
END_TEST

static void add_tests(TCase *apply)
{
	tcase_add_test(apply, too_many_removals_are_kept_back);
	tcase_add_test(apply, removals_add_up_within_ten_minutes);
	tcase_add_test(apply, an_empty_directory_removes_nobody);
	tcase_add_test(apply, a_domain_goes_only_when_it_was_deleted);
	tcase_add_test(apply, a_directory_that_was_reloaded_with_new_ids_is_replaced);
	tcase_add_test(apply, what_is_spared_neither_goes_nor_reappears);
	tcase_add_test(apply, what_is_spared_yields_to_who_takes_its_address);
	tcase_add_test(apply, an_old_owner_that_goes_later_is_replaced_too);
	tcase_add_test(apply, a_domain_that_only_looks_like_none_is_kept);
	tcase_add_test(apply, recipients_that_become_containers_count_as_removals);
	tcase_add_test(apply, a_removal_kept_back_yields_to_who_takes_its_address);
	tcase_add_test(apply, very_many_removals_kept_back_are_no_changes);
	tcase_add_test(apply, what_is_kept_back_stays_where_everything_is_loaded_anew);
}

Suite *unit_suite(void)
{
	return apply_suite("apply valve", add_tests);
}
