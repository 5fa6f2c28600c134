/*
 * The text of a configuration: it is right, or wrong at a line that the text has; what
 * comes out is complete; nothing comes from the environment; and one reading leaves
 * nothing behind (libconfuse's lexer is global) that the next one would notice.
 */
#include "config.h"

#include <string.h>

#include "daemon/conf_options.h"
#include "fuzz.h"

#define NAME     "f.conf"
#define VARIABLE "HOME"
#define MARK     "/from/the/environment"

static const char good[] = "directory a { ldif = '/d' }\nuser = \"joe\"\n";

static enum status parse(const void *data, size_t size, struct conf **conf,
    struct errbuf *err)
{
	char *text = malloc(size > 0 ? size : 1);
	enum status status;

	FUZZ_CHECK(text != NULL);
	memcpy(text, data, size);
	*conf = NULL;
	status = conf_parse(NAME, "/etc/f.conf", text, size, conf, err);
	free(text);
	return status;
}

static void check_message(const struct errbuf *err, const uint8_t *data, size_t size)
{
	const char *rest = err->text + sizeof(NAME);
	long line, lines = 1;
	char *end;

	for (size_t i = 0; i < size; i++) {
		lines += data[i] == '\n';
	}
	FUZZ_CHECK(strncmp(err->text, NAME ":", sizeof(NAME)) == 0);
	line = strtol(rest, &end, 10);
	FUZZ_CHECK(end != rest && line >= 1 && line <= lines);
	FUZZ_CHECK(end[0] == ':' && end[1] == ' ' && end[2] != '\0');
	for (; *end != '\0'; end++) {
		FUZZ_CHECK((unsigned char)*end >= ' ' && *end != 0x7f);
	}
}

static void check_text(const char *text)
{
	FUZZ_CHECK(text != NULL && strstr(text, MARK) == NULL);
}

static void check_section(const void *base, enum section_id section)
{
	const struct section *s = &conf_sections[section];

	for (size_t i = 0; i < s->option_count; i++) {
		const struct option *option = &s->options[i];
		const char *const *list;
		const char *text;

		if (option->type == OPTION_TEXT) {
			memcpy(&text, (const char *)base + option->offset,
			    sizeof(text));
			check_text(text);
		} else if (option->type == OPTION_LIST &&
			   option->offset !=
			       offsetof(struct directory_section, provides)) {
			memcpy(&list, (const char *)base + option->offset,
			    sizeof(list));
			FUZZ_CHECK(list != NULL);
			for (; *list != NULL; list++) {
				check_text(*list);
				FUZZ_CHECK(**list != '\0');
			}
		}
	}
}

static void check_conf(const struct conf *conf)
{
	FUZZ_CHECK(conf->directory_count > 0);
	for (size_t i = 0; i < conf->directory_count; i++) {
		check_section(&conf->directories[i], SECTION_DIRECTORY);
		check_section(&conf->directories[i], SECTION_ATTRIBUTES);
		FUZZ_CHECK(conf->directories[i].name[0] != '\0');
	}
	for (int i = 0; i < SECTION_COUNT; i++) {
		if (i != SECTION_DIRECTORY && i != SECTION_ATTRIBUTES) {
			check_section(conf, (enum section_id)i);
		}
	}
	FUZZ_CHECK(conf->settings.max_depth >= 1 &&
		   conf->settings.max_staleness_s >= 1);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct conf *conf, *again;
	struct errbuf err, err_again;
	enum status status;

	setenv(VARIABLE, MARK, 1);
	status = parse(data, size, &conf, &err);
	if (status == CX_OK) {
		check_conf(conf);
	} else {
		FUZZ_CHECK(status == CX_ECONF && conf == NULL);
		check_message(&err, data, size);
	}
	FUZZ_CHECK(parse(good, sizeof(good) - 1, &again, &err_again) == CX_OK);
	conf_unref(again);
	FUZZ_CHECK(parse(data, size, &again, &err_again) == status);
	FUZZ_CHECK(status == CX_OK || strcmp(err.text, err_again.text) == 0);
	conf_unref(again);
	conf_unref(conf);
	return 0;
}
