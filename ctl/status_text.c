#include "config.h"

#include "ctl/status_text.h"

#include <stdio.h>
#include <string.h>
#include <time.h>

#include "ctl/json.h"
#include "value/buf.h"

static json_int_t number(json_t *row, const char *key)
{
	return json_integer_value(json_object_get(row, key));
}

/* "" where there is none. */
static const char *text(json_t *row, const char *key)
{
	const char *value = json_string_value(json_object_get(row, key));

	return value != NULL ? value : "";
}

/* --- What to do --- */

static bool has_recipients(json_t *row)
{
	json_t *entries = json_object_get(row, "entries");

	return number(entries, "mailboxes") + number(entries, "customRecipients") +
		   number(entries, "groups") + number(entries, "damaged") >
	       0;
}

static void add_age_hint(json_t *hints, json_t *row, const struct settings *settings)
{
	json_t *age = json_object_get(row, "age");
	json_int_t seconds = json_integer_value(age);

	if (!json_is_true(json_object_get(row, "loaded"))) {
		json_add(hints,
		    json_string(
			"never loaded: mail for addresses that it may have is "
			"deferred"));
	} else if (!json_is_integer(age)) {
		json_add(hints,
		    json_string(
			"the last contact is in the future, so mail is deferred: set "
			"the clock"));
	} else if (seconds > settings->max_staleness_s) {
		json_add(hints,
		    json_string("older than max_staleness: its mail is deferred"));
	} else if (seconds > settings->unknown_defer_after_s) {
		json_add(hints,
		    json_string(
			"older than unknown_defer_after: unknown recipients are "
			"deferred, not refused"));
	}
}

json_t *status_hints(json_t *row, const struct settings *settings,
    bool provides_recipients)
{
	json_t *hints = json_array();

	add_age_hint(hints, row, settings);
	if (provides_recipients && json_is_true(json_object_get(row, "loaded")) &&
	    !has_recipients(row)) {
		json_add(hints,
		    json_string(
			"no recipients came: see the classes in coexist-schema(5), and "
			"base, filter and mapping in coexist.conf(5)"));
	}
	if (number(row, "held") > 0) {
		json_add(hints,
		    json_sprintf("see the removals with: coexistctl check; let them go "
				 "through with: coexistctl accept-refresh %s",
			text(row, "name")));
	}
	if (number(row, "skipped") > 0) {
		json_add(hints,
		    json_string(
			"see the entries that are skipped, and why, with: coexistctl "
			"check"));
	}
	if (*text(row, "lastError") != '\0') {
		json_add(hints,
		    json_string("see the log of coexist-syncd, and coexist-syncd(8), "
				"DIAGNOSTICS"));
	}
	return hints;
}

/* --- For people --- */

/* What came from a directory or a server. */
static void print_escaped(const char *value)
{
	struct buf escaped;

	buf_init(&escaped);
	buf_add_escaped(&escaped, span_of(value));
	fwrite(escaped.data, 1, escaped.len, stdout);
	buf_release(&escaped);
}

static void print_line(const char *name, const char *value)
{
	if (*value != '\0') {
		printf("  %s: ", name);
		print_escaped(value);
		putchar('\n');
	}
}

static void print_time(const char *name, json_int_t when_s)
{
	time_t when = (time_t)when_s;
	char line[64];
	struct tm tm;

	if (localtime_r(&when, &tm) != NULL &&
	    strftime(line, sizeof(line), "%Y-%m-%d %H:%M:%S %z", &tm) > 0) {
		print_line(name, line);
	}
}

/* "2 d 3 h", "5 min 1 s", "0 s": the two largest units. */
static void print_age(json_int_t seconds)
{
	static const struct {
		json_int_t seconds;
		const char *name;
	} units[] = { { 86400, "d" }, { 3600, "h" }, { 60, "min" }, { 1, "s" } };
	int shown = 0;
	size_t i;

	for (i = 0; i < sizeof(units) / sizeof(units[0]) && shown < 2; i++) {
		json_int_t count = seconds / units[i].seconds;

		if (count > 0 || (shown == 0 && units[i].seconds == 1)) {
			printf(" %" JSON_INTEGER_FORMAT " %s", count, units[i].name);
			seconds -= count * units[i].seconds;
			shown++;
		} else if (shown > 0) {
			break;
		}
	}
}

