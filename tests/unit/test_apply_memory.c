#include "config.h"

#include <stdio.h>

#include "apply_world.h"
#include "unit.h"

enum {
	FEW = 20000,
	MANY_TIMES = 2, /* as many */
	WIPED = 60000, /* numbers of the same people with other ids */
#if defined(__SANITIZE_ADDRESS__) || defined(__SANITIZE_THREAD__)
	BYTES_MORE = 4000, /* what was freed is kept, to find uses of it */
#else
	BYTES_MORE = 200, /* for each that is more; a record takes 440 in the replica, more in a batch */
#endif
};

static void note_memory(void *context)
{
	size_t *peak = context;
	FILE *status = fopen("/proc/self/status", "re");
	char line[256];
	size_t kb = 0;

	ck_assert_ptr_nonnull(status);
	while (fgets(line, sizeof(line), status) &&
	       sscanf(line, "RssAnon: %zu", &kb) != 1) {
	}
	fclose(status);
	ck_assert_uint_gt(kb, 0);
	*peak = kb > *peak ? kb : *peak;
}

enum {
	STEP_LOAD,
	STEP_SAME,
	STEP_CHANGED, /* a quarter, in steps */
	STEP_WIPED,
	STEP_REMOVED, /* all, kept back */
	STEP_DROPPED,
	STEPS
};

static void take_step(struct world *world, unsigned step, unsigned count)
{
	struct source_info other = { .name = "other", .provides_recipients = true };
	struct errbuf err;
	char ldif[256];

	switch (step) {
	case STEP_LOAD:
		begin_refresh(world);
		load_mailboxes(world, 0, count);
		return;
	case STEP_SAME:
		for (unsigned i = 0; i < count; i++) {
			same_number(world, i);
		}
		deliver_complete(world);
		return;
	case STEP_CHANGED:
		for (unsigned i = 0; i < count; i += 4) {
			put_mailbox(world, i, 1);
		}
		deliver(world);
		return;
	case STEP_WIPED:
		for (unsigned i = 0; i < count; i++) {
			snprintf(ldif, sizeof(ldif),
			    "dn: uid=u%u,dc=x\nobjectClass: coexistMailbox\n"
			    "mail: u%u@x.example\n",
			    i, i);
			put_entry(world, WIPED + i, ldif);
		}
		deliver_complete(world);
		ck_assert_uint_eq(world->outcome.removed, count);
		return;
	case STEP_REMOVED:
		deliver_complete(world);
		ck_assert_uint_eq(world->outcome.held, count);
		return;
	case STEP_DROPPED:
		ck_assert_int_eq(apply_sources(world->apply, &other, NULL, 1, &err),
		    CX_OK);
		return;
	default: return;
	}
}

/* The most that was in use in each step, in kB. */
static void measure_memory(unsigned count, size_t peaks[STEPS])
{
	struct world world;

	world_init(&world);
	for (unsigned step = 0; step < STEPS; step++) {
		peaks[step] = 0;
		apply_on_progress(world.apply, note_memory, &peaks[step]);
		note_memory(&peaks[step]);
		take_step(&world, step, count);
		note_memory(&peaks[step]);
	}
	apply_on_progress(world.apply, NULL, NULL);
	world_release(&world);
}

START_TEST(memory_does_not_grow_with_the_directory)
{
	size_t few[STEPS], many[STEPS];
	const size_t more_kb = (size_t)FEW * (MANY_TIMES - 1) * BYTES_MORE / 1024;

	measure_memory(FEW, few); /* what the C library takes once */
	measure_memory(FEW, few);
	measure_memory(FEW * MANY_TIMES, many);
	for (unsigned step = 0; step < STEPS; step++) {
		ck_assert_msg(many[step] < few[step] + more_kb,
		    "step %u: %zu kB for %d, %zu kB for %d", step, few[step], FEW,
		    many[step], FEW * MANY_TIMES);
	}
}
END_TEST

Suite *unit_suite(void)
{
	Suite *suite = suite_create("apply memory");
	TCase *memory = tcase_create("memory");

	tcase_set_timeout(memory, 60);
	tcase_add_test(memory, memory_does_not_grow_with_the_directory);
	suite_add_tcase(suite, memory);
	return suite;
}
