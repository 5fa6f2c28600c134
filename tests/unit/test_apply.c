#include "config.h"

#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include "replica/sync_notes.h"
#include "syncd/apply.h"
#include "syncd/apply_parts.h"
#include "syncd_help.h"
#include "tests/support/check_snapshot.h"
#include "unit.h"

enum {
	NOW = 1700000000,
	MINUTES = 60
};

/* 0: as many changes in a transaction as usual. */
static size_t changes_max;

/* A replica with one directory, "test". */
struct world {
	char *folder;
	struct apply *apply;
	struct apply_source source;
	struct conf_directory directory;
	struct batch batch;
	struct apply_outcome outcome;
	int64_t now;
};

static void world_open(struct world *world)
{
	struct source_info info = { .name = "test",
		.provides_recipients = true,
		.provides_domains = true,
		.provides_connectors = true };
	struct errbuf err;

	ck_assert_int_eq(apply_open(world->folder, &world->apply, NULL, &err), CX_OK);
	if (changes_max) {
		world->apply->changes_max = changes_max;
	}
	ck_assert_int_eq(apply_sources(world->apply, &info, NULL, 1, &err), CX_OK);
	world->source =
	    (struct apply_source){ .id = info.id,
		    .max_delete_percent = 10,
		    .contact_interval_s = 30 };
	batch_init(&world->batch, info.id, "/tmp");
}

static void world_init(struct world *world)
{
	*world = (struct world){ .now = NOW, .directory = help_directory() };
	world->folder = unit_mkdir();
	world_open(world);
}

/* Records, indexes, counts and directories agree, as readers see them. */
static void assert_consistent(struct world *world)
{
	struct tally tally = { .total = 0 };
	struct snapshot *snapshot;
	struct store *store;
	struct errbuf err;

	ck_assert_int_eq(store_open(world->folder, &store, &err), CX_OK);
	ck_assert_int_eq(snapshot_begin(store, &snapshot, &err), CX_OK);
	index_init(&tally.set);
	ck_assert(check_whole(snapshot, &tally));
	index_release(&tally.set);
	snapshot_end(snapshot);
	store_close(store);
}

static void world_close(struct world *world)
{
	assert_consistent(world);
	batch_release(&world->batch);
	apply_close(world->apply);
	world->apply = NULL;
}

/* What the link names: another one after a new file was published. */
static void name_file(struct world *world, char out[64])
{
	char path[256];

	memset(out, 0, 64);
	snprintf(path, sizeof(path), "%s/current", world->folder);
	ck_assert_int_gt(readlink(path, out, 63), 0);
}

static void world_release(struct world *world)
{
	world_close(world);
	unit_rmdir(world->folder);
}

/* As kill -9 and a new start would have it: what was committed is what there is. */
static void world_restart(struct world *world)
{
	world_close(world);
	world_open(world);
}

static void set_uuid(uint8_t uuid[16], unsigned number)
{
	memset(uuid, 0, 16);
	uuid[0] = (uint8_t)(number >> 8);
	uuid[2] = (uint8_t)(number >> 16);
	uuid[1] = (uint8_t)number;
	uuid[15] = 1;
}

static void put_entry(struct world *world, unsigned number, const char *ldif)
{
	uint8_t uuid[16];
	struct buf record;

	buf_init(&record);
	help_record(&world->directory, ldif, &record);
	set_uuid(uuid, number);
	ck_assert_int_eq(batch_put(&world->batch, uuid, buf_span(&record)), CX_OK);
	buf_release(&record);
}

/* A mailbox with DN and address of its number; `version` makes another record of it. */
static void put_mailbox(struct world *world, unsigned number, unsigned version)
{
	char ldif[512];

	snprintf(ldif, sizeof(ldif),
	    "dn: uid=u%u,dc=x\nobjectClass: coexistMailbox\nmail: u%u@x.example\n"
	    "coexistProxyAddress: smtp:v%u.u%u@x.example\n",
	    number, number, version, number);
	put_entry(world, number, ldif);
}

static void put_domain(struct world *world, unsigned number, unsigned version)
{
	char ldif[512];

	snprintf(ldif, sizeof(ldif),
	    "dn: cn=d%u,dc=x\nobjectClass: coexistDomain\nassociatedDomain: d%u.example\n"
	    "coexistDomainType: %s\n",
	    number, number, version % 2 ? "relay" : "shared");
	put_entry(world, number, ldif);
}

