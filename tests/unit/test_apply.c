#include "config.h"

#include "apply_world.h"
#include "syncd_help.h"
#include "unit.h"

START_TEST(first_load_is_complete_and_loaded)
{
	struct world world;

	world_init(&world);
	ck_assert(!report(&world).is_loaded);
	put_domain(&world, 900, 0);
	load_mailboxes(&world, 0, 50);
	ck_assert_uint_eq(world.outcome.changed, 51);
	struct apply_report now = report(&world);
	ck_assert(now.is_loaded);
	ck_assert_int_eq(now.last_contact, NOW);
	ck_assert_uint_eq(now.recipients, 50);
	ck_assert_uint_eq(now.domains, 1);
	world_restart(&world);
	now = report(&world);
	ck_assert(now.is_loaded);
	ck_assert_uint_eq(now.recipients, 50);
	world_release(&world);
}
END_TEST

START_TEST(unchanged_entries_change_nothing)
{
	struct world world;

	world_init(&world);
	load_mailboxes(&world, 0, 30);
	uint64_t before = generation(&world);
	load_mailboxes(&world, 0, 30);
	ck_assert_uint_eq(world.outcome.changed, 0);
	put_mailbox(&world, 3, 0);
	deliver(&world);
	ck_assert_uint_eq(generation(&world), before);
	put_mailbox(&world, 3, 1);
	deliver(&world);
	ck_assert_uint_eq(world.outcome.changed, 1);
	ck_assert_uint_eq(generation(&world), before + 1);
	world_release(&world);
}
END_TEST

START_TEST(what_a_complete_batch_does_not_have_is_removed)
{
	struct world world;

	world_init(&world);
	load_mailboxes(&world, 0, 30);
	put_mailbox(&world, 0, 1);
	for (unsigned i = 5; i < 30; i++) {
		present_number(&world, i);
	}
	deliver_complete(&world);
	ck_assert_uint_eq(world.outcome.changed, 1);
	ck_assert_uint_eq(world.outcome.removed, 4);
	ck_assert_uint_eq(report(&world).recipients, 26);
	world_release(&world);
}
END_TEST

START_TEST(the_last_word_on_an_entry_counts)
{
	struct world world;

	world_init(&world);
	load_mailboxes(&world, 0, 3);
	put_mailbox(&world, 0, 1);
	remove_number(&world, 0);
	remove_number(&world, 1);
	put_mailbox(&world, 1, 1);
	put_mailbox(&world, 2, 1);
	present_number(&world, 2);
	remove_number(&world, 77); /* never heard of */
	deliver(&world);
	ck_assert_uint_eq(world.outcome.changed, 2);
	ck_assert_uint_eq(world.outcome.removed, 1);
	world_release(&world);
}
END_TEST

/* --- Any sequence of batches ends like one load of what it ends with --- */

enum {
	NUMBERS = 60,
	DOMAINS = 6,
	ROUNDS = 60
};

/* What the directory holds: the version of each entry, 0 none. */
struct model {
	unsigned versions[NUMBERS];
};

static void put_number(struct world *world, unsigned number, unsigned version)
{
	if (number < DOMAINS) {
		put_domain(world, number, version);
	} else {
		put_mailbox(world, number, version);
	}
}

static unsigned pick(unsigned *seed, unsigned below)
{
	*seed = *seed * 1103515245u + 12345u;
	return (*seed >> 16) % below;
}

static void change_some(struct world *world, struct model *model, unsigned *seed)
{
	unsigned count = 1 + pick(seed, 12);

	while (count--) {
		unsigned number = pick(seed, NUMBERS);
		unsigned version = pick(seed, 4);

		model->versions[number] = version;
		if (version) {
			put_number(world, number, version);
		} else if (pick(seed, 4)) {
			remove_number(world, number);
		} else {
			unusable_number(world, number);
		}
	}
	deliver(world);
}

/* Changes that nobody told of, found by a refresh. */
static void refresh(struct world *world, struct model *model, unsigned *seed)
{
	for (unsigned number = 0; number < NUMBERS; number++) {
		bool is_changed = pick(seed, 8) == 0;

		if (is_changed) {
			model->versions[number] = pick(seed, 4);
		}
		if (!model->versions[number]) {
			continue;
		}
		if (is_changed || pick(seed, 2)) {
			put_number(world, number, model->versions[number]);
		} else if (pick(seed, 2)) {
			same_number(world, number);
		} else {
			present_number(world, number);
		}
	}
	deliver_complete(world);
}

START_TEST(any_sequence_of_batches_ends_like_a_first_load)
{
	struct world world, fresh;
	struct model model = { { 0 } };
	unsigned seed = (unsigned)_i * 7919u + 1;
	struct buf is, should_be;

	world_init(&world);
	if (_i % 2) {
		begin_refresh(&world);
	}
	for (unsigned number = 0; number < NUMBERS; number++) {
		model.versions[number] = pick(&seed, 4);
		if (model.versions[number]) {
			put_number(&world, number, model.versions[number]);
		}
	}
	deliver_complete(&world);
	for (int i = 0; i < ROUNDS; i++) {
		switch (pick(&seed, 8)) {
		case 0: refresh(&world, &model, &seed); break;
		case 1: world_restart(&world); break;
		case 2: accept_all(&world); break;
		default: change_some(&world, &model, &seed); break;
		}
		world.now += pick(&seed, 400);
	}
	accept_all(&world);

	world_init(&fresh);
	for (unsigned number = 0; number < NUMBERS; number++) {
		if (model.versions[number]) {
			put_number(&fresh, number, model.versions[number]);
		}
	}
	deliver_complete(&fresh);
	buf_init(&is);
	buf_init(&should_be);
	help_print_store(apply_store(world.apply), world.source.id, &is);
	help_print_store(apply_store(fresh.apply), fresh.source.id, &should_be);
	ck_assert_msg(should_be.len > 0, "an empty model proves nothing");
	ck_assert_str_eq(is.data, should_be.data);
	buf_release(&is);
	buf_release(&should_be);
	world_release(&world);
	world_release(&fresh);
}
END_TEST

static void add_tests(TCase *apply)
{
	tcase_add_test(apply, first_load_is_complete_and_loaded);
	tcase_add_test(apply, unchanged_entries_change_nothing);
	tcase_add_test(apply, what_a_complete_batch_does_not_have_is_removed);
	tcase_add_test(apply, the_last_word_on_an_entry_counts);
	tcase_add_loop_test(apply, any_sequence_of_batches_ends_like_a_first_load, 0,
	    12);
}

Suite *unit_suite(void)
{
	return apply_suite("apply", add_tests);
}
