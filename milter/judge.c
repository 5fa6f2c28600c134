#include "config.h"

#include "milter/judge.h"

#include <stdlib.h>

#include "daemon/log.h"
#include "decide/age.h"
#include "replica/store.h"

#define MEMORY_START (64 * 1024)
/* Some kilobytes for each of 10,000 deliveries; a configuration may allow more of them. */
#define MEMORY_MAX ((size_t)256 * 1024 * 1024)

void judge_memory_release(struct judge_memory *memory)
{
	free(memory->arena.memory);
	memory->arena = (struct arena){ 0 };
}

void judge_memory_trim(struct judge_memory *memory)
{
	if (memory->arena.size > JUDGE_MEMORY_KEEP) {
		judge_memory_release(memory);
	}
}

/* Empty, with `size` bytes at least. */
static enum status prepare(struct judge_memory *memory, size_t size)
{
	if (memory->arena.size < size) {
		judge_memory_release(memory);
		memory->arena.memory = malloc(size);
		if (memory->arena.memory == NULL) {
			return CX_ENOMEM;
		}
		memory->arena.size = size;
	}
	memory->arena.used = 0;
	return CX_OK;
}

static enum status ask(const struct view *view, const struct question *question,
    struct judge_memory *memory, struct resolution *out)
{
	enum status status = CX_EFULL;

	for (size_t size = MEMORY_START; status == CX_EFULL && size <= MEMORY_MAX;
	     size *= 4) {
		status = prepare(memory, size);
		if (status == CX_OK) {
			status = resolve(view, question, &memory->arena, out);
		}
	}
	return status;
}

static void judge_in(struct snapshot *snapshot, const struct judge_question *asked,
    struct judge_memory *memory, struct judgement *out)
{
	struct view view = {
		.snapshot = snapshot, .settings = asked->settings, .now = asked->now,
		.srs_secrets = asked->srs_secrets,
	};
	struct question question = { .address = asked->address,
		.want_deliveries = true,
		.is_sender_empty = asked->is_sender_empty,
		.was_expanded = asked->was_expanded,
		.was_expanded_context = asked->was_expanded_context,
		.is_covered = asked->is_covered,
		.is_covered_context = asked->is_covered_context };
	struct authorization authorization;
	enum status status;

	authorize(&view, asked->client, &authorization);
	out->relay = authorization.verdict;
	if (asked->sender) {
		out->sender =
		    authorize_sender(&view, asked->client->login, asked->sender);
	}
	question.client.has_ip = asked->client->has_ip;
	question.client.ip = asked->client->ip;
	question.client.is_authenticated = asked->client->login.len > 0;
	question.client.may_relay =
	    asked->is_trusted || authorization.verdict == RELAY_PERMITTED;
	status = ask(&view, &question, memory, &out->resolution);
	if (status != CX_OK) {
		log_error("no decision: %s", status_text(status));
		resolution_unavailable(&out->resolution);
	}
}

void judge_by_store(void *store, const struct judge_question *asked,
    struct judge_memory *memory, struct judgement *out)
{
	struct snapshot *snapshot;

	out->sender = CX_OK;
	if (asked->address == NULL) {
		resolution_invalid(&out->resolution);
		out->relay = RELAY_NOT_PERMITTED;
		return;
	}
	if (address_is_smtp(asked->address) && asked->address->domain_len == 0) {
		/* The MTA's own, whatever the directory says: postmaster above all. */
		out->resolution = (struct resolution){ .verdict = VERDICT_FOREIGN,
			.rule = RULE_FOREIGN };
		out->relay = RELAY_NOT_PERMITTED;
		return;
	}
	if (snapshot_begin(store, &snapshot, NULL) != CX_OK) {
		resolution_unavailable(&out->resolution);
		out->relay = RELAY_UNAVAILABLE;
		return;
	}
	judge_in(snapshot, asked, memory, out);
	snapshot_end(snapshot);
}

enum status judge_sender_by_store(void *store, const struct settings *settings,
    int64_t now, const struct address *sender)
{
	struct view view = { .settings = settings, .now = now };
	struct domain domain;
	struct record_id id;
	enum status status = snapshot_begin(store, &view.snapshot, NULL);

	if (status != CX_OK) {
		return CX_ETEMP;
	}
	status = find_domain(&view,
	    (struct span){ sender->domain, sender->domain_len }, &domain, &id);
	if (status == CX_NOTFOUND && !age_knows_domains(&view)) {
		status = CX_ETEMP;
	}
	snapshot_end(view.snapshot);
	return status;
}
