#include "config.h"

#include "apply_world.h"

#include <stdio.h>
#include <unistd.h>

#include "syncd/apply_parts.h"
#include "syncd_help.h"
#include "tests/support/check_snapshot.h"
#include "unit.h"

size_t changes_max;

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

void world_init(struct world *world)
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

void name_file(struct world *world, char out[64])
{
	char path[256];

	memset(out, 0, 64);
	snprintf(path, sizeof(path), "%s/current", world->folder);
	ck_assert_int_gt(readlink(path, out, 63), 0);
}

void world_release(struct world *world)
{
	world_close(world);
	unit_rmdir(world->folder);
}

void world_restart(struct world *world)
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

void put_entry(struct world *world, unsigned number, const char *ldif)
{
	uint8_t uuid[16];
	struct buf record;

	buf_init(&record);
	help_record(&world->directory, ldif, &record);
	set_uuid(uuid, number);
	ck_assert_int_eq(batch_put(&world->batch, uuid, buf_span(&record)), CX_OK);
	buf_release(&record);
}

void put_mailbox(struct world *world, unsigned number, unsigned version)
{
	char ldif[512];

	snprintf(ldif, sizeof(ldif),
	    "dn: uid=u%u,dc=x\nobjectClass: coexistMailbox\nmail: u%u@x.example\n"
	    "coexistProxyAddress: smtp:v%u.u%u@x.example\n",
	    number, number, version, number);
	put_entry(world, number, ldif);
}

void put_domain(struct world *world, unsigned number, unsigned version)
{
	char ldif[512];

	snprintf(ldif, sizeof(ldif),
	    "dn: cn=d%u,dc=x\nobjectClass: coexistDomain\nassociatedDomain: d%u.example\n"
	    "coexistDomainType: %s\n",
	    number, number, version % 2 ? "relay" : "shared");
	put_entry(world, number, ldif);
}

void remove_number(struct world *world, unsigned number)
{
	uint8_t uuid[16];

	set_uuid(uuid, number);
	ck_assert_int_eq(batch_remove(&world->batch, uuid), CX_OK);
}

void present_number(struct world *world, unsigned number)
{
	uint8_t uuid[16];

	set_uuid(uuid, number);
	ck_assert_int_eq(batch_present(&world->batch, uuid), CX_OK);
}

void spare_number(struct world *world, unsigned number)
{
	uint8_t uuid[16];

	set_uuid(uuid, number);
	ck_assert_int_eq(batch_spare(&world->batch, uuid), CX_OK);
}

void not_ours_number(struct world *world, unsigned number)
{
	uint8_t uuid[16];

	set_uuid(uuid, number);
	ck_assert_int_eq(batch_not_ours(&world->batch, uuid), CX_OK);
}

void unusable_number(struct world *world, unsigned number)
{
	uint8_t uuid[16];
	char dn[32];

	set_uuid(uuid, number);
	snprintf(dn, sizeof(dn), "cn=%u", number);
	ck_assert_int_eq(batch_unusable(&world->batch, uuid, span_of(dn), "bad"),
	    CX_OK);
}

void same_number(struct world *world, unsigned number)
{
	uint8_t uuid[16];

	set_uuid(uuid, number);
	ck_assert_int_eq(batch_same(&world->batch, uuid), CX_OK);
}

void begin_refresh(struct world *world)
{
	struct errbuf err = { "" };

	ck_assert_msg(apply_begin_refresh(world->apply, &world->batch, true, &err) == CX_OK,
	    "%s", err.text);
}

void deliver(struct world *world)
{
	struct errbuf err = { "" };

	world->batch.has_contact = true;
	ck_assert_msg(apply_batch(world->apply, &world->source, &world->batch,
			  world->now, &world->outcome, &err) == CX_OK,
	    "%s", err.text);
	batch_clear(&world->batch);
}

void deliver_complete(struct world *world)
{
	world->batch.is_complete = world->batch.is_refresh = true;
	deliver(world);
}

void load_mailboxes(struct world *world, unsigned first, unsigned count)
{
	for (unsigned i = 0; i < count; i++) {
		put_mailbox(world, first + i, 0);
	}
	deliver_complete(world);
}

struct apply_report report(struct world *world)
{
	struct apply_report out;

	ck_assert_int_eq(apply_report(world->apply, world->source.id, &out), CX_OK);
	return out;
}

uint64_t generation(struct world *world)
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

size_t accept_all(struct world *world)
{
	struct errbuf err;
	size_t removed = 0;
	enum status status =
	    apply_accept(world->apply, world->source.id, &removed, &err);

	ck_assert(status == CX_OK || status == CX_NOTFOUND);
	return removed;
}

size_t recipients_of(struct world *world, uint8_t source)
{
	struct apply_report report;

	ck_assert_int_eq(apply_report(world->apply, source, &report), CX_OK);
	return report.recipients;
}

/* What needs many changes otherwise: new files, in steps and loaded anew. */
static void set_few_changes(void)
{
	changes_max = 2;
}

Suite *apply_suite(const char *name, void (*add_tests)(TCase *))
{
	Suite *suite = suite_create(name);
	TCase *usual = tcase_create("usual"), *few = tcase_create("few changes");

	tcase_set_timeout(usual, 60);
	tcase_set_timeout(few, 60);
	add_tests(usual);
	suite_add_tcase(suite, usual);
	tcase_add_checked_fixture(few, set_few_changes, NULL);
	add_tests(few);
	suite_add_tcase(suite, few);
	return suite;
}
