#include "config.h"

#include <sched.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mount.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <unistd.h>

#include "replica/load_sort.h"
#include "replica/store_lmdb.h"
#include "store_fixture.h"
#include "store_random.h"

/* --- Sorting --- */

static const char **chosen; /* by sort_item.at */

static struct span key_of(const struct sort_item *item, void *unused)
{
	(void)unused;
	return span_of(chosen[item->at]);
}

static int compare_keys(const struct sort_item *a, const struct sort_item *b,
    void *unused)
{
	(void)unused;
	return strcmp(chosen[a->at], chosen[b->at]);
}

/* A text of a set that has few, or one of very many with long common beginnings. */
static const char *choose(bool is_few)
{
	static const char *const few[] = { "", "a", "abcdefgh", "abcdefghij",
		"abcdefghi", "abcdefgh", "b", "B", "\303\244", "abcdefg", "b" };
	static char many[20000][64];
	static unsigned used;

	if (is_few) {
		return few[random_below(sizeof(few) / sizeof(few[0]))];
	}
	used = (used + 1) % 20000;
	snprintf(many[used], sizeof(many[used]), "the same in all of them %s%u@%u",
	    random_below(2) ? "and in half" : "", random_below(50), random_below(3000));
	return many[used];
}

START_TEST(sorts_by_prefixes_and_what_is_equal_as_it_came)
{
	static const struct sort_order order = { key_of, compare_keys, NULL };
	enum {
		COUNT = 10000
	};
	struct sort_item *items = calloc(COUNT, sizeof(*items));
	struct sort_item *temp = calloc(COUNT, sizeof(*temp));

	chosen = calloc(COUNT, sizeof(*chosen));
	ck_assert(items && temp && chosen);
	for (size_t count = 0; count <= COUNT; count = count * 3 / 2 + 1) {
		for (size_t i = 0; i < count; i++) {
			chosen[i] =
			    choose(_i == 0 || (_i == 1 && random_below(2) == 0));
			items[i].at = i;
		}
		load_sort(items, temp, count, &order);
		for (size_t i = 1; i < count; i++) {
			int found =
			    strcmp(chosen[items[i - 1].at], chosen[items[i].at]);

			if (found > 0 ||
			    (found == 0 && items[i - 1].at > items[i].at)) {
				ck_abort_msg("%zu of %zu", i, count);
			}
		}
	}
	free(chosen);
	free(items);
	free(temp);
}
END_TEST

/* --- A load against the same with store_put() --- */

struct world {
	char *folder;
	struct store_writer *writer;
};

static struct world worlds[2]; /* the first is loaded, the second is put */

static void name_source(struct source_info *source, const char *name)
{
	*source = (struct source_info){ .provides_recipients = true };
	snprintf(source->name, sizeof(source->name), "%s", name);
}

static void begin(struct world *world)
{
	unit_assert_status(store_begin(world->writer, &fx.err), CX_OK, fx.err.text);
}

static void commit(struct world *world)
{
	unit_assert_status(store_commit(world->writer, &fx.err), CX_OK, fx.err.text);
}

static void open_worlds(void)
{
	struct source_info sources[3];
	bool is_new;

	for (unsigned i = 0; i < 2; i++) {
		worlds[i].folder = unit_mkdir();
		unit_assert_status(store_writer_open(worlds[i].folder,
				       &worlds[i].writer, &is_new, &fx.err),
		    CX_OK, fx.err.text);
		name_source(&sources[0], "a");
		name_source(&sources[1], "b");
		name_source(&sources[2], "c");
		begin(&worlds[i]);
		unit_assert_status(store_set_sources(worlds[i].writer, sources, 3),
		    CX_OK, "sources");
		unit_assert_status(store_put_meta(worlds[i].writer, "src/2/cookie",
				       SPAN("old")),
		    CX_OK, "meta");
		commit(&worlds[i]);
	}
}

