#include "config.h"

#include "daemon/conf_read.h"

#include <confuse.h>
#include <errno.h>
#include <pthread.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "daemon/conf_text.h"

/* Rows, two sections at most within one, and libconfuse's end mark. */
#define OPTIONS_MAX 32

struct reading {
	cfg_t *cfg;
	const char *folder;
	struct buf value;    /* what a callback hands to libconfuse */
	struct errbuf first; /* the first thing that is wrong; "": nothing */
	int first_line;
	int value_line; /* where the last value was */
	bool out_of_memory;
};

/*
 * libconfuse's lexer has one state for the whole process, and its callbacks carry no
 * pointer of ours: one reading at a time, and this is it.
 */
static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
static struct reading *current;

/*
 * A row's `def.number` is not used by libconfuse for strings and sections; here it is the
 * line where the key was set last, 0 for never.
 */
static long *line_of(cfg_opt_t *opt)
{
	return &opt->def.number;
}

static void complain(const cfg_t *cfg, const struct errbuf *what)
{
	if (current->first.text[0] == '\0') {
		current->first = *what;
		current->first_line = cfg->line;
	}
}

static void complain_about(const cfg_t *cfg, const char *name,
    const struct errbuf *what)
{
	struct errbuf err = *what;

	errbuf_prefix(&err, "%s", name);
	complain(cfg, &err);
}

static enum section_id section_of(const cfg_t *cfg)
{
	for (int i = SECTION_TOP + 1; i < SECTION_COUNT; i++) {
		if (strcmp(cfg->name, conf_sections[i].name) == 0) {
			return (enum section_id)i;
		}
	}
	return SECTION_TOP;
}

static void complain_unknown(const cfg_t *cfg, const char *name)
{
	enum section_id section = section_of(cfg);
	const char *near = section_nearest(section, name), *other;
	char homes_text[128];
	struct errbuf err;
	struct buf homes;

	buf_init_fixed(&homes, homes_text, sizeof(homes_text));
	if (section_print_homes(name, &homes)) {
		errbuf_set(&err, "option '%s' does not belong here, but in %s", name,
		    homes.data);
	} else if (near != NULL) {
		errbuf_set(&err, "unknown option '%s', did you mean '%s'?", name, near);
	} else if ((other = section_nearest_anywhere(name)) != NULL) {
		(void)section_print_homes(other, &homes);
		errbuf_set(&err, "unknown option '%s', did you mean '%s', which belongs in %s?",
		    name, other, homes.data);
	} else {
		errbuf_set(&err, "unknown option '%s'%s%s%s", name,
		    section != SECTION_TOP ? " in " : "",
		    section != SECTION_TOP ? cfg->name : "",
		    current->value_line == cfg->line
			? " (a value with a blank in it needs quotes)"
			: "");
	}
	complain(cfg, &err);
}

/* What libconfuse itself finds wrong. */
static void take_error(cfg_t *cfg, const char *fmt, va_list ap) CX_PRINTF(2, 0);
static void take_error(cfg_t *cfg, const char *fmt, va_list ap)
{
	struct errbuf err;
	char text[sizeof(err.text)];

	if (strcmp(fmt, "no such option '%s'") == 0) {
		complain_unknown(cfg, va_arg(ap, const char *));
		return;
	}
	if (strcmp(fmt, "found duplicate title '%s'") == 0) {
		errbuf_set(&err, "directory '%s' is there twice",
		    va_arg(ap, const char *));
	} else if (strcmp(fmt, "premature end of file") == 0) {
		errbuf_set(&err, "the file ends in the middle of an option");
	} else {
		vsnprintf(text, sizeof(text), fmt, ap);
		errbuf_set(&err, "%s%s", text,
		    strcmp(text, "unexpected token '{'") == 0
			? ": only lists and sections have braces"
			: "");
	}
	complain(cfg, &err);
}

/* libconfuse takes "syncd|control" for a key of a section; nobody else would. */
static bool belongs_to(const cfg_t *cfg, const cfg_opt_t *opt)
{
	for (const cfg_opt_t *o = cfg->opts; o->name != NULL; o++) {
		if (o == opt) {
			return true;
		}
	}
	return false;
}

