#include "config.h"

#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/resource.h>
#include <time.h>
#include <unistd.h>

#include "replica/store_load.h"
#include "tests/unit/plain.h"
#include "tests/unit/unit.h"

/*
 * A first load of plain recipients (COEXIST_BENCH_COUNT, or 1,000,000), as ratios to
 * putting a tenth of them one by one; bytes of file a recipient, then and after 50 rounds of
 * changes (COEXIST_BENCH_ROUNDS); anonymous memory at its most.
 */

static struct {
	char *folder;
	struct store_writer *writer;
	struct errbuf err;
	struct buf buf;
} bench;

static uint32_t number_of(const char *name, uint32_t usual)
{
	const char *text = getenv(name);

	return text ? (uint32_t)strtoul(text, NULL, 10) : usual;
}

/* --- Time and memory --- */

static double wall_s(void)
{
	struct timespec now;

	clock_gettime(CLOCK_MONOTONIC, &now);
	return (double)now.tv_sec + (double)now.tv_nsec / 1e9;
}

/* Of all threads, in the kernel too. */
static double cpu_s(void)
{
	struct rusage usage;

	getrusage(RUSAGE_SELF, &usage);
	return (double)(usage.ru_utime.tv_sec + usage.ru_stime.tv_sec) +
	       (double)(usage.ru_utime.tv_usec + usage.ru_stime.tv_usec) / 1e6;
}

static long anonymous_kb(void)
{
	FILE *file = fopen("/proc/self/status", "re");
	char line[256];
	long found = 0;

	while (file && fgets(line, sizeof(line), file)) {
		if (sscanf(line, "RssAnon: %ld", &found) == 1) {
			break;
		}
	}
	if (file) {
		fclose(file);
	}
	return found;
}

static struct {
	pthread_t thread;
	pthread_mutex_t lock;
	bool is_over;
	long most_kb;
} memory = { .lock = PTHREAD_MUTEX_INITIALIZER };

static void *watch_memory(void *unused)
{
	struct timespec pause = { 0, 2000000 };
	bool is_over = false;

	while (!is_over) {
		long now_kb = anonymous_kb();

		nanosleep(&pause, NULL);
		pthread_mutex_lock(&memory.lock);
		memory.most_kb = now_kb > memory.most_kb ? now_kb : memory.most_kb;
		is_over = memory.is_over;
		pthread_mutex_unlock(&memory.lock);
	}
	return unused;
}

static void stop_watching(void)
{
	pthread_mutex_lock(&memory.lock);
	memory.is_over = true;
	pthread_mutex_unlock(&memory.lock);
	pthread_join(memory.thread, NULL);
}

/* --- Steps --- */

static void must(enum status status)
{
	if (status != CX_OK) {
		fprintf(stderr, "%s: %s\n", status_text(status), bench.err.text);
		exit(1);
	}
}

static void open_store(void)
{
	struct source_info source = { .name = "corp", .provides_recipients = true };
	bool is_new;

	bench.folder = unit_mkdir();
	must(store_writer_open(bench.folder, &bench.writer, &is_new, &bench.err));
	must(store_begin(bench.writer, &bench.err));
	must(store_set_sources(bench.writer, &source, 1));
	must(store_commit(bench.writer, &bench.err));
}

static void close_store(void)
{
	store_writer_close(bench.writer);
	unit_rmdir(bench.folder);
}

struct step {
	double wall, cpu;
};

static struct step step_begin(void)
{
	return (struct step){ wall_s(), cpu_s() };
}

/* Microseconds a recipient. */
static struct step step_end(struct step start, uint32_t count)
{
	return (struct step){ (wall_s() - start.wall) / count * 1e6,
		(cpu_s() - start.cpu) / count * 1e6 };
}

/* Making the records takes time too. */
static struct step make_records(uint32_t count)
{
	struct step start = step_begin();
	size_t sum = 0;

