#include "config.h"

#include <pthread.h>
#include <sched.h>
#include <stdatomic.h>
#include <stdio.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "replica/recipient.h"
#include "replica/store_lmdb.h"
#include "store_files.h"
#include "store_fixture.h"

/* Readers in threads while the main thread writes. */
enum {
	READERS = 2,
	COMMITS = 300,
	LOOKS = 2000
};

struct reader {
	pthread_t thread;
	atomic_uint looks;               /* snapshots taken */
	atomic_uint generation;          /* of the last */
	_Atomic(const char *) complaint; /* NULL: none */
};
static struct reader readers[READERS];
static atomic_bool is_over;

static struct key key_of(const char *address)
{
	struct address parsed;
	struct key key;

	unit_assert_status(address_parse_typed(span_of(address), &parsed), CX_OK,
	    address);
	address_key(&parsed, &key);
	return key;
}

/* The only owner of an address; CX_EFORMAT: none or several. */
static enum status sole_owner(struct snapshot *snapshot, const struct key *key,
    struct record_id *out)
{
	struct address_owner owners[2];
	size_t count;
	enum status status = snapshot_address_owners(snapshot, key, owners, 2, &count);

	if (status != CX_OK || count != 1) {
		return CX_EFORMAT;
	}
	*out = owners[0].id;
	return CX_OK;
}

/* The record says itself that it has the address. */
static bool has_mail(struct snapshot *snapshot, const struct record_id *id,
    const char *mail)
{
	struct recipient recipient;
	struct record record;
	struct span value;

	return snapshot_record(snapshot, id, &record) == CX_OK &&
	       recipient_decode(&record, &recipient) == CX_OK &&
	       values_next(&recipient.mails, &value) &&
	       span_equal(value, span_of(mail));
}

static const char *look(struct snapshot *snapshot, const struct key *a,
    const struct key *b)
{
	struct record_id owner_a, owner_b;

	if (sole_owner(snapshot, a, &owner_a) != CX_OK ||
	    sole_owner(snapshot, b, &owner_b) != CX_OK) {
		return "an address has no owner, or two";
	}
	if (record_id_equal(&owner_a, &owner_b)) {
		return "one record has both addresses";
	}
	if (!has_mail(snapshot, &owner_a, "a@acme.example") ||
	    !has_mail(snapshot, &owner_b, "b@acme.example")) {
		return "index and record differ";
	}
	return NULL;
}

static void *read_until_over(void *context)
{
	struct reader *reader = context;
	struct key a = key_of("a@acme.example"), b = key_of("b@acme.example");
	uint64_t generation = 0;

	while (!is_over && !reader->complaint) {
		struct snapshot *snapshot;

		if (snapshot_begin(fx.store, &snapshot, NULL) != CX_OK) {
			reader->complaint = "no snapshot";
			break;
		}
		if (snapshot_generation(snapshot) < generation) {
			reader->complaint = "the generation went back";
		} else {
			reader->complaint = look(snapshot, &a, &b);
		}
		generation = snapshot_generation(snapshot);
		reader->generation = (unsigned)generation;
		snapshot_end(snapshot);
		atomic_fetch_add(&reader->looks, 1);
	}
	return NULL;
}

static void start_readers(void)
{
	is_over = false;
	for (int i = 0; i < READERS; i++) {
		readers[i].looks = 0;
		readers[i].complaint = NULL;
		ck_assert_int_eq(pthread_create(&readers[i].thread, NULL,
				     read_until_over, &readers[i]),
		    0);
	}
}

static bool have_all_looked(unsigned looks)
{
	for (int i = 0; i < READERS; i++) {
		if (readers[i].looks < looks) {
			return false;
		}
	}
	return true;
}

static void end_readers(void)
{
	is_over = true;
	for (int i = 0; i < READERS; i++) {
		pthread_join(readers[i].thread, NULL);
	}
	for (int i = 0; i < READERS; i++) {
		ck_assert_msg(!readers[i].complaint, "%s", readers[i].complaint);
	}
}

