#include "config.h"

#include <stdlib.h>
#include <sysexits.h>
#include <time.h>

#include "ctl/check.h"
#include "ctl/command.h"
#include "ctl/control.h"
#include "decide/age.h"

/* The groups, in the order in which their findings are shown. */
static const struct check_group *const groups[] = {
	&check_directories,
	&check_addresses,
	&check_recipients,
};
#define GROUP_COUNT (sizeof(groups) / sizeof(groups[0]))

static void each_look(struct checker *checker, struct subject *subject)
{
	size_t group, i;

	for (group = 0; group < GROUP_COUNT; group++) {
		for (i = 0; i < groups[group]->count; i++) {
			const struct check *check = &groups[group]->checks[i];

			if (check->look != NULL) {
				checker->running = check;
				check->look(checker, subject);
			}
		}
	}
}

static bool visit_recipient(void *context, const struct record_id *id,
    const struct record *record)
{
	struct checker *checker = context;
	struct subject subject;

	if (record->kind != RECORD_RECIPIENT) {
		return true;
	}
	subject.directory = check_directory(checker, id->source);
	if (subject.directory == NULL) {
		return true;
	}
	subject.found.id = *id;
	subject.found.by = FOUND_LITERALLY;
	subject.found.rank = RANK_OWN;
	subject.found.base_len = 0;
	subject.has_broken_reference = false;
	subject.is_primary_known = false;
	subject.is_resolved = false;
	if (check_failed(checker, recipient_decode(record, &subject.found.recipient))) {
		return true;
	}
	checker->recipients++;
	each_look(checker, &subject);
	return true;
}

static void run_all(struct checker *checker)
{
	size_t group, i;

	for (group = 0; group < GROUP_COUNT; group++) {
		for (i = 0; i < groups[group]->count; i++) {
			checker->running = &groups[group]->checks[i];
			if (checker->running->run != NULL) {
				checker->running->run(checker);
			}
		}
	}
	check_failed(checker,
	    snapshot_each(checker->view.snapshot, visit_recipient, checker));
}

/* Without it, errors of the directories are not known; the replica still is. */
static void ask_syncd(struct checker *checker)
{
	struct buf answer;
	enum status status;

	buf_init(&answer);
	status = control_ask(checker->conf, "status", &answer, &checker->syncd_trouble);
	checker->is_syncd_down = status == CX_NOTFOUND;
	if (status == CX_OK) {
		checker->syncd = json_loadb(answer.data, answer.len, 0, NULL);
		if (checker->syncd == NULL) {
			errbuf_set(&checker->syncd_trouble,
			    "coexist-syncd: unreadable answer");
		}
	}
	if (checker->syncd == NULL && !checker->is_syncd_down) {
		complain("%s: errors of the directories are not known",
		    checker->syncd_trouble.text);
	}
	buf_release(&answer);
}

/* How old what we know is makes no difference to whether it is right. */
static void set_view(struct checker *checker, struct snapshot *snapshot)
{
	size_t count, i;
	const struct source_info *sources = snapshot_sources(snapshot, &count);

	checker->settings = checker->conf->settings;
	checker->settings.max_staleness_s = INT64_MAX;
	checker->settings.unknown_defer_after_s = INT64_MAX;
	checker->now = (int64_t)time(NULL);
	checker->view = (struct view){
		.snapshot = snapshot,
		.settings = &checker->settings,
		.now = checker->now,
		.memo = &checker->memo,
	};
	for (i = 0; i < count; i++) {
		if (sources[i].last_contact > checker->view.now) {
			checker->view.now = sources[i].last_contact;
		}
	}
	checker->knows_recipients = age_knows_recipients(&checker->view);
}

static int conclude(struct checker *checker, size_t directories)
{
	if (!report_print(checker->report, directories, checker->recipients,
		checker->failure == CX_OK)) {
		return EX_IOERR;
	}
	if (checker->failure == CX_ENOMEM) {
		complain("out of memory");
		return EX_OSERR;
	}
	if (checker->failure != CX_OK) {
		complain("the replica: %s; what is above is not all",
		    status_text(checker->failure));
		return EX_TEMPFAIL;
	}
	return report_total(checker->report) > 0 ? 1 : EX_OK;
}

static int check(const struct conf *conf, struct store *store, bool as_json)
{
	struct checker checker = { .conf = conf, .failure = CX_OK };
	struct snapshot *snapshot;
	struct errbuf err;
	size_t group, i, directories;
	int code;

	if (snapshot_begin(store, &snapshot, &err) != CX_OK) {
		complain("%s", err.text);
		return EX_TEMPFAIL;
	}
	checker.arena.size = RESOLVE_MEMORY;
	checker.arena.memory = malloc(checker.arena.size);
	if (checker.arena.memory == NULL) {
		snapshot_end(snapshot);
		complain("out of memory");
		return EX_OSERR;
	}
	buf_init(&checker.line);
	checker.report = report_new(as_json);
	for (group = 0; group < GROUP_COUNT; group++) {
		for (i = 0; i < groups[group]->count; i++) {
			report_add_check(checker.report, &groups[group]->checks[i]);
		}
	}
	ask_syncd(&checker);
	set_view(&checker, snapshot);
	(void)snapshot_sources(snapshot, &directories);
	run_all(&checker);
	snapshot_end(snapshot);
	code = conclude(&checker, directories);
	json_decref(checker.syncd);
	report_free(checker.report);
	buf_release(&checker.line);
	free(checker.arena.memory);
	return code;
}

static int run(const struct conf *conf, int argc, char **argv)
{
	struct store *store;
	struct errbuf err;
	bool as_json;
	int code;

	if (!takes_json(&command_check, argc, argv, &as_json)) {
		return EX_USAGE;
	}
	if (store_open(conf->replica, &store, &err) != CX_OK) {
		complain("%s", err.text);
		return EX_CONFIG;
	}
	code = check(conf, store, as_json);
	store_close(store);
	return code;
}

const struct command command_check = {
	.name = "check",
	.arguments = "[--json]",
	.help = "what is wrong in the directories: exit 0 nothing, 1 findings",
	.run = run,
};
