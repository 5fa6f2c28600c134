#include "config.h"

#include <errno.h>
#include <ldap.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "replica/store.h"

/*
 * Changes entries over LDAP at a rate and looks in the replica for each change:
 *
 *   sync_changes REPLICA URI BIND-DN PASSWORD RATE COUNT PREFIX <DNs
 *
 * Change n gives the next DN (they are taken in turn) "PREFIX<n>@acme.example" as its proxy
 * address. One line of JSON: how long it took from asking for a change until a reader
 * found the address, in milliseconds, until the server said that it was done, and from there
 * until a reader found it (0: it was there before). Ends with 1 where a change does not come within
 * a minute of the last one.
 */
#define OUTSTANDING_MAX 100
#define PATIENCE_NS     60e9
#define LOOK_NS         100000

struct run {
	const char *replica, *prefix;
	LDAP *ld;
	char **dns;
	size_t dn_count, count;
	double rate;
	double *asked, *answered, *seen; /* ns */
	int first_msgid;                 /* of change 0; libldap counts on */
	_Atomic size_t sent;
	_Atomic bool has_failed;
	double ended; /* when the last change was acknowledged */
};

static double now_ns(void)
{
	struct timespec now;

	clock_gettime(CLOCK_MONOTONIC, &now);
	return (double)now.tv_sec * 1e9 + (double)now.tv_nsec;
}

static void sleep_ns(double ns)
{
	struct timespec time = { (time_t)(ns / 1e9), (long)ns % 1000000000L };

	if (ns > 0) {
		nanosleep(&time, NULL);
	}
}

/* --- Asking for changes --- */

static int send_change(struct run *run, size_t n)
{
	char value[128], type[] = "coexistProxyAddress";
	char *values[] = { value, NULL };
	LDAPMod mod = { .mod_op = LDAP_MOD_REPLACE,
		.mod_type = type,
		.mod_values = values };
	LDAPMod *mods[] = { &mod, NULL };
	int msgid = 0;

	snprintf(value, sizeof(value), "smtp:%s%zu@acme.example", run->prefix, n);
	run->asked[n] = now_ns();
	int code = ldap_modify_ext(run->ld, run->dns[n % run->dn_count], mods, NULL,
	    NULL, &msgid);

	if (n == 0) {
		run->first_msgid = msgid;
	}
	return code;
}

/* The number of answers taken, at most as long as `wait_ns`; -1: a change failed. */
static int take_answers(struct run *run, double wait_ns)
{
	struct timeval wait = { 0, (long)(wait_ns / 1000) };
	LDAPMessage *message = NULL;
	int taken = 0, type;

	while ((type = ldap_result(run->ld, LDAP_RES_ANY, LDAP_MSG_ONE, &wait,
		    &message)) > 0) {
		size_t n = (size_t)(ldap_msgid(message) - run->first_msgid);
		int code = LDAP_OTHER;

		if (n < run->count) {
			run->answered[n] = now_ns();
		}
		ldap_parse_result(run->ld, message, &code, NULL, NULL, NULL, NULL, 1);
		if (code != LDAP_SUCCESS) {
			fprintf(stderr, "change: %s\n", ldap_err2string(code));
			return -1;
		}
		taken++;
		wait = (struct timeval){ 0, 0 };
	}
	return type < 0 ? -1 : taken;
}

static bool send_all(struct run *run)
{
	double start = now_ns();
	size_t answered = 0;

	while (answered < run->count) {
		size_t sent = run->sent;
		double wait = start + (double)sent * 1e9 / run->rate - now_ns();
		bool is_due = sent < run->count && wait <= 0 &&
			      sent - answered < OUTSTANDING_MAX;

		if (is_due) {
			if (send_change(run, sent) != LDAP_SUCCESS) {
				return false;
			}
			run->sent = sent + 1;
		}
		int taken = take_answers(run, is_due ? 0 : wait < 0 || wait > 1e6 ? 1e6 : wait);

		if (taken < 0) {
			return false;
		}
		answered += (size_t)taken;
	}
	run->ended = now_ns();
	return true;
}

/* --- Looking for them --- */

static bool is_there(struct store *store, const struct run *run, size_t n)
{
	char text[128];
	struct address address;
	struct address_owner owner;
	struct snapshot *snapshot;
	struct errbuf err;
	struct key key;
	size_t count = 0;

	snprintf(text, sizeof(text), "smtp:%s%zu@acme.example", run->prefix, n);
	if (address_parse_typed(span_of(text), &address) != CX_OK ||
	    snapshot_begin(store, &snapshot, &err) != CX_OK) {
		return false;
	}
	address_key(&address, &key);
	bool is_found =
	    snapshot_address_owners(snapshot, &key, &owner, 1, &count) == CX_OK &&
	    count > 0;

	snapshot_end(snapshot);
	return is_found;
}