/* Gives the two addresses to the two records, the one way or the other, in one commit. */
static void swap(unsigned turn)
{
	fixture_begin();
	fixture_put_mailbox(1, 1, turn % 2 ? "a@acme.example" : "b@acme.example");
	fixture_put_mailbox(1, 2, turn % 2 ? "b@acme.example" : "a@acme.example");
	fixture_commit();
}

START_TEST(two_addresses_swapped_in_one_commit_are_never_seen_half_swapped)
{
	swap(0);
	start_readers();
	for (unsigned n = 1; n <= COMMITS || !have_all_looked(LOOKS); n++) {
		swap(n);
	}
	end_readers();
}
END_TEST

/* With a commit that must not be seen, as it is in a build. */
static void publish_swapped(unsigned turn)
{
	fixture_build();
	fixture_begin();
	fixture_put_mailbox(1, 1, "c@acme.example");
	fixture_put_mailbox(1, 2, "c@acme.example");
	fixture_commit();
	swap(turn);
	fixture_publish();
	swap(turn + 1);
}

static void await_readers(unsigned generation)
{
	const struct timespec pause = { 0, 5000000 };

	for (int i = 0; i < READERS; i++) {
		while (readers[i].generation < generation && !readers[i].complaint) {
			nanosleep(&pause, NULL);
		}
	}
}

START_TEST(readers_follow_published_files_without_a_gap)
{
	struct snapshot *snapshot;
	unsigned generation;

	swap(0);
	snapshot = fixture_snapshot();
	generation = (unsigned)snapshot_generation(snapshot);
	snapshot_end(snapshot);
	start_readers();
	for (int round = 0; round < 3; round++) {
		for (unsigned n = 1; n <= 10; n++) {
			publish_swapped(n);
		}
		generation += 10 * 3;
		await_readers(generation);
	}
	end_readers();
}
END_TEST

START_TEST(readers_give_way_to_a_writer_in_the_same_process)
{
	swap(0);
	for (unsigned n = 1; n <= 20; n++) {
		fixture_close();
		fixture_open_store();
		start_readers();
		while (!have_all_looked(10)) {
			sched_yield();
		}
		fixture_reopen_writer(false);
		swap(n);
		swap(n + 1);
		end_readers();
	}
}
END_TEST

START_TEST(a_writer_gives_up_on_a_reader_in_its_process_that_never_ends)
{
	struct snapshot *snapshot;
	bool is_new;

	swap(0);
	fixture_close();
	fixture_open_store();
	snapshot = fixture_snapshot();
	unit_assert_status(store_writer_open(fx.folder, &fx.writer, &is_new, &fx.err),
	    CX_ETEMP, "held");
	ck_assert_uint_eq(snapshot_generation(snapshot), 2);
	snapshot_end(snapshot);
	fixture_open_writer();
	swap(1);
	snapshot_end(fixture_snapshot());
}
END_TEST

START_TEST(many_snapshots_at_once_are_all_served)
{
	enum {
		MANY = 200
	};
	struct snapshot *snapshots[MANY];

	swap(0);
	for (int round = 0; round < 2; round++) {
		for (int i = 0; i < MANY; i++) {
			snapshots[i] = fixture_snapshot();
			ck_assert_uint_eq(snapshot_generation(snapshots[i]),
			    snapshot_generation(snapshots[0]));
		}
		for (int i = 0; i < MANY; i++) {
			snapshot_end(snapshots[i]);
		}
	}
}
END_TEST

START_TEST(more_snapshots_than_slots_are_unavailable_and_come_back)
{
	enum {
		MANY = 600
	}; /* over STORE_MAX_READERS */
	struct snapshot *snapshots[MANY];
	enum status status = CX_OK;
	int count = 0;

	swap(0);
	while (count < MANY && status == CX_OK) {
		status = snapshot_begin(fx.store, &snapshots[count], &fx.err);
		count += status == CX_OK;
	}
	unit_assert_status(status, CX_ETEMP, "over the limit");
	ck_assert_int_gt(count, 400);
	while (count > 0) {
		snapshot_end(snapshots[--count]);
	}
	snapshot_end(fixture_snapshot());
	swap(1);
}
END_TEST

