#include "config.h"

#include "syncd/status.h"

#include <jansson.h>
#include <stdlib.h>
#include <unistd.h>

/* A text that came from outside: JSON takes UTF-8 only. */
static json_t *json_text(const char *text)
{
	json_t *value = json_string(text);
	struct buf escaped;

	if (value) {
		return value;
	}
	buf_init(&escaped);
	buf_add_escaped(&escaped, span_of(text));
	value = json_string(escaped.failed ? "" : escaped.data);
	buf_release(&escaped);
	return value;
}

static json_t *json_count(uint64_t count)
{
	return json_integer((json_int_t)count);
}

static json_t *describe(struct sources *sources, struct source *source)
{
	struct apply_report report;
	bool is_known = sources_report(sources, source, &report) == CX_OK;

	/* "O?" and friends are not in jansson 2.10: nulls are values here. */
	return json_pack("{s:o, s:s, s:s, s:o, s:b, s:o, s:o, s:o, s:o, s:o, s:o, s:o, "
			 "s:o, s:o, s:o}",
	    "name", json_text(source->conf->name), "backend", source->ops->name,
	    "state", source->state ? source->state : "", "server",
	    json_text(source->server ? source->server : ""), "loaded",
	    (int)report.is_loaded, "lastContact",
	    report.last_contact ? json_integer(report.last_contact) : json_null(),
	    "recipients", is_known ? json_count(report.recipients) : json_null(),
	    "domains", is_known ? json_count(report.domains) : json_null(),
	    "connectors", is_known ? json_count(report.connectors) : json_null(),
	    "skipped", is_known ? json_count(report.skipped) : json_null(), "held",
	    is_known ? json_count(report.held) : json_null(), "changes",
	    json_count(source->changes_applied), "refreshes",
	    json_count(source->refreshes), "errors", json_count(source->errors),
	    "lastError", json_text(source->last_error));
}

enum status status_print(struct sources *sources, int64_t started, int64_t now,
    struct buf *out)
{
	json_t *list = json_array();
	enum status status = CX_ENOMEM;

	for (size_t i = 0; list && i < sources_count(sources); i++) {
		if (json_array_append_new(list,
			describe(sources, sources_at(sources, i))) != 0) {
			json_decref(list);
			return CX_ENOMEM;
		}
	}
	json_t *object = json_pack("{s:b, s:s, s:i, s:I, s:I, s:o}", "running", 1,
	    "version", PACKAGE_VERSION, "pid", (int)getpid(), "started",
	    (json_int_t)started, "now", (json_int_t)now, "directories", list);
	char *text = object ? json_dumps(object, JSON_COMPACT) : NULL;

	if (text) {
		buf_add_text(out, text);
		status = out->failed ? CX_ENOMEM : CX_OK;
	}
	free(text);
	json_decref(object);
	return status;
}