static void remove_number(struct world *world, unsigned number)
{
	uint8_t uuid[16];

	set_uuid(uuid, number);
	ck_assert_int_eq(batch_remove(&world->batch, uuid), CX_OK);
}

static void present_number(struct world *world, unsigned number)
{
	uint8_t uuid[16];

	set_uuid(uuid, number);
	ck_assert_int_eq(batch_present(&world->batch, uuid), CX_OK);
}

static void spare_number(struct world *world, unsigned number)
{
	uint8_t uuid[16];

	set_uuid(uuid, number);
	ck_assert_int_eq(batch_spare(&world->batch, uuid), CX_OK);
}

static void not_ours_number(struct world *world, unsigned number)
{
	uint8_t uuid[16];

	set_uuid(uuid, number);
	ck_assert_int_eq(batch_not_ours(&world->batch, uuid), CX_OK);
}

static void unusable_number(struct world *world, unsigned number)
{
	uint8_t uuid[16];
	char dn[32];

	set_uuid(uuid, number);
	snprintf(dn, sizeof(dn), "cn=%u", number);
	ck_assert_int_eq(batch_unusable(&world->batch, uuid, span_of(dn), "bad"),
	    CX_OK);
}

static void same_number(struct world *world, unsigned number)
{
	uint8_t uuid[16];

	set_uuid(uuid, number);
	ck_assert_int_eq(batch_same(&world->batch, uuid), CX_OK);
}

static void begin_refresh(struct world *world)
{
	struct errbuf err = { "" };

	ck_assert_msg(apply_begin_refresh(world->apply, &world->batch, true, &err) == CX_OK,
	    "%s", err.text);
}

static void deliver(struct world *world)
{
	struct errbuf err = { "" };

	world->batch.has_contact = true;
	ck_assert_msg(apply_batch(world->apply, &world->source, &world->batch,
			  world->now, &world->outcome, &err) == CX_OK,
	    "%s", err.text);
	batch_clear(&world->batch);
}

static void deliver_complete(struct world *world)
{
	world->batch.is_complete = world->batch.is_refresh = true;
	deliver(world);
}

/* The first `count` mailboxes, all of them and nothing else. */
static void load_mailboxes(struct world *world, unsigned first, unsigned count)
{
	for (unsigned i = 0; i < count; i++) {
		put_mailbox(world, first + i, 0);
	}
	deliver_complete(world);
}

static struct apply_report report(struct world *world)
{
	struct apply_report out;

	ck_assert_int_eq(apply_report(world->apply, world->source.id, &out), CX_OK);
	return out;
}

static uint64_t generation(struct world *world)
{
	struct store *store;
	struct snapshot *snapshot;
	struct errbuf err;
	uint64_t result;

	ck_assert_int_eq(store_open(world->folder, &store, &err), CX_OK);
	ck_assert_int_eq(snapshot_begin(store, &snapshot, &err), CX_OK);
	result = snapshot_generation(snapshot);
	snapshot_end(snapshot);
	store_close(store);
	return result;
}

static size_t accept_all(struct world *world)
{
	struct errbuf err;
	size_t removed = 0;
	enum status status =
	    apply_accept(world->apply, world->source.id, &removed, &err);

	ck_assert(status == CX_OK || status == CX_NOTFOUND);
	return removed;
}

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

START_TEST(a_directory_that_was_reloaded_with_new_ids_is_replaced)
{
	char before[64], after[64];
	struct world world;

	world_init(&world);
	put_domain(&world, 900, 0);
	load_mailboxes(&world, 0, 100);
	/* The same DNs, all other ids. */
	for (unsigned i = 0; i < 100; i++) {
		char ldif[256];

		snprintf(ldif, sizeof(ldif),
		    "dn: uid=u%u,dc=x\nobjectClass: coexistMailbox\nmail: u%u@x.example\n",
		    i, i);
		put_entry(&world, 1000 + i, ldif);
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
		char ldif[256];

		snprintf(ldif, sizeof(ldif),
		    "dn: uid=u%u,ou=y,dc=x\nobjectClass: coexistMailbox\nmail: u%u@x.example\n",
		    i, i);
		put_entry(&world, 2000 + i, ldif);
	}
	present_number(&world, 1900);
	deliver_complete(&world);
	ck_assert_uint_eq(world.outcome.held, 0);
	ck_assert_uint_eq(report(&world).recipients, 100);
	world_release(&world);
}
END_TEST

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
		char ldif[256];

		snprintf(ldif, sizeof(ldif),
		    "dn: uid=u%u,dc=x\nobjectClass: coexistMailbox\nmail: u%u@x.example\n",
		    i, i);
		put_entry(&world, 1000 + i, ldif);
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
			char ldif[256];

			snprintf(ldif, sizeof(ldif),
			    "dn: uid=u%u,ou=y,dc=x\nobjectClass: coexistMailbox\n"
			    "mail: u%u@x.example\n",
			    i, i);
			put_entry(&world, 1000 + i, ldif);
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

