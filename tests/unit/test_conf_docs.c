#include "config.h"

#include <ctype.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "daemon/conf_options.h"
#include "daemon/conf_read.h"
#include "daemon/log_line.h"
#include "unit.h"

/*
 * The rows of conf_options.c against what the administrator reads: the example file, and
 * coexist.conf(5). Neither may have a key that the other lacks, and the defaults that they
 * show are those of the code.
 */
#define EXAMPLE  "doc/coexist.conf.example"
#define MANUAL   "doc/coexist.conf.5"
#define KEYS_MAX 64

/* How often each row was seen. */
static int seen[SECTION_COUNT][KEYS_MAX];

static void see(enum section_id section, struct span key, const char *where)
{
	const struct section *s = &conf_sections[section];

	for (size_t i = 0; i < s->option_count; i++) {
		if (span_equal(span_of(s->options[i].name), key)) {
			seen[section][i]++;
			return;
		}
	}
	ck_abort_msg("%s: '%.*s' in section '%s' is no option", where, SPAN_ARGS(key),
	    s->name);
}

static void assert_all_seen_once(const char *where)
{
	for (int i = 0; i < SECTION_COUNT; i++) {
		for (size_t j = 0; j < conf_sections[i].option_count; j++) {
			ck_assert_msg(seen[i][j] == 1, "%s: %s.%s is there %d times",
			    where, conf_sections[i].name,
			    conf_sections[i].options[j].name, seen[i][j]);
		}
	}
}

/* The next line without its newline; false at the end. */
static bool next_line(struct span *rest, struct span *line)
{
	const char *end;

	if (rest->len == 0) {
		return false;
	}
	end = memchr(rest->ptr, '\n', rest->len);
	line->ptr = rest->ptr;
	line->len = end != NULL ? (size_t)(end - rest->ptr) : rest->len;
	rest->ptr += line->len + (end != NULL);
	rest->len -= line->len + (end != NULL);
	return true;
}

static struct span word_at(const char *p, const char *end)
{
	const char *start = p;

	while (p < end && (islower((unsigned char)*p) || *p == '_')) {
		p++;
	}
	return (struct span){ start, (size_t)(p - start) };
}

static enum section_id section_called(struct span name, const char *where)
{
	for (int i = SECTION_TOP + 1; i < SECTION_COUNT; i++) {
		if (span_equal(span_of(conf_sections[i].name), name)) {
			return (enum section_id)i;
		}
	}
	ck_abort_msg("%s: there is no section '%.*s'", where, SPAN_ARGS(name));
}

START_TEST(the_example_has_every_option_and_no_other)
{
	size_t len;
	char *text = unit_read_source(EXAMPLE, &len);
	struct span rest = { text, len }, line;
	enum section_id section = SECTION_TOP;

	while (next_line(&rest, &line)) {
		struct span trimmed = span_trim(line), word;
		const char *end = trimmed.ptr + trimmed.len;
		bool is_commented = trimmed.len > 0 && trimmed.ptr[0] == '#';

		word = word_at(trimmed.ptr + is_commented, end);
		if (word.len == 0 && trimmed.len == 1 && trimmed.ptr[0] == '}') {
			section = conf_sections[section].parent;
		} else if (word.len > 0 && !is_commented && end[-1] == '{') {
			section = section_called(word, EXAMPLE);
		} else if (word.len > 0) {
			see(section, word, EXAMPLE);
		}
	}
	ck_assert_int_eq(section, SECTION_TOP);
	assert_all_seen_once(EXAMPLE);
	free(text);
}
END_TEST

static struct conf *parse(const char *text)
{
	size_t len = strlen(text);
	char *copy = unit_copy(text, len);
	struct conf *conf = NULL;
	struct errbuf err = { "" };
	enum status status =
	    conf_parse(EXAMPLE, "/etc/coexist/coexist.conf", copy, len, &conf, &err);

	ck_assert_msg(status == CX_OK, "%s", err.text);
	free(copy);
	return conf;
}

static void assert_same_list(const char *const *a, const char *const *b,
    const char *name)
{
	for (; *a != NULL && *b != NULL; a++, b++) {
		ck_assert_msg(strcmp(*a, *b) == 0, "%s: %s, not %s", name, *b, *a);
	}
	ck_assert_msg(*a == NULL && *b == NULL, "%s: lists of different length", name);
}