static void close_worlds(void)
{
	for (unsigned i = 0; i < 2; i++) {
		store_writer_close(worlds[i].writer);
		unit_rmdir(worlds[i].folder);
	}
}

static void put_both(const struct record_id *id, struct span record)
{
	for (unsigned i = 0; i < 2; i++) {
		unit_assert_status(store_put(worlds[i].writer, id, record, NULL), CX_OK,
		    "put");
	}
}

/* What there is before: of every source, the one that will be loaded too. */
static void fill_both(unsigned count)
{
	begin(&worlds[0]);
	begin(&worlds[1]);
	for (unsigned n = 0; n < count; n++) {
		struct record_id id = make_id(1 + random_below(3), random_below(40));

		put_both(&id, random_record(&fx.buf));
	}
	commit(&worlds[0]);
	commit(&worlds[1]);
}

static bool note_id(void *context, const struct record_id *id, struct span record)
{
	(void)record;
	*(struct record_id *)context = *id;
	return false;
}

static void remove_all(struct store_writer *writer, uint8_t source)
{
	for (;;) {
		struct record_id id = { .source = 0 };

		unit_assert_status(store_each(writer, source, note_id, &id), CX_OK,
		    "each");
		if (id.source == 0) {
			return;
		}
		unit_assert_status(store_remove(writer, &id), CX_OK, "remove");
	}
}

static void load(struct store_writer *writer, uint8_t source, struct store_load **out,
    size_t run)
{
	unit_assert_status(store_load_new_sized(writer, source, run, out, &fx.err),
	    CX_OK, fx.err.text);
}

static uint64_t generation_of(const struct world *world)
{
	struct snapshot *snapshot;
	struct store *store;

	unit_assert_status(store_open(world->folder, &store, &fx.err), CX_OK,
	    fx.err.text);
	unit_assert_status(snapshot_begin(store, &snapshot, &fx.err), CX_OK,
	    fx.err.text);
	uint64_t generation = snapshot_generation(snapshot);

	snapshot_end(snapshot);
	store_close(store);
	return generation;
}

static void assert_equal_worlds(void)
{
	struct buf texts[2];

	for (unsigned i = 0; i < 2; i++) {
		buf_init(&texts[i]);
		begin(&worlds[i]);
		random_dump(worlds[i].writer, &texts[i]);
		store_abort(worlds[i].writer);
	}
	random_assert_equal(texts[0].data, texts[1].data);
	buf_release(&texts[0]);
	buf_release(&texts[1]);
}

static size_t count_in(struct world *world, unsigned source, unsigned kind)
{
	begin(world);
	size_t count =
	    store_count(world->writer, (uint8_t)source, (enum record_kind)kind);

	store_abort(world->writer);
	return count;
}

static void assert_equal_counts(void)
{
	for (unsigned source = 1; source <= 3; source++) {
		for (unsigned kind = 1; kind <= RECORD_CONTAINER; kind++) {
			ck_assert_uint_eq(count_in(&worlds[0], source, kind),
			    count_in(&worlds[1], source, kind));
		}
	}
}