/* What a watch told last. */
static struct {
	pthread_mutex_t lock;
	unsigned calls;
	bool is_wrong;
	char text[256];
} heard = { .lock = PTHREAD_MUTEX_INITIALIZER };

static void hear(void *context, const char *why)
{
	(void)context;
	pthread_mutex_lock(&heard.lock);
	heard.calls++;
	heard.is_wrong = why != NULL;
	snprintf(heard.text, sizeof(heard.text), "%s", why ? why : "");
	pthread_mutex_unlock(&heard.lock);
}

static void await_heard(unsigned calls, bool is_wrong, const char *text)
{
	const struct timespec pause = { 0, 10000000 };

	for (int i = 0; i < 1000; i++) {
		pthread_mutex_lock(&heard.lock);
		bool is_there = heard.calls >= calls;

		pthread_mutex_unlock(&heard.lock);
		if (is_there) {
			break;
		}
		nanosleep(&pause, NULL);
	}
	ck_assert_uint_eq(heard.calls, calls);
	ck_assert_int_eq(heard.is_wrong, is_wrong);
	ck_assert_ptr_nonnull(strstr(heard.text, text));
}

/* Whether this process has a replica file mapped that is removed. */
static bool has_removed_file(void)
{
	FILE *maps = fopen("/proc/self/maps", "r");
	char line[512];
	bool has = false;

	ck_assert_ptr_nonnull(maps);
	while (fgets(line, sizeof(line), maps)) {
		has |= strstr(line, ".mdb") && strstr(line, "(deleted)");
	}
	fclose(maps);
	return has;
}

START_TEST(an_idle_store_follows_and_tells_what_is_wrong)
{
	const struct timespec pause = { 0, 10000000 };
	struct store_watch *watch;

	snapshot_end(fixture_snapshot());
	unit_assert_status(store_watch_new(fx.store, hear, NULL, &watch), CX_OK, "watch");
	fixture_build();
	fixture_publish();
	for (int i = 0; i < 1000 && has_removed_file(); i++) {
		nanosleep(&pause, NULL);
	}
	ck_assert(!has_removed_file());
	ck_assert_uint_eq(heard.calls, 0);
	/* Each reason once. */
	files_link_current("data-77.mdb");
	await_heard(1, true, "current: the replica file that it names is missing");
	files_link_current("/dev/null");
	await_heard(2, true, "current: not a link to a replica file");
	files_link_current(fx.writer->live_name);
	await_heard(3, false, "");
	store_watch_free(watch);
	store_watch_free(NULL);
}
END_TEST

Suite *unit_suite(void)
{
	Suite *suite = suite_create("store_threads");
	TCase *tcase = tcase_create("store_threads");

	tcase_set_timeout(tcase, 120);
	tcase_add_checked_fixture(tcase, fixture_set_up, fixture_tear_down);
	tcase_add_test(tcase,
	    two_addresses_swapped_in_one_commit_are_never_seen_half_swapped);
	tcase_add_test(tcase, readers_follow_published_files_without_a_gap);
	tcase_add_test(tcase, readers_give_way_to_a_writer_in_the_same_process);
	tcase_add_test(tcase,
	    a_writer_gives_up_on_a_reader_in_its_process_that_never_ends);
	tcase_add_test(tcase, many_snapshots_at_once_are_all_served);
	tcase_add_test(tcase, more_snapshots_than_slots_are_unavailable_and_come_back);
	tcase_add_test(tcase, an_idle_store_follows_and_tells_what_is_wrong);
	suite_add_tcase(suite, tcase);
	return suite;
}