static void assert_same(const void *a, const void *b, const struct option *option)
{
	const char *pa = (const char *)a + option->offset;
	const char *pb = (const char *)b + option->offset;
	size_t size = sizeof(unsigned);

	switch (option->type) {
	case OPTION_TEXT:
		ck_assert_msg(strcmp(*(const char *const *)(const void *)pa,
				  *(const char *const *)(const void *)pb) == 0,
		    "%s: not the default", option->name);
		return;
	case OPTION_LIST:
		assert_same_list(*(const char *const *const *)(const void *)pa,
		    *(const char *const *const *)(const void *)pb, option->name);
		return;
	case OPTION_BOOL: size = sizeof(bool); break;
	case OPTION_MS:
	case OPTION_SECONDS: size = sizeof(int64_t); break;
	case OPTION_NUMBER:
	case OPTION_CHOICE: break;
	}
	ck_assert_msg(memcmp(pa, pb, size) == 0, "%s: not the default", option->name);
}

static void assert_same_section(const void *a, const void *b, enum section_id section)
{
	const struct section *s = &conf_sections[section];

	for (size_t i = 0; i < s->option_count; i++) {
		if (s->options[i].offset !=
			offsetof(struct directory_section, provides) ||
		    section != SECTION_DIRECTORY) {
			assert_same(a, b, &s->options[i]);
		}
	}
}

/* "#key = value" becomes "key = value"; comments for people have a blank behind the "#". */
static void uncomment(char *text)
{
	bool is_start = true;

	for (char *p = text; *p != '\0'; p++) {
		if (is_start && p[0] == '#' && islower((unsigned char)p[1])) {
			*p = ' ';
		}
		is_start = *p == '\n' || (is_start && isspace((unsigned char)*p));
	}
}

START_TEST(the_example_shows_the_defaults)
{
	size_t len;
	char *text = unit_read_source(EXAMPLE, &len);
	struct conf *as_is = parse(text), *all;

	uncomment(text);
	all = parse(text);
	ck_assert_uint_eq(all->directory_count, 1);
	for (int i = 0; i < SECTION_COUNT; i++) {
		if (i == SECTION_DIRECTORY || i == SECTION_ATTRIBUTES) {
			assert_same_section(as_is->directories, all->directories,
			    (enum section_id)i);
		} else {
			assert_same_section(as_is, all, (enum section_id)i);
		}
	}
	ck_assert(all->directories->provides_recipients &&
		  as_is->directories->provides_recipients);
	ck_assert(all->directories->provides_domains &&
		  as_is->directories->provides_domains);
	ck_assert(all->directories->provides_connectors &&
		  as_is->directories->provides_connectors);
	ck_assert(all->has_secret_files && !as_is->has_secret_files);
	conf_unref(all);
	conf_unref(as_is);
	free(text);
}
END_TEST

START_TEST(every_fallback_is_a_right_value)
{
	const struct section *s = &conf_sections[_i];
	struct errbuf err = { "" };
	struct buf out;

	ck_assert_uint_lt(s->option_count, KEYS_MAX);
	for (size_t i = 0; i < s->option_count; i++) {
		buf_init(&out);
		ck_assert_msg(option_convert(&s->options[i], s->options[i].fallback,
				  "/", &out, &err) == CX_OK,
		    "%s: %s", s->options[i].name, err.text);
		buf_release(&out);
	}
}
END_TEST

/* The text of the page from here to the next key or section, without macros. */
static void item_text(struct span rest, struct buf *out)
{
	struct span line;

	while (next_line(&rest, &line) && !span_starts_with_case(line, SPAN(".It Ic ")) &&
	       !span_starts_with_case(line, SPAN(".S"))) {
		if (line.len > 4 && line.ptr[0] == '.') { /* ".Pa " */
			line.ptr += 4;
			line.len -= 4;
		}
		buf_add_span(out, line);
		buf_add_char(out, ' ');
	}
}

/* "The default is FALLBACK." */
static void assert_says_default(const struct option *option, struct span rest)
{
	char expected[256];
	struct buf text;
	const char *found;

	if (option->fallback[0] == '\0') {
		return;
	}
	buf_init(&text);
	item_text(rest, &text);
	snprintf(expected, sizeof(expected), "The default is %s", option->fallback);
	found = strstr(text.data, expected);
	ck_assert_msg(found != NULL && strchr(" .,:", found[strlen(expected)]) != NULL,
	    "%s: %s: not '%s' in '%s'", MANUAL, option->name, expected, text.data);
	buf_release(&text);
}