START_TEST(a_load_gives_what_putting_one_by_one_gives)
{
	static const size_t runs[] = { 1, 2, 7, 50, 1000 };
	struct store_load *loaded;

	random_seed((unsigned)_i);
	open_worlds();
	fill_both(_i % 4 == 0 ? 0 : 60);
	load(worlds[0].writer, 2, &loaded, runs[_i % 5]);
	begin(&worlds[1]);
	remove_all(worlds[1].writer, 2);
	unsigned count = random_below(_i % 3 == 0 ? 4 : 200);

	/* Few uuids: most of them come more than once. */
	for (unsigned n = 0; n < count; n++) {
		struct record_id id = make_id(2, random_below(_i % 2 ? 50 : 5000));
		struct span record = random_record(&fx.buf);

		unit_assert_status(store_load_put(loaded, id.uuid, record), CX_OK,
		    "load");
		unit_assert_status(store_put(worlds[1].writer, &id, record, NULL),
		    CX_OK, "put");
	}
	commit(&worlds[1]);
	ck_assert_uint_eq(store_load_count(loaded), count);
	unit_assert_status(store_load_build(loaded, &fx.err), CX_OK, fx.err.text);
	store_load_free(loaded);
	uint64_t before = generation_of(&worlds[0]);

	for (unsigned i = 0; i < 2; i++) {
		begin(&worlds[i]);
		unit_assert_status(store_put_meta(worlds[i].writer, "src/2/cookie",
				       SPAN("new")),
		    CX_OK, "meta");
		commit(&worlds[i]);
	}
	ck_assert_uint_eq(generation_of(&worlds[0]), before);
	unit_assert_status(store_writer_publish(worlds[0].writer, &fx.err), CX_OK,
	    fx.err.text);
	ck_assert_uint_eq(generation_of(&worlds[0]), before + 1);
	assert_equal_worlds();
	assert_equal_counts();
	/* And goes on as any other. */
	fill_both(30);
	assert_equal_worlds();
	close_worlds();
}
END_TEST

static void put_cookie_both(const char *key, const char *cookie)
{
	for (unsigned i = 0; i < 2; i++) {
		begin(&worlds[i]);
		unit_assert_status(
		    store_put_meta(worlds[i].writer, key, span_of(cookie)), CX_OK, key);
		unit_assert_status(store_set_contact(worlds[i].writer, 1, 1000, true),
		    CX_OK, "contact");
		commit(&worlds[i]);
	}
}

static void load_some_both(struct store_load *loaded, unsigned source)
{
	begin(&worlds[1]);
	for (unsigned n = random_below(60); n > 0; n--) {
		struct record_id id = make_id(source, random_below(40));
		struct span record = random_record(&fx.buf);

		unit_assert_status(store_load_put(loaded, id.uuid, record), CX_OK,
		    "load");
		unit_assert_status(store_put(worlds[1].writer, &id, record, NULL),
		    CX_OK, "put");
	}
	commit(&worlds[1]);
}

static void publish_load(struct store_load *loaded)
{
	unit_assert_status(store_load_build(loaded, &fx.err), CX_OK, fx.err.text);
	store_load_free(loaded);
	begin(&worlds[0]);
	commit(&worlds[0]);
	unit_assert_status(store_writer_publish(worlds[0].writer, &fx.err), CX_OK,
	    fx.err.text);
}

static void put_some_both(unsigned source)
{
	begin(&worlds[0]);
	begin(&worlds[1]);
	for (unsigned n = 0; n < 10; n++) {
		struct record_id id = make_id(source, random_below(40));

		put_both(&id, random_record(&fx.buf));
	}
	commit(&worlds[0]);
	commit(&worlds[1]);
}

/* Two directories are loaded at the same time while a third changes. */
START_TEST(loads_at_the_same_time_lose_nothing_of_anybody)
{
	struct store_load *loads[2];

	random_seed((unsigned)_i);
	open_worlds();
	put_some_both(1);
	load(worlds[0].writer, 2, &loads[0], 5);
	load(worlds[0].writer, 3, &loads[1], 7);
	load_some_both(loads[0], 2);
	put_some_both(1);
	put_cookie_both("src/1/cookie", "first");
	load_some_both(loads[1], 3);
	publish_load(loads[0]);
	put_some_both(1);
	put_some_both(2);
	put_cookie_both("src/1/cookie", "second");
	put_cookie_both("src/2/cookie", "third");
	load_some_both(loads[1], 3);
	publish_load(loads[1]);
	put_some_both(3);
	assert_equal_worlds();
	assert_equal_counts();

	size_t count;
	begin(&worlds[0]);
	const struct source_info *sources = store_sources(worlds[0].writer, &count);

	ck_assert_uint_eq(count, 3);
	ck_assert_int_eq(sources[0].last_contact, 1000);
	ck_assert(sources[0].is_loaded);
	store_abort(worlds[0].writer);
	close_worlds();
}
END_TEST