static void *look(void *context)
{
	struct run *run = context;
	struct store *store;
	struct errbuf err;
	double last = now_ns();

	if (store_open(run->replica, &store, &err) != CX_OK) {
		run->has_failed = true;
		return NULL;
	}
	for (size_t n = 0; n < run->count && !run->has_failed;) {
		if (n < run->sent && is_there(store, run, n)) {
			run->seen[n++] = last = now_ns();
		} else if (n < run->sent && now_ns() - last > PATIENCE_NS &&
			   now_ns() - run->asked[n] > PATIENCE_NS) {
			fprintf(stderr, "change %zu did not come\n", n);
			run->has_failed = true;
		} else {
			sleep_ns(LOOK_NS);
		}
	}
	store_close(store);
	return NULL;
}

/* --- All of it --- */

static int compare_times(const void *a, const void *b)
{
	double left = *(const double *)a, right = *(const double *)b;

	return (left > right) - (left < right);
}

/* Of the differences of two times each, in ms: sorted, into `to`. */
static void sort_differences(const double *from, double *to, size_t count)
{
	for (size_t n = 0; n < count; n++) {
		double ms = (to[n] - from[n]) / 1e6;

		to[n] = ms > 0 ? ms : 0;
	}
	qsort(to, count, sizeof(to[0]), compare_times);
}

static void report(struct run *run)
{
	double seconds = (run->ended - run->asked[0]) / 1e9;
	size_t middle = run->count / 2;
	double *behind = calloc(run->count, sizeof(*behind));

	if (!behind) {
		return;
	}
	memcpy(behind, run->seen, run->count * sizeof(*behind));
	sort_differences(run->answered, behind, run->count);
	sort_differences(run->asked, run->seen, run->count);
	sort_differences(run->asked, run->answered, run->count);
	printf("{\"changes\": %zu, \"perSecond\": %.0f, \"medianMs\": %.2f, \"p99Ms\": %.2f, "
	       "\"maxMs\": %.2f, \"serverMedianMs\": %.2f, \"behindMedianMs\": %.2f, "
	       "\"behindP99Ms\": %.2f}\n",
	    run->count, (double)run->count / seconds, run->seen[middle],
	    run->seen[run->count * 99 / 100], run->seen[run->count - 1],
	    run->answered[middle], behind[middle], behind[run->count * 99 / 100]);
	free(behind);
}

static bool read_dns(struct run *run)
{
	char *line = NULL;
	size_t size = 0;
	ssize_t len;

	while ((len = getline(&line, &size, stdin)) > 0) {
		line[len - (line[len - 1] == '\n')] = '\0';
		run->dns =
		    reallocarray(run->dns, run->dn_count + 1, sizeof(run->dns[0]));
		if (!run->dns || !(run->dns[run->dn_count++] = strdup(line))) {
			return false;
		}
	}
	free(line);
	return run->dn_count > 0;
}

static bool connect_to(struct run *run, const char *uri, const char *dn, char *password)
{
	int version = LDAP_VERSION3;
	struct berval secret = { strlen(password), password };

	setenv("LDAPNOINIT", "1", 1);
	return ldap_initialize(&run->ld, uri) == LDAP_SUCCESS &&
	       ldap_set_option(run->ld, LDAP_OPT_PROTOCOL_VERSION, &version) ==
		   LDAP_OPT_SUCCESS &&
	       ldap_sasl_bind_s(run->ld, dn, LDAP_SASL_SIMPLE, &secret, NULL, NULL,
		   NULL) == LDAP_SUCCESS;
}

int main(int argc, char **argv)
{
	struct run run = { .ld = NULL };
	pthread_t thread;

	if (argc != 8) {
		fprintf(stderr, "usage: sync_changes REPLICA URI BIND-DN PASSWORD RATE "
				"COUNT PREFIX <DNs\n");
		return 64;
	}
	run.replica = argv[1];
	run.rate = strtod(argv[5], NULL);
	run.count = (size_t)strtoul(argv[6], NULL, 10);
	run.prefix = argv[7];
	run.asked = calloc(run.count, sizeof(double));
	run.answered = calloc(run.count, sizeof(double));
	run.seen = calloc(run.count, sizeof(double));
	if (run.rate <= 0 || run.count == 0 || !run.asked || !run.answered ||
	    !run.seen ||
	    !read_dns(&run) || !connect_to(&run, argv[2], argv[3], argv[4]) ||
	    pthread_create(&thread, NULL, look, &run) != 0) {
		fprintf(stderr, "sync_changes: cannot begin\n");
		return 1;
	}
	if (!send_all(&run)) {
		run.has_failed = true;
	}
	pthread_join(thread, NULL);
	if (!run.has_failed) {
		report(&run);
	}
	ldap_unbind_ext(run.ld, NULL, NULL);
	for (size_t i = 0; i < run.dn_count; i++) {
		free(run.dns[i]);
	}
	free(run.dns);
	free(run.asked);
	free(run.answered);
	free(run.seen);
	return run.has_failed ? 1 : 0;
}
