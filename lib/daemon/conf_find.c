#include "config.h"

#include <string.h>

#include "daemon/conf_options.h"

/* How many letters a key may be off to be taken for a slip. */
#define SLIP_MAX 3
/* Of an option of several words these at least are enough to know it by. */
#define PART_MIN 4
#define KEY_MAX  64

const struct option *section_find(enum section_id section, const char *name)
{
	const struct section *s = &conf_sections[section];

	for (size_t i = 0; i < s->option_count; i++) {
		if (strcmp(s->options[i].name, name) == 0) {
			return &s->options[i];
		}
	}
	return NULL;
}

static size_t min3(size_t a, size_t b, size_t c)
{
	size_t ab = a < b ? a : b;

	return ab < c ? ab : c;
}

/* Levenshtein's distance. */
static size_t distance(const char *a, const char *b)
{
	size_t row[KEY_MAX + 1], b_len = strlen(b);

	if (strlen(a) > KEY_MAX || b_len > KEY_MAX) {
		return KEY_MAX;
	}
	for (size_t j = 0; j <= b_len; j++) {
		row[j] = j;
	}
	for (size_t i = 0; a[i] != '\0'; i++) {
		size_t diagonal = row[0];

		row[0] = i + 1;
		for (size_t j = 0; j < b_len; j++) {
			size_t above = row[j + 1];

			row[j + 1] =
			    min3(above + 1, row[j] + 1, diagonal + (a[i] != b[j]));
			diagonal = above;
		}
	}
	return row[b_len];
}

/* "bind_password" for bind_password_file, "ca_file" for tls_ca_file. */
static const char *containing(const struct section *s, const char *name)
{
	for (size_t i = 0; i < s->option_count && strlen(name) >= PART_MIN; i++) {
		if (strstr(s->options[i].name, name) != NULL) {
			return s->options[i].name;
		}
	}
	return NULL;
}

/* The key of a section with the fewest letters off, below *best, which becomes that. */
static const char *nearest_key(const struct section *s, const char *name, size_t *best)
{
	const char *found = NULL;

	for (size_t i = 0; i < s->option_count; i++) {
		size_t d = distance(name, s->options[i].name);

		if (d < *best) {
			*best = d;
			found = s->options[i].name;
		}
	}
	return found;
}

/* As many letters off are no slip any more; one in `share` is one yet. */
static size_t slip_limit(const char *name, size_t share)
{
	size_t most = strlen(name) / share;

	return (most < SLIP_MAX ? most : SLIP_MAX) + 1;
}

const char *section_nearest(enum section_id section, const char *name)
{
	const struct section *s = &conf_sections[section];
	size_t best = slip_limit(name, 2);
	const char *found = nearest_key(s, name, &best);

	for (int i = SECTION_TOP + 1; i < SECTION_COUNT; i++) {
		if (conf_sections[i].parent == section &&
		    distance(name, conf_sections[i].name) < best) {
			return conf_sections[i].name;
		}
	}
	return found != NULL ? found : containing(s, name);
}

const char *section_nearest_anywhere(const char *name)
{
	size_t best = slip_limit(name, 3); /* of so many keys some are near by chance */
	const char *found = NULL;

	for (int i = 0; i < SECTION_COUNT; i++) {
		const char *key = nearest_key(&conf_sections[i], name, &best);

		found = key != NULL ? key : found;
	}
	return found;
}

bool section_print_homes(const char *name, struct buf *out)
{
	bool is_there = false;

	for (int i = 0; i < SECTION_COUNT; i++) {
		if (section_find((enum section_id)i, name) != NULL) {
			buf_printf(out, "%s%s", is_there ? " or " : "",
			    i == SECTION_TOP ? "the top level" : conf_sections[i].name);
			is_there = true;
		}
	}
	return is_there;
}