/* What is left out of a build is what store_remove() would have removed. */
struct removal {
	struct store_left_out left_out;
	struct record_id ids[200];
	size_t count;
};

static bool note_left_out(void *context, const struct record_id *id, struct span bytes)
{
	struct removal *removal = context;
	struct record record;

	unit_assert_status(record_open(bytes, &record), CX_OK, "record");
	if (removal->left_out.kinds[id->source] >> record.kind & 1) {
		removal->ids[removal->count++] = *id;
	}
	return true;
}

START_TEST(a_build_without_some_is_what_removing_one_by_one_gives)
{
	struct removal removal = { .count = 0 };

	random_seed((unsigned)_i);
	open_worlds();
	fill_both(_i % 4 == 0 ? 5 : 100);
	begin(&worlds[1]);
	for (uint8_t source = 1; source <= 3; source++) {
		removal.left_out.kinds[source] = random_below(3)
						     ? (uint8_t)(random_below(16) << 1)
						     : STORE_EVERYTHING;
		unit_assert_status(store_each(worlds[1].writer, source, note_left_out,
				       &removal),
		    CX_OK, "each");
	}
	for (size_t i = 0; i < removal.count; i++) {
		unit_assert_status(
		    store_remove(worlds[1].writer, &removal.ids[i]), CX_OK, "remove");
	}
	commit(&worlds[1]);
	uint64_t before = generation_of(&worlds[0]);

	unit_assert_status(store_writer_build_without(worlds[0].writer,
			       &removal.left_out, &fx.err),
	    CX_OK, fx.err.text);
	begin(&worlds[0]);
	commit(&worlds[0]);
	unit_assert_status(store_writer_publish(worlds[0].writer, &fx.err), CX_OK,
	    fx.err.text);
	ck_assert_uint_eq(generation_of(&worlds[0]), before + 1);
	assert_equal_worlds();
	assert_equal_counts();
	fill_both(30);
	assert_equal_worlds();
	close_worlds();
}
END_TEST

/* --- One world --- */

static void put_loaded(struct store_load *loaded, unsigned number, const char *mail)
{
	struct record_id id = make_id(1, number);

	unit_assert_status(store_load_put(loaded, id.uuid,
			       make_record(&fx.buf, RECORD_RECIPIENT, 0, TAG_MAIL, mail,
				   0)),
	    CX_OK, "put");
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
	struct store_load *loaded;
	struct record_id id = make_id(1, 1);

	load(fx.writer, 1, &loaded, 10);
	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		unit_assert_status(store_load_put(loaded, id.uuid, rows[i].bytes),
		    CX_EINVAL, rows[i].label);
	}
	put_loaded(loaded, 1, "a@acme.example");
	ck_assert_uint_eq(store_load_count(loaded), 1);
	unit_assert_status(store_load_build(loaded, &fx.err), CX_OK, fx.err.text);
	store_load_free(loaded);
	fixture_begin();
	fixture_commit();
	fixture_publish();
	fixture_assert_owners("a@acme.example", "1/1 ");
}
END_TEST

START_TEST(a_load_can_be_dropped_at_any_time)
{
	struct store_load *loaded;

	store_load_free(NULL);
	for (unsigned count = 0; count < 30; count += 7) {
		load(fx.writer, 1, &loaded, 3);
		for (unsigned n = 0; n < count; n++) {
			put_loaded(loaded, n, "a@acme.example");
		}
		store_load_free(loaded);
	}
	load(fx.writer, 1, &loaded, 3);
	put_loaded(loaded, 1, "a@acme.example");
	unit_assert_status(store_load_build(loaded, &fx.err), CX_OK, fx.err.text);
	store_load_free(loaded);
	store_writer_discard(fx.writer);
	fixture_assert_owners("a@acme.example", "");
}
END_TEST