static bool is_loaded(struct world *world, uint8_t source)
{
	struct apply_report report;

	ck_assert_int_eq(apply_report(world->apply, source, &report), CX_OK);
	return report.is_loaded;
}

static size_t recipients_of(struct world *world, uint8_t source)
{
	struct apply_report report;

	ck_assert_int_eq(apply_report(world->apply, source, &report), CX_OK);
	return report.recipients;
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

/* --- First loads, and refreshes that compare --- */

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

/* --- Memory --- */

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
	tcase_set_timeout(apply, 60);
	tcase_add_test(apply, first_load_is_complete_and_loaded);
	tcase_add_test(apply, unchanged_entries_change_nothing);
	tcase_add_test(apply, a_first_load_goes_into_a_new_file_as_it_comes);
	tcase_add_test(apply, a_load_that_is_given_up_leaves_nothing);
	tcase_add_test(apply, the_last_word_counts_in_a_load_too);
	tcase_add_test(apply, what_came_as_stored_must_be_stored);
	tcase_add_test(apply, what_is_the_same_has_reappeared_and_keeps_its_addresses);
	tcase_add_test(apply, very_many_changes_go_into_a_new_file);
	tcase_add_test(apply, very_many_removals_kept_back_are_no_changes);
	tcase_add_test(apply, what_a_complete_batch_does_not_have_is_removed);
	tcase_add_test(apply, the_last_word_on_an_entry_counts);
	tcase_add_test(apply, too_many_removals_are_kept_back);
	tcase_add_test(apply, removals_add_up_within_ten_minutes);
	tcase_add_test(apply, an_empty_directory_removes_nobody);
	tcase_add_test(apply, a_domain_goes_only_when_it_was_deleted);
	tcase_add_test(apply,
	    what_is_kept_back_stays_where_everything_is_loaded_anew);
	tcase_add_test(apply, a_directory_that_was_reloaded_with_new_ids_is_replaced);
	tcase_add_test(apply, when_everything_was_read_outlives_the_process);
	tcase_add_test(apply, what_is_spared_neither_goes_nor_reappears);
	tcase_add_test(apply, what_is_spared_yields_to_who_takes_its_address);
	tcase_add_test(apply, an_old_owner_that_goes_later_is_replaced_too);
	tcase_add_test(apply, a_domain_that_only_looks_like_none_is_kept);
	tcase_add_test(apply, recipients_that_become_containers_count_as_removals);
	tcase_add_test(apply, a_removal_kept_back_yields_to_who_takes_its_address);
	tcase_add_test(apply, skipped_entries_are_listed_until_they_are_usable);
	tcase_add_test(apply, the_cookie_is_that_of_the_data);
	tcase_add_test(apply, what_is_to_be_done_yet_is_stored_with_the_change);
	tcase_add_test(apply, cookies_alone_are_written_now_and_then);
	tcase_add_test(apply, contact_is_written_every_half_minute);
	tcase_add_test(apply, directories_that_are_not_named_lose_their_records);
	tcase_add_test(apply,
	    very_many_records_that_are_not_wanted_are_left_out_of_a_new_file);
	tcase_add_test(apply, directories_are_known_by_their_place_then_by_their_name);
	tcase_add_test(apply, a_directory_that_takes_the_name_of_another_keeps_its_records);
	tcase_add_test(apply, a_directory_that_is_to_provide_more_counts_as_not_loaded);
	tcase_add_loop_test(apply, any_sequence_of_batches_ends_like_a_first_load, 0,
	    12);
}

/* What needs many changes otherwise: new files, in steps and loaded anew. */
static void set_few_changes(void)
{
	changes_max = 2;
}

Suite *unit_suite(void)
{
	Suite *suite = suite_create("apply");
	TCase *usual = tcase_create("usual"), *few = tcase_create("few changes");

	add_tests(usual);
	tcase_add_test(usual, memory_does_not_grow_with_the_directory);
	suite_add_tcase(suite, usual);
	tcase_add_checked_fixture(few, set_few_changes, NULL);
	add_tests(few);
	suite_add_tcase(suite, few);
	return suite;
}