/* "from LEAST to MOST", as the option's own message has them. */
static void assert_says_range(const struct option *option, struct span rest)
{
	bool is_number = option->type == OPTION_NUMBER;
	char least[32], most[32], expected[80];
	struct errbuf err = { "" };
	struct buf text;

	if (!is_number && option->type != OPTION_MS && option->type != OPTION_SECONDS) {
		return;
	}
	buf_init(&text);
	unit_assert_status(option_convert(option, is_number ? "1000000" : "4000d", "/",
			       &text, &err),
	    CX_ECONF, option->name);
	ck_assert_msg(sscanf(err.text,
			  is_number ? "'1000000' is not a number from %31s to %31s"
				    : "'4000d' is not between %31s and %31s",
			  least, most) == 2,
	    "%s: %s", option->name, err.text);
	snprintf(expected, sizeof(expected), " from %s to %s", least, most);
	item_text(rest, &text);
	ck_assert_msg(strstr(text.data, expected) != NULL, "%s: %s: not '%s' in '%s'",
	    MANUAL, option->name, expected, text.data);
	buf_release(&text);
}

/* ".Ss policyd" starts the keys of a section, ".It Ic workers" is one. */
START_TEST(the_manual_has_every_option_its_default_and_its_range)
{
	static const char sub[] = ".Ss ", item[] = ".It Ic ";
	size_t len;
	char *text = unit_read_source(MANUAL, &len);
	struct span rest = { text, len }, line, word;
	enum section_id section = SECTION_COUNT;
	char key[KEYS_MAX];

	while (next_line(&rest, &line)) {
		const char *end = line.ptr + line.len;

		if (span_equal(line, SPAN(".Ss General"))) {
			section = SECTION_TOP;
		} else if (section != SECTION_COUNT &&
			   span_starts_with_case(line, SPAN(sub))) {
			section = section_called(word_at(line.ptr + strlen(sub), end),
			    MANUAL);
		} else if (span_starts_with_case(line, SPAN(item))) {
			ck_assert_int_ne(section, SECTION_COUNT);
			word = word_at(line.ptr + strlen(item), end);
			see(section, word, MANUAL);
			snprintf(key, sizeof(key), "%.*s", SPAN_ARGS(word));
			assert_says_default(section_find(section, key), rest);
			assert_says_range(section_find(section, key), rest);
		}
	}
	assert_all_seen_once(MANUAL);
	free(text);
}
END_TEST

/* ".It Va COEXIST_VERDICT , COEXIST_RULE" */
START_TEST(the_manual_has_every_field_of_the_journal_and_no_other)
{
	static const char item[] = ".It Va COEXIST_", prefix[] = "COEXIST_";
	int found[LOG_FIELD_COUNT] = { 0 };
	size_t len;
	char *text = unit_read_source(MANUAL, &len);
	struct span rest = { text, len }, line;

	while (next_line(&rest, &line)) {
		const char *p = line.ptr, *end = line.ptr + line.len;

		while (span_starts_with_case(line, SPAN(item)) &&
		       (p = memmem(p, (size_t)(end - p), prefix, strlen(prefix))) != NULL) {
			struct span name = { p, strlen(prefix) };
			int field = 0;

			while (p + name.len < end &&
			       (isupper((unsigned char)p[name.len]) || p[name.len] == '_')) {
				name.len++;
			}
			while (field < LOG_FIELD_COUNT &&
			       !span_equal(span_of(log_field_name((enum log_field)field)), name)) {
				field++;
			}
			ck_assert_msg(field < LOG_FIELD_COUNT, "%s: '%.*s' is no field", MANUAL,
			    SPAN_ARGS(name));
			found[field]++;
			p += name.len;
		}
	}
	for (int i = 0; i < LOG_FIELD_COUNT; i++) {
		ck_assert_msg(found[i] == 1, "%s: %s is there %d times", MANUAL,
		    log_field_name((enum log_field)i), found[i]);
	}
	free(text);
}
END_TEST

Suite *unit_suite(void)
{
	Suite *suite = suite_create("conf_docs");
	TCase *tc = tcase_create("conf_docs");

	tcase_add_test(tc, the_example_has_every_option_and_no_other);
	tcase_add_test(tc, the_example_shows_the_defaults);
	tcase_add_test(tc, the_manual_has_every_option_its_default_and_its_range);
	tcase_add_test(tc, the_manual_has_every_field_of_the_journal_and_no_other);
	tcase_add_loop_test(tc, every_fallback_is_a_right_value, 0, SECTION_COUNT);
	suite_add_tcase(suite, tc);
	return suite;
}