START_TEST(the_writer_may_be_used_while_a_load_collects)
{
	struct store_load *loaded;

	load(fx.writer, 1, &loaded, 3);
	put_loaded(loaded, 1, "a@acme.example");
	fixture_begin();
	fixture_put_mailbox(2, 9, "b@acme.example");
	fixture_commit();
	put_loaded(loaded, 2, "b@acme.example");
	unit_assert_status(store_load_build(loaded, &fx.err), CX_OK, fx.err.text);
	store_load_free(loaded);
	fixture_begin();
	fixture_commit();
	fixture_publish();
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
	load(fx.writer, 1, &loaded, 3);
	put_loaded(loaded, 5, "c@acme.example");
	unit_assert_status(store_load_build(loaded, &fx.err), CX_OK, fx.err.text);
	store_load_free(loaded);
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

static void limit_file_size(rlim_t size)
{
	struct rlimit limit = { size, RLIM_INFINITY };

	signal(SIGXFSZ, SIG_IGN);
	ck_assert_int_eq(setrlimit(RLIMIT_FSIZE, &limit), 0);
}

/* Without assertions: Check notes each in a file of its own, under the same limit. */
static struct span plain_record(const char *mail)
{
	record_begin(&fx.buf, RECORD_RECIPIENT);
	record_put(&fx.buf, TAG_MAIL, span_of(mail));
	return buf_span(&fx.buf);
}

/* A disk that fills up at any point of a load: first in its own files, then in the build. */
START_TEST(a_full_disk_is_a_clear_error_and_harms_no_reader)
{
	static const rlim_t limits[] = { 300 << 10, 500 << 10, 1000 << 10, 1500 << 10,
		2000 << 10 };
	enum status status = CX_OK;
	struct store_load *loaded;
	struct span stored;
	char mail[64];

	fixture_begin();
	fixture_put_mailbox(1, 5, "a@acme.example");
	fixture_commit();
	load(fx.writer, 1, &loaded, 4000);
	limit_file_size(limits[_i]);
	for (unsigned n = 0; n < 20000 && status == CX_OK; n++) {
		struct record_id id = make_id(1, n);

		snprintf(mail, sizeof(mail), "user%06u@acme.example", n);
		status = store_load_put(loaded, id.uuid, plain_record(mail));
	}
	unit_assert_status(status == CX_OK ? CX_EIO : status, CX_EIO, "put");
	unit_assert_status(store_load_build(loaded, &fx.err), CX_EIO, "build");
	ck_assert_msg(strstr(fx.err.text, "File too large") ||
			  strstr(fx.err.text, "disk full?"),
	    "%s", fx.err.text);
	store_load_free(loaded);
	fixture_assert_owners("a@acme.example", "1/5 ");
	/* And it goes on. */
	limit_file_size(RLIM_INFINITY);
	fixture_begin();
	struct record_id id = make_id(1, 5);

	unit_assert_status(store_get(fx.writer, &id, &stored), CX_OK, "get");
	fixture_put_mailbox(1, 6, "b@acme.example");
	fixture_commit();
	fixture_assert_owners("b@acme.example", "1/6 ");
}
END_TEST

enum {
	NOT_ALLOWED = 77
};

/*
 * On a file system of `megabytes`: 0 where a load that is too large for it ends with a clear
 * error, and the replica that was there can be read and written. Without assertions, as this
 * is another process. From 10: what went wrong.
 */
static int load_on_a_small_disk(unsigned megabytes)
{
	struct record_id id = make_id(1, 5);
	struct store_load *loaded;
	enum status status = CX_OK;
	struct span stored;
	char text[64];
	bool is_new;

	snprintf(text, sizeof(text), "size=%um", megabytes);
	if (unshare(CLONE_NEWNS) < 0 ||
	    mount("", "/", NULL, MS_REC | MS_PRIVATE, NULL) < 0 ||
	    mount("tmpfs", fx.folder, "tmpfs", 0, text) < 0) {
		return NOT_ALLOWED;
	}
	if (store_writer_open(fx.folder, &fx.writer, &is_new, &fx.err) != CX_OK ||
	    store_begin(fx.writer, &fx.err) != CX_OK ||
	    store_put(fx.writer, &id, plain_record("a@acme.example"), NULL) != CX_OK ||
	    store_commit(fx.writer, &fx.err) != CX_OK) {
		return 10;
	}
	if (store_load_new_sized(fx.writer, 1, 4000, &loaded, &fx.err) != CX_OK) {
		return 11;
	}
	for (unsigned n = 0; n < 100000 && status == CX_OK; n++) {
		struct record_id other = make_id(1, n);

		snprintf(text, sizeof(text), "user%06u@acme.example", n);
		status = store_load_put(loaded, other.uuid, plain_record(text));
	}
	if (status != CX_OK && status != CX_EIO) {
		return 12;
	}
	if (store_load_build(loaded, &fx.err) != CX_EIO) {
		return 13;
	}
	if (!strstr(fx.err.text, "No space left on device") &&
	    !strstr(fx.err.text, "disk full?")) {
		return 14;
	}
	store_load_free(loaded);
	if (store_begin(fx.writer, &fx.err) != CX_OK ||
	    store_get(fx.writer, &id, &stored) != CX_OK ||
	    store_put(fx.writer, &id, plain_record("b@acme.example"), NULL) != CX_OK ||
	    store_commit(fx.writer, &fx.err) != CX_OK) {
		return 15;
	}
	store_writer_close(fx.writer);
	return 0;
}

/* A load takes about 12 MB here, and gives them back as the new file, of as many, grows. */
START_TEST(a_small_disk_is_a_clear_error_and_no_signal)
{
	static const unsigned megabytes[] = { 1, 2, 5, 9, 11 };
	int result;
	pid_t pid;

	fixture_close();
	pid = fork();
	if (pid == 0) {
		_exit(load_on_a_small_disk(megabytes[_i]));
	}
	ck_assert_int_eq(waitpid(pid, &result, 0), pid);
	ck_assert_msg(WIFEXITED(result), "signal %d", WTERMSIG(result));
	ck_assert_msg(WEXITSTATUS(result) == 0 || WEXITSTATUS(result) == NOT_ALLOWED,
	    "%u MB: %d", megabytes[_i], WEXITSTATUS(result));
	fixture_open_writer();
}
END_TEST

Suite *unit_suite(void)
{
	Suite *suite = suite_create("store_load");
	TCase *sorting = tcase_create("sorting");
	TCase *against = tcase_create("against store_put");
	TCase *tcase = tcase_create("load");

	tcase_add_loop_test(sorting, sorts_by_prefixes_and_what_is_equal_as_it_came, 0,
	    3);
	suite_add_tcase(suite, sorting);
	tcase_set_timeout(against, 60);
	tcase_add_loop_test(against, a_load_gives_what_putting_one_by_one_gives, 0, 40);
	tcase_add_loop_test(against, loads_at_the_same_time_lose_nothing_of_anybody, 0, 20);
	tcase_add_loop_test(against, a_build_without_some_is_what_removing_one_by_one_gives,
	    0, 40);
	suite_add_tcase(suite, against);
	tcase_set_timeout(tcase, 60);
	tcase_add_checked_fixture(tcase, fixture_set_up, fixture_tear_down);
	tcase_add_test(tcase, what_is_no_record_is_refused_and_the_load_goes_on);
	tcase_add_test(tcase, a_load_can_be_dropped_at_any_time);
	tcase_add_test(tcase, the_writer_may_be_used_while_a_load_collects);
	tcase_add_test(tcase,
	    damage_in_what_is_replaced_goes_and_elsewhere_stays_as_it_was);
	tcase_add_loop_test(tcase, a_full_disk_is_a_clear_error_and_harms_no_reader, 0,
	    5);
	tcase_add_loop_test(tcase, a_small_disk_is_a_clear_error_and_no_signal, 0, 5);
	suite_add_tcase(suite, tcase);
	return suite;
}
