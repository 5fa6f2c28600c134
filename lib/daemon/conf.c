#include "config.h"

#include "daemon/conf.h"

#include <errno.h>
#include <fcntl.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "daemon/conf_options.h"
#include "daemon/conf_read.h"
#include "daemon/conf_rules.h"

/* Nobody writes that much by hand; and it is read as a whole. */
#define CONF_SIZE_MAX (1024 * 1024)

/* What a configuration holds on to, freed with it. */
struct chunk {
	struct chunk *next;
	max_align_t memory[];
};

struct holder {
	struct conf conf; /* first: struct conf * is struct holder * */
	atomic_uint references;
	struct chunk *chunks;
};

static struct holder *holder_of(struct conf *conf)
{
	return (struct holder *)conf;
}

struct conf *conf_ref(struct conf *conf)
{
	atomic_fetch_add(&holder_of(conf)->references, 1);
	return conf;
}

void conf_unref(struct conf *conf)
{
	struct holder *holder = holder_of(conf);

	if (conf == NULL || atomic_fetch_sub(&holder->references, 1) > 1) {
		return;
	}
	while (holder->chunks != NULL) {
		struct chunk *next = holder->chunks->next;

		free(holder->chunks);
		holder->chunks = next;
	}
	free(holder);
}

/* Cleared memory that lives as long as the configuration; NULL: none left. */
static void *keep(struct holder *holder, size_t size)
{
	struct chunk *chunk = calloc(1, sizeof(*chunk) + size);

	if (chunk == NULL) {
		return NULL;
	}
	chunk->next = holder->chunks;
	holder->chunks = chunk;
	return chunk->memory;
}

static const char *keep_text(struct holder *holder, const char *text)
{
	size_t size = strlen(text) + 1;
	char *copy = keep(holder, size);

	return copy != NULL ? memcpy(copy, text, size) : NULL;
}

/* Where the values of one place go. */
struct filling {
	struct holder *holder;
	const struct reading *reading;
	const char *folder;
	struct place place;
	char *base;
};

/* The kept form of the row's fallback, in `out`. */
static enum status get_fallback(const struct filling *f, const struct option *option,
    struct buf *out)
{
	struct errbuf err; /* fallbacks are right: a test sees to it */

	return option_convert(option, option->fallback, f->folder, out, &err);
}

static enum status fill_list(const struct filling *f, const struct option *option,
    const char *fallback)
{
	size_t count = fallback != NULL ? fallback[0] != '\0'
					: reading_count(f->reading, f->place, option);
	const char **list = keep(f->holder, (count + 1) * sizeof(*list));

	if (list == NULL) {
		return CX_ENOMEM;
	}
	for (size_t i = 0; i < count; i++) {
		const char *value = fallback;

		if (value == NULL) {
			value = reading_value(f->reading, f->place, option, i);
		}
		list[i] = keep_text(f->holder, value);
		if (list[i] == NULL) {
			return CX_ENOMEM;
		}
	}
	memcpy(f->base + option->offset, &list, sizeof(list));
	return CX_OK;
}

static enum status fill_text(const struct filling *f, const struct option *option,
    const char *value)
{
	const char *text = keep_text(f->holder, value);

	memcpy(f->base + option->offset, &text, sizeof(text));
	return text != NULL ? CX_OK : CX_ENOMEM;
}

/* `value` is the number that option_convert() wrote. */
static void fill_number(const struct filling *f, const struct option *option,
    const char *value)
{
	int64_t number = strtoll(value, NULL, 10);
	unsigned small = (unsigned)number;
	bool yes = number != 0;

	if (option->type == OPTION_BOOL) {
		memcpy(f->base + option->offset, &yes, sizeof(yes));
	} else if (option->type == OPTION_MS || option->type == OPTION_SECONDS) {
		memcpy(f->base + option->offset, &number, sizeof(number));
	} else {
		memcpy(f->base + option->offset, &small, sizeof(small));
	}
}

static enum status fill_option(const struct filling *f, const struct option *option)
{
	bool is_set = reading_is_set(f->reading, f->place, option);
	enum status status = CX_OK;
	struct buf fallback;
	const char *value;

	buf_init(&fallback);
	if (!is_set) {
		status = get_fallback(f, option, &fallback);
	}
	value = fallback.data;
	if (status == CX_OK && option->type == OPTION_LIST) {
		status = fill_list(f, option, is_set ? NULL : value);
	} else if (status == CX_OK) {
		if (is_set) {
			value = reading_value(f->reading, f->place, option, 0);
		}
		if (option->type == OPTION_TEXT) {
			status = fill_text(f, option, value);
		} else {
			fill_number(f, option, value);
		}
	}
	buf_release(&fallback);
	return status;
}

static enum status fill_section(struct filling *f, enum section_id section)
{
	const struct section *s = &conf_sections[section];
	enum status status = CX_OK;

	f->place.section = section;
	for (size_t i = 0; i < s->option_count && status == CX_OK; i++) {
		status = fill_option(f, &s->options[i]);
	}
	return status;
}

static bool list_has(const char *const *list, const char *word)
{
	for (; *list != NULL; list++) {
		if (strcmp(*list, word) == 0) {
			return true;
		}
	}
	return false;
}

static enum status fill_directory(struct filling *f, size_t n,
    struct conf_directory *out)
{
	struct directory_section section = { 0 };
	bool is_all;
	enum status status;

