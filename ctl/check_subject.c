#include "config.h"

#include <stdlib.h>
#include <sysexits.h>

#include "ctl/check.h"
#include "ctl/command.h"

/* What the checks share: asking the decision, naming things, telling of a finding. */

void check_found(struct checker *checker, struct finding *finding, const char *template,
    const struct span *values, size_t count)
{
	size_t next = 0;

	buf_clear(&checker->line);
	for (; *template != '\0'; template ++) {
		if (template[0] == '{' && template[1] == '}' && next < count) {
			buf_add_escaped(&checker->line, values[next++]);
			template ++;
		} else {
			buf_add_char(&checker->line, *template);
		}
	}
	finding->text = buf_span(&checker->line);
	report_found(checker->report, checker->running, finding);
}

bool check_failed(struct checker *checker, enum status status)
{
	if (status != CX_ETEMP && status != CX_EFORMAT && status != CX_ENOMEM) {
		return false;
	}
	if (checker->failure == CX_OK) {
		checker->failure = status;
	}
	return true;
}

const char *check_directory(const struct checker *checker, uint8_t source)
{
	size_t count;
	const struct source_info *sources =
	    snapshot_sources(checker->view.snapshot, &count);
	unsigned precedence = snapshot_precedence(checker->view.snapshot, source);

	return precedence < count ? sources[precedence].name : NULL;
}

bool check_is_ours(struct checker *checker, struct span domain)
{
	struct domain found;
	struct record_id id;
	enum status status;

	if (span_is_empty(domain)) {
		return true;
	}
	status = find_domain(&checker->view, domain, &found, &id);
	check_failed(checker, status);
	return status == CX_OK;
}

/* Asks again with more memory, until it is enough or too much. */
bool check_resolve(struct checker *checker, const struct address *address,
    struct resolution *out)
{
	struct question question = {
		.address = address,
		.client = { .is_authenticated = true,
		    .may_relay = true,
		    .is_anyone = true },
		.want_deliveries = true,
		.want_steps = true,
	};
	struct arena *arena = &checker->arena;

	arena->used = 0;
	while (resolve(&checker->view, &question, arena, out) == CX_EFULL) {
		char *larger = arena->size < RESOLVE_MEMORY_MAX
				   ? realloc(arena->memory, arena->size * 2)
				   : NULL;

		if (larger == NULL) {
			return !check_failed(checker, CX_ENOMEM);
		}
		arena->memory = larger;
		arena->size *= 2;
		arena->used = 0;
	}
	if (out->verdict == VERDICT_UNAVAILABLE && out->rule == RULE_REPLICA) {
		return !check_failed(checker, CX_EFORMAT);
	}
	return true;
}

enum status subject_primary(struct checker *checker, struct subject *subject)
{
	if (!subject->is_primary_known) {
		subject->is_primary_known = true;
		subject->primary_status =
		    lookup_primary(&checker->view, &subject->found, &subject->primary);
		check_failed(checker, subject->primary_status);
	}
	return subject->primary_status;
}

const struct resolution *subject_resolution(struct checker *checker,
    struct subject *subject)
{
	if (subject_primary(checker, subject) != CX_OK) {
		return NULL;
	}
	if (!subject->is_resolved) {
		subject->is_resolved = true;
		if (!check_resolve(checker, &subject->primary, &subject->resolution)) {
			subject->primary_status = CX_ETEMP;
			return NULL;
		}
	}
	return &subject->resolution;
}

bool subject_has_alternates(const struct subject *subject)
{
	return values_count(subject->found.recipient.alternates) > 0 ||
	       !span_is_empty(subject->found.recipient.forwarding_address);
}
