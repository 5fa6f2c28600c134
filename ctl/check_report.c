#include "config.h"

#include <stdlib.h>
#include <sysexits.h>

#include "ctl/check.h"
#include "ctl/command.h"
#include "ctl/json.h"

/*
 * For people: the lines of each check together, the first CHECK_LINES_MAX of them. For
 * scripts: every finding as it comes, one object a line, into a file aside: nobody who
 * reads our output slowly may keep the snapshot from ending.
 */
#define CHECKS_MAX 64

struct section {
	const struct check *check;
	size_t total, lines;
	struct buf text;
	struct buf command; /* the last one shown */
};

struct report {
	struct section sections[CHECKS_MAX];
	size_t count, total;
	FILE *aside; /* NULL: for people */
	bool is_first;
};

static void out_of_memory(void) CX_NORETURN;

static void out_of_memory(void)
{
	complain("out of memory");
	exit(EX_OSERR);
}

struct report *report_new(bool as_json)
{
	struct report *report = calloc(1, sizeof(*report));

	if (report == NULL) {
		out_of_memory();
	}
	report->is_first = true;
	if (as_json) {
		report->aside = tmpfile();
		if (report->aside == NULL) {
			complain("cannot make a temporary file");
			exit(EX_CANTCREAT);
		}
	}
	return report;
}

void report_free(struct report *report)
{
	size_t i;

	for (i = 0; i < report->count; i++) {
		buf_release(&report->sections[i].text);
		buf_release(&report->sections[i].command);
	}
	if (report->aside != NULL) {
		fclose(report->aside);
	}
	free(report);
}

void report_add_check(struct report *report, const struct check *check)
{
	struct section *section;

	if (report->count == CHECKS_MAX) {
		complain("more than %d checks", CHECKS_MAX);
		exit(EX_SOFTWARE);
	}
	section = &report->sections[report->count++];
	section->check = check;
	buf_init(&section->text);
	buf_init(&section->command);
}

static json_t *text_or_null(const char *text)
{
	return text != NULL ? json_span(span_of(text)) : json_null();
}

static void write_aside(struct report *report, const struct check *check,
    const struct finding *finding, size_t count)
{
	json_t *row = json_object();

	json_put(row, "check", json_string(check->name));
	json_put(row, "directory", text_or_null(finding->directory));
	json_put(row, "dn", json_span_or_null(finding->dn));
	json_put(row, "address", json_span_or_null(finding->address));
	json_put(row, "otherDirectory", text_or_null(finding->other_directory));
	json_put(row, "otherDn", json_span_or_null(finding->other_dn));
	json_put(row, "detail", json_span_or_null(finding->detail));
	json_put(row, "command", text_or_null(finding->command));
	json_put(row, "count", json_integer((json_int_t)count));
	json_put(row, "message", json_span(finding->text));
	fputs(report->is_first ? "\n    " : ",\n    ", report->aside);
	report->is_first = false;
	json_dumpf(row, report->aside, JSON_COMPACT);
	json_decref(row);
}

static void add_line(struct section *section, const struct finding *finding,
    size_t count)
{
	if (finding->command != NULL &&
	    !span_equal(buf_span(&section->command), span_of(finding->command))) {
		buf_clear(&section->command);
		buf_add_text(&section->command, finding->command);
		buf_add_text(&section->text, "  to settle it: ");
		buf_add_escaped(&section->text, span_of(finding->command));
		buf_add_char(&section->text, '\n');
	}
	if (section->lines < CHECK_LINES_MAX) {
		section->lines++;
		buf_add_text(&section->text, "  ");
		buf_add_span(&section->text, finding->text);
		buf_add_char(&section->text, '\n');
	}
	section->total += count;
	if (section->text.failed || section->command.failed) {
		out_of_memory();
	}
}

void report_found(struct report *report, const struct check *check,
    const struct finding *finding)
{
	size_t count = finding->count > 0 ? finding->count : 1;
	size_t i;

	for (i = 0; i < report->count && report->sections[i].check != check; i++) {
	}
	report->total += count;
	if (report->aside == NULL) {
		add_line(&report->sections[i], finding, count);
	} else {
		report->sections[i].total += count;
		write_aside(report, check, finding, count);
	}
}

size_t report_total(const struct report *report)
{
	return report->total;
}

static bool copy_aside(struct report *report)
{
	char chunk[65536];
	size_t len;

	if (fflush(report->aside) != 0 || ferror(report->aside)) {
		complain("cannot write a temporary file");
		return false;
	}
	rewind(report->aside);
	while ((len = fread(chunk, 1, sizeof(chunk), report->aside)) > 0) {
		fwrite(chunk, 1, len, stdout);
	}
	return !ferror(report->aside);
}

static bool print_json(struct report *report, size_t recipients, bool is_complete)
{
	json_t *counts = json_object();
	size_t i;

	printf("{\n  \"findings\": [");
	if (!copy_aside(report)) {
		json_decref(counts);
		return false;
	}
	printf("%s],\n  \"counts\": ", report->is_first ? "" : "\n  ");
	for (i = 0; i < report->count; i++) {
		json_put(counts, report->sections[i].check->name,
		    json_integer((json_int_t)report->sections[i].total));
	}
	json_dumpf(counts, stdout, JSON_COMPACT);
	json_decref(counts);
	printf(",\n  \"total\": %zu,\n  \"recipients\": %zu,\n  \"complete\": %s,\n"
	       "  \"clean\": %s\n}\n",
	    report->total, recipients, is_complete ? "true" : "false",
	    is_complete && report->total == 0 ? "true" : "false");
	return true;
}

static void print_text(const struct report *report, size_t directories,
    size_t recipients, bool is_complete)
{
	size_t i;

	for (i = 0; i < report->count; i++) {
		const struct section *section = &report->sections[i];

		if (section->total == 0) {
			continue;
		}
		printf("%s: %zu\n", section->check->title, section->total);
		fwrite(section->text.data, 1, section->text.len, stdout);
		if (section->lines == CHECK_LINES_MAX &&
		    section->total > section->lines) {
			printf("  ... and %zu more (--json shows all)\n",
			    section->total - section->lines);
		}
		putchar('\n');
	}
	if (report->total > 0) {
		printf("%zu finding%s", report->total, report->total == 1 ? "" : "s");
	} else {
		printf(is_complete ? "clean: no findings" : "no findings so far");
	}
	printf(" in %zu recipients of %zu %s\n", recipients, directories,
	    directories == 1 ? "directory" : "directories");
}

bool report_print(struct report *report, size_t directories, size_t recipients,
    bool is_complete)
{
	if (report->aside != NULL) {
		return print_json(report, recipients, is_complete);
	}
	print_text(report, directories, recipients, is_complete);
	return true;
}