static int refuse_foreign(const cfg_t *cfg, const cfg_opt_t *opt)
{
	if (!belongs_to(cfg, opt)) {
		complain_unknown(cfg, opt->name);
		return -1;
	}
	return 0;
}

/* Called for each value; returns the form that is kept in *result. */
static int take_value(cfg_t *cfg, cfg_opt_t *opt, const char *value, void *result)
{
	const struct option *option = section_find(section_of(cfg), opt->name);
	enum status status;
	struct errbuf err;
	bool is_first = (opt->flags & CFGF_LIST) == 0 || opt->nvalues == 1;

	if (refuse_foreign(cfg, opt) != 0 || option == NULL) {
		return -1;
	}
	if (is_first && *line_of(opt) != 0) {
		errbuf_set(&err, "option '%s' was already set in line %ld", opt->name,
		    *line_of(opt));
		complain(cfg, &err);
		return -1;
	}
	*line_of(opt) = cfg->line;
	current->value_line = cfg->line;
	buf_clear(&current->value);
	if (option->type == OPTION_LIST && value[0] == '\0') {
		errbuf_set(&err, "an empty value in a list");
		complain_about(cfg, option->name, &err);
		return -1;
	}
	status = option_convert(option, value, current->folder, &current->value, &err);
	if (status == CX_OK) {
		*(const char **)result = current->value.data;
		return 0;
	}
	if (status == CX_ENOMEM) {
		current->out_of_memory = true;
	} else {
		complain_about(cfg, option->name, &err);
	}
	return -1;
}

/* Called at the end of each section. */
static int take_section(cfg_t *cfg, cfg_opt_t *opt)
{
	cfg_t *section = cfg_opt_getnsec(opt, cfg_opt_size(opt) - 1);
	struct errbuf err;

	if (refuse_foreign(cfg, opt) != 0) {
		return -1;
	}
	if ((opt->flags & CFGF_MULTI) != 0) {
		conf_check *check = check_title;

		/* At once: to look for the same title libconfuse goes through them all. */
		if (cfg_opt_size(opt) > STORE_SOURCES_MAX) {
			errbuf_set(&err, "more than %d directories", STORE_SOURCES_MAX);
			complain(cfg, &err);
			return -1;
		}
		buf_clear(&current->value);
		if (check(cfg_title(section), "", &current->value, &err) != CX_OK) {
			complain_about(cfg, opt->name, &err);
			return -1;
		}
	} else if (*line_of(opt) != 0) {
		errbuf_set(&err, "section '%s' is there twice", opt->name);
		complain(cfg, &err);
		return -1;
	}
	*line_of(opt) = cfg->line;
	return 0;
}

/* libconfuse's rows for a section and those within it; it copies them. */
static void make_options(enum section_id section, cfg_opt_t *rows, cfg_opt_t *inner)
{
	const struct section *s = &conf_sections[section];
	size_t n = 0;

	memset(rows, 0, OPTIONS_MAX * sizeof(*rows));
	for (size_t i = 0; i < s->option_count; i++) {
		rows[n].name = s->options[i].name;
		rows[n].type = CFGT_STR;
		rows[n].flags = CFGF_NODEFAULT;
		if (s->options[i].type == OPTION_LIST) {
			rows[n].flags |= CFGF_LIST;
		}
		rows[n].parsecb = take_value;
		n++;
	}
	for (int i = SECTION_TOP + 1; i < SECTION_COUNT; i++) {
		if (conf_sections[i].parent != section) {
			continue;
		}
		rows[n].name = conf_sections[i].name;
		rows[n].type = CFGT_SEC;
		rows[n].subopts = inner + (size_t)i * OPTIONS_MAX;
		rows[n].validcb = take_section;
		if (i == SECTION_DIRECTORY) {
			rows[n].flags = CFGF_MULTI | CFGF_TITLE | CFGF_NO_TITLE_DUPES;
		}
		make_options((enum section_id)i, rows[n].subopts, inner);
		n++;
	}
}

static enum status parse(struct reading *r, char *text, size_t len)
{
	cfg_opt_t options[SECTION_COUNT * OPTIONS_MAX];
	struct errbuf err;
	FILE *f;
	int result;