	for (uint32_t i = 0; i < count; i++) {
		struct record_id id = plain_id(1, i, false);

		sum += plain_record(&bench.buf, i, 0).len + id.uuid[0];
	}
	return sum > 0 ? step_end(start, count) : start;
}

static struct step put_one_by_one(uint32_t count)
{
	open_store();
	struct step start = step_begin();

	must(store_writer_build(bench.writer, &bench.err));
	must(store_begin(bench.writer, &bench.err));
	for (uint32_t i = 0; i < count; i++) {
		struct record_id id = plain_id(1, i, false);

		must(store_put(bench.writer, &id, plain_record(&bench.buf, i, 0),
		    NULL));
		if (i % 10000 == 9999) {
			must(store_commit(bench.writer, &bench.err));
			must(store_begin(bench.writer, &bench.err));
		}
	}
	must(store_commit(bench.writer, &bench.err));
	must(store_writer_publish(bench.writer, &bench.err));
	struct step taken = step_end(start, count);

	close_store();
	return taken;
}

static void report(const char *label, struct step step, struct step base)
{
	printf("%-28s %6.2f us wall, %6.2f us CPU  %.2f\n", label, step.wall, step.cpu,
	    step.wall / base.wall);
}

static struct step minus(struct step a, struct step b)
{
	return (struct step){ a.wall - b.wall, a.cpu - b.cpu };
}

static void load(uint32_t count, struct step making, struct step base)
{
	struct step start = step_begin(), whole = start;
	struct store_load *loaded;

	must(store_load_new(bench.writer, 1, &loaded, &bench.err));
	for (uint32_t i = 0; i < count; i++) {
		struct record_id id = plain_id(1, i, false);

		must(store_load_put(loaded, id.uuid, plain_record(&bench.buf, i, 0)));
	}
	report("load: put", minus(step_end(start, count), making), base);
	start = step_begin();
	must(store_load_build(loaded, &bench.err));
	store_load_free(loaded);
	must(store_begin(bench.writer, &bench.err));
	must(store_commit(bench.writer, &bench.err));
	report("load: build", step_end(start, count), base);
	start = step_begin();
	must(store_writer_publish(bench.writer, &bench.err));
	report("load: publish", step_end(start, count), base);
	report("load: all", minus(step_end(whole, count), making), base);
}

static void change(uint32_t count, uint32_t times, struct step base)
{
	struct plain_rounds rounds = { bench.writer, 1, count, calloc(count, 1), 0 };
	struct step start = step_begin();

	for (unsigned round = 0; rounds.states && round < times; round++) {
		must(plain_round(&rounds, count / 50, count / 500, 500, &bench.err));
	}
	report("a change (500 at once)",
	    step_end(start, times * (count / 50 + count / 500)), base);
	free(rounds.states);
}

START_TEST(loads)
{
	uint32_t count = number_of("COEXIST_BENCH_COUNT", 1000000);
	uint32_t times = number_of("COEXIST_BENCH_ROUNDS", 50);

	pthread_create(&memory.thread, NULL, watch_memory, NULL);
	struct step making = make_records(count);
	struct step base = minus(put_one_by_one(count / 10), making);

	report("one by one", base, base);
	open_store();
	load(count, making, base);
	printf("%-28s %6.0f bytes a recipient\n", "file after the load",
	    (double)plain_file_size(bench.folder) / count);
	stop_watching();
	printf("%-28s %6ld kB\n", "anonymous memory", memory.most_kb);
	if (times > 0) {
		change(count, times, base);
		printf("%-28s %6.0f bytes a recipient\n", "file after the rounds",
		    (double)plain_file_size(bench.folder) / count);
	}
	close_store();
	buf_release(&bench.buf);
}
END_TEST

Suite *unit_suite(void)
{
	Suite *suite = suite_create("store");
	TCase *tcase = tcase_create("load");

	tcase_set_timeout(tcase, 0);
	tcase_add_test(tcase, loads);
	suite_add_tcase(suite, tcase);
	return suite;
}