static void print_entries(json_t *entries)
{
	static const struct {
		const char *key, *one, *many;
	} rows[] = {
		{ "mailboxes", "mailbox", "mailboxes" },
		{ "customRecipients", "custom recipient", "custom recipients" },
		{ "groups", "group", "groups" },
		{ "domains", "domain", "domains" },
		{ "connectors", "connector", "connectors" },
		{ "damaged", "damaged record", "damaged records" },
	};
	const char *separator = " ";
	size_t i;

	printf("  entries:");
	for (i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		json_int_t count = number(entries, rows[i].key);

		if (count > 0) {
			printf("%s%" JSON_INTEGER_FORMAT " %s", separator, count,
			    count == 1 ? rows[i].one : rows[i].many);
			separator = ", ";
		}
	}
	printf(*separator == ' ' ? " none\n" : "\n");
}

static void print_directory(json_t *row)
{
	json_t *age = json_object_get(row, "age");
	json_t *hints = json_object_get(row, "hints");
	size_t i;

	printf("directory ");
	print_escaped(text(row, "name"));
	putchar('\n');
	print_line("state", text(row, "state"));
	print_line("server", text(row, "server"));
	printf("  last contact:");
	if (json_is_integer(age)) {
		print_age(json_integer_value(age));
		printf(" ago\n");
	} else {
		printf(json_is_true(json_object_get(row, "loaded"))
			   ? " in the future\n"
			   : " never loaded\n");
	}
	print_entries(json_object_get(row, "entries"));
	printf("  skipped: %" JSON_INTEGER_FORMAT "\n", number(row, "skipped"));
	printf("  removals kept back: %" JSON_INTEGER_FORMAT "\n", number(row, "held"));
	print_line("last error", text(row, "lastError"));
	for (i = 0; i < json_array_size(hints); i++) {
		printf("  -> ");
		print_escaped(json_string_value(json_array_get(hints, i)));
		putchar('\n');
	}
}

static void print_replica(json_t *replica, bool has_syncd)
{
	bool is_available = json_is_true(json_object_get(replica, "available"));

	printf("replica\n");
	if (is_available) {
		printf("  generation: %" JSON_INTEGER_FORMAT "\n",
		    number(replica, "generation"));
	}
	print_line("trouble", text(replica, "trouble"));
	if (!is_available && has_syncd) {
		printf("  -> coexist-syncd runs: is this the folder that it writes? What it "
		       "had when it started counts\n");
	}
}

static void print_syncd(json_t *syncd)
{
	printf("coexist-syncd\n");
	if (!json_is_true(json_object_get(syncd, "running"))) {
		bool is_down = json_is_false(json_object_get(syncd, "running"));

		printf("  running: %s\n", is_down ? "no" : "not known");
		print_line("trouble", text(syncd, "trouble"));
		if (is_down) {
			printf("  -> start it: without it no change of a directory is "
			       "seen\n");
		}
		return;
	}
	printf("  running: yes, process %" JSON_INTEGER_FORMAT "\n",
	    number(syncd, "pid"));
	print_line("version", text(syncd, "version"));
	print_time("started", number(syncd, "started"));
}

/* What the rest of the page tells already. */
static bool is_told(const char *series)
{
	static const char *const told[] = { "coexist_replica_", "coexist_directory_",
		"coexist_build_info", "coexist_start_time_", "coexist_sync_state" };
	size_t i;

	for (i = 0; i < sizeof(told) / sizeof(told[0]); i++) {
		if (strncmp(series, told[i], strlen(told[i])) == 0) {
			return true;
		}
	}
	return false;
}

/* What a daemon has counted; nothing where there is nothing. */
static void print_counted(json_t *row)
{
	const char *name;
	json_t *value;
	bool is_idle = json_is_true(json_object_get(row, "running"));

	if (json_is_null(json_object_get(row, "running")) && *text(row, "trouble") == '\0') {
		return;
	}
	printf("counted by %s\n", text(row, "program"));
	print_line("trouble", text(row, "trouble"));
	json_object_foreach(json_object_get(row, "series"), name, value)
	{
		if (!is_told(name) && json_number_value(value) > 0) {
			printf("  ");
			print_escaped(name);
			printf(json_is_integer(value) ? ": %.0f\n" : ": %.6f\n",
			    json_number_value(value));
			is_idle = false;
		}
	}
	if (is_idle) {
		printf("  nothing yet\n");
	}
}

void status_print_text(json_t *status)
{
	json_t *daemons = json_object_get(status, "daemons");
	json_t *list = json_object_get(status, "directories");
	size_t i;

	if (json_is_true(json_object_get(status, "observe"))) {
		printf("observe is true\n  -> nothing is refused; the logs say what would "
		       "be\n");
	}
	print_replica(json_object_get(status, "replica"),
	    json_is_true(json_object_get(json_object_get(status, "syncd"), "running")));
	for (i = 0; i < json_array_size(list); i++) {
		print_directory(json_array_get(list, i));
	}
	print_syncd(json_object_get(status, "syncd"));
	for (i = 0; i < json_array_size(daemons); i++) {
		print_counted(json_array_get(daemons, i));
	}
}