	make_options(SECTION_TOP, options, options);
	r->cfg = cfg_init(options, CFGF_NONE);
	if (r->cfg == NULL) {
		return CX_ENOMEM;
	}
	cfg_set_error_function(r->cfg, take_error);
	if (len == 0) { /* fmemopen() would refuse it */
		r->cfg->line = 1;
		return CX_OK;
	}
	f = fmemopen(text, len, "r");
	if (f == NULL) {
		return CX_ENOMEM;
	}
	errno = 0;
	result = cfg_parse_fp(r->cfg, f);
	if (result != CFG_SUCCESS && r->first.text[0] == '\0') {
		/* it says nothing where memory ends, and maybe elsewhere */
		r->out_of_memory = r->out_of_memory || errno == ENOMEM;
		errbuf_set(&err, "this makes no sense");
		complain(r->cfg, &err);
	}
	fclose(f);
	if (result == CFG_SUCCESS) {
		return CX_OK;
	}
	return r->out_of_memory ? CX_ENOMEM : CX_ECONF;
}

enum status reading_new(const char *name, const char *folder, char *text, size_t len,
    struct reading **out, struct errbuf *err)
{
	struct reading *r;
	enum status status;
	int line;

	if (conf_text_clean(text, len, &line, err) != CX_OK) {
		errbuf_prefix(err, "%s:%d", name, line);
		return CX_ECONF;
	}
	r = calloc(1, sizeof(*r));
	if (r == NULL) {
		errbuf_set(err, "%s: out of memory", name);
		return CX_ENOMEM;
	}
	r->folder = folder;
	buf_init(&r->value);
	pthread_mutex_lock(&lock);
	current = r;
	status = parse(r, text, len);
	current = NULL;
	pthread_mutex_unlock(&lock);
	if (status == CX_ECONF) {
		*err = r->first;
		errbuf_prefix(err, "%s:%d", name, r->first_line);
	} else if (status != CX_OK) {
		errbuf_set(err, "%s: out of memory", name);
	}
	if (status != CX_OK) {
		reading_free(r);
		return status;
	}
	*out = r;
	return CX_OK;
}

void reading_free(struct reading *r)
{
	if (r == NULL) {
		return;
	}
	pthread_mutex_lock(&lock); /* freeing the root resets the lexer */
	if (r->cfg != NULL) {
		cfg_free(r->cfg);
	}
	pthread_mutex_unlock(&lock);
	buf_release(&r->value);
	free(r);
}

static cfg_t *find_section(const struct reading *r, struct place place)
{
	switch (place.section) {
	case SECTION_TOP: return r->cfg;
	case SECTION_DIRECTORY:
		return cfg_getnsec(r->cfg, "directory", (unsigned)place.directory);
	case SECTION_ATTRIBUTES:
		return cfg_getsec(cfg_getnsec(r->cfg, "directory",
				      (unsigned)place.directory),
		    "attributes");
	case SECTION_SYNCD:
	case SECTION_MILTER:
	case SECTION_POLICYD:
	case SECTION_SRS:
	case SECTION_LOG:
	case SECTION_COUNT: break;
	}
	return cfg_getsec(r->cfg, conf_sections[place.section].name);
}

static cfg_opt_t *find(const struct reading *r, struct place place,
    const struct option *option)
{
	return cfg_getopt(find_section(r, place), option->name);
}

size_t reading_directory_count(const struct reading *r)
{
	return cfg_size(r->cfg, "directory");
}

const char *reading_directory_name(const struct reading *r, size_t directory)
{
	return cfg_title(cfg_getnsec(r->cfg, "directory", (unsigned)directory));
}

int reading_last_line(const struct reading *r, struct place place)
{
	return find_section(r, place)->line;
}

bool reading_is_set(const struct reading *r, struct place place,
    const struct option *option)
{
	return (find(r, place, option)->flags & CFGF_MODIFIED) != 0;
}

int reading_line(const struct reading *r, struct place place,
    const struct option *option)
{
	long line = *line_of(find(r, place, option));

	return line > 0 ? (int)line : reading_last_line(r, place);
}

size_t reading_count(const struct reading *r, struct place place,
    const struct option *option)
{
	return cfg_opt_size(find(r, place, option));
}

const char *reading_value(const struct reading *r, struct place place,
    const struct option *option, size_t n)
{
	return cfg_opt_getnstr(find(r, place, option), (unsigned)n);
}