	f->base = (char *)&section;
	f->place.directory = n;
	status = fill_section(f, SECTION_DIRECTORY);
	if (status == CX_OK) {
		status = fill_section(f, SECTION_ATTRIBUTES);
	}
	if (status != CX_OK) {
		return status;
	}
	*out = section.conf;
	out->name = keep_text(f->holder, reading_directory_name(f->reading, n));
	/* Of the first directory everything is taken, of the others recipients. */
	is_all = section.provides[0] == NULL && n == 0;
	out->provides_recipients =
	    section.provides[0] == NULL || list_has(section.provides, "recipients");
	out->provides_domains = is_all || list_has(section.provides, "domains");
	out->provides_connectors = is_all || list_has(section.provides, "connectors");
	return out->name != NULL ? CX_OK : CX_ENOMEM;
}

static const char *own_or(const char *own, const char *common)
{
	return own[0] != '\0' ? own : common;
}

static enum status fill(struct holder *holder, const struct reading *reading,
    const char *folder)
{
	struct conf *conf = &holder->conf;
	struct filling f = { .holder = holder, .reading = reading, .folder = folder };
	struct conf_directory *directories;
	enum status status = CX_OK;

	f.base = (char *)conf;
	for (int i = 0; i < SECTION_COUNT && status == CX_OK; i++) {
		if (i != SECTION_DIRECTORY && i != SECTION_ATTRIBUTES) {
			status = fill_section(&f, (enum section_id)i);
		}
	}
	if (status != CX_OK) {
		return status;
	}
	conf->has_secret_files = reading_is_set(reading,
	    (struct place){ .section = SECTION_TOP },
	    section_find(SECTION_TOP, "secret_file"));
	conf->syncd.user = own_or(conf->syncd.user, conf->user);
	conf->milter.user = own_or(conf->milter.user, conf->user);
	conf->policyd.user = own_or(conf->policyd.user, conf->user);
	conf->settings.srs_domain = conf->srs.enable ? conf->srs.domain : "";
	conf->settings.srs_max_age_s = conf->srs.max_age_ms / 1000;
	if (conf->srs.secret_files[0] == NULL) {
		conf->srs.secret_files = conf->secret_files;
	}
	conf->directory_count = reading_directory_count(reading);
	directories = keep(holder, (conf->directory_count + 1) * sizeof(*directories));
	conf->directories = directories;
	if (directories == NULL) {
		return CX_ENOMEM;
	}
	for (size_t i = 0; i < conf->directory_count && status == CX_OK; i++) {
		status = fill_directory(&f, i, &directories[i]);
	}
	return status;
}

/* `path` from the root, so that a program may leave the folder it was started in. */
static enum status make_absolute(const char *path, struct buf *out, struct errbuf *err)
{
	char *here;

	if (path[0] != '/') {
		here = getcwd(NULL, 0);
		if (here == NULL) {
			errbuf_set(err, "%s: %s", path, strerror(errno));
			return CX_ECONF;
		}
		buf_printf(out, "%s/", here);
		free(here);
	}
	buf_add_text(out, path);
	return out->failed ? CX_ENOMEM : CX_OK;
}

enum status conf_parse(const char *name, const char *path, char *text, size_t len,
    struct conf **out, struct errbuf *err)
{
	struct holder *holder = calloc(1, sizeof(*holder));
	struct reading *reading = NULL;
	enum status status = CX_ENOMEM;
	char *folder = strndup(path, (size_t)(strrchr(path, '/') - path));

	if (holder == NULL || folder == NULL) {
		errbuf_set(err, "%s: out of memory", name);
		goto done;
	}
	atomic_init(&holder->references, 1);
	status = reading_new(name, folder, text, len, &reading, err);
	if (status != CX_OK) {
		goto done;
	}
	holder->conf.path = keep_text(holder, path);
	status = holder->conf.path != NULL ? fill(holder, reading, folder) : CX_ENOMEM;
	if (status != CX_OK) {
		errbuf_set(err, "%s: out of memory", name);
		goto done;
	}
	status = conf_rules_check(&holder->conf, reading, name, err);
done:
	reading_free(reading);
	free(folder);
	if (status == CX_OK) {
		*out = &holder->conf;
	} else if (holder != NULL) {
		conf_unref(&holder->conf);
	}
	return status;
}

static enum status read_file(const char *path, struct buf *out, struct errbuf *err)
{
	int fd = open(path, O_RDONLY | O_CLOEXEC);
	char part[8192];
	ssize_t n = -1;

	if (fd >= 0) {
		while ((n = read(fd, part, sizeof(part))) > 0 &&
		       out->len <= CONF_SIZE_MAX) {
			buf_add(out, part, (size_t)n);
		}
	}
	if (n < 0) {
		errbuf_set(err, "%s: %s", path, strerror(errno));
	} else if (out->len > CONF_SIZE_MAX) {
		errbuf_set(err, "%s: longer than %d bytes", path, CONF_SIZE_MAX);
		n = -1;
	}
	if (fd >= 0) {
		close(fd);
	}
	return n < 0 ? CX_ECONF : CX_OK;
}

enum status conf_load(const char *path, struct conf **out, struct errbuf *err)
{
	struct buf text, absolute;
	enum status status;

	buf_init(&text);
	buf_init(&absolute);
	status = read_file(path, &text, err);
	if (status == CX_OK) {
		status = make_absolute(path, &absolute, err);
	}
	if (status == CX_OK && text.failed) {
		status = CX_ENOMEM;
	}
	if (status == CX_ENOMEM) {
		errbuf_set(err, "%s: out of memory", path);
	}
	if (status == CX_OK) {
		status = conf_parse(path, absolute.data, text.data, text.len, out, err);
	}
	buf_release(&absolute);
	buf_release(&text);
	return status;
}
