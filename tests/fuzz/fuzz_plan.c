#include "config.h"

#include <string.h>

#include "fuzz.h"
#include "milter/dsn_text.h"
#include "milter/plan.h"

/*
 * A message: the first byte says which MTA and how it came, then a line for each recipient:
 * path, arguments and deliveries, with tabs between them. A delivery is a letter for its
 * kind and an address, or "=" for the recipient itself.
 */
#define WORDS_MAX 12

struct line {
	struct span typed;
	char *arguments[WORDS_MAX + 1];
	size_t argument_count;
	struct span words[WORDS_MAX];
	size_t word_count;
};

static char *text_of(struct span span)
{
	char *text = malloc(span.len + 1);

	FUZZ_CHECK(text);
	memcpy(text, span.ptr, span.len);
	text[span.len] = '\0';
	return text;
}

static struct span next_word(struct span *rest, char delimiter)
{
	const char *end = rest->len ? memchr(rest->ptr, delimiter, rest->len) : NULL;
	struct span word = { rest->ptr, end ? (size_t)(end - rest->ptr) : rest->len };
	size_t skip = word.len + (end ? 1 : 0);

	rest->ptr += skip;
	rest->len -= skip;
	return word;
}

static void read_line(struct span text, struct line *line)
{
	memset(line, 0, sizeof(*line));
	line->typed = next_word(&text, '\t');
	while (text.len > 0) {
		struct span word = next_word(&text, '\t');

		if (memchr(word.ptr, '=', word.len) && word.len > 1 &&
		    line->argument_count < WORDS_MAX) {
			line->arguments[line->argument_count++] = text_of(word);
		} else if (word.len > 0 && line->word_count < WORDS_MAX) {
			line->words[line->word_count++] = word;
		}
	}
}

static size_t make_deliveries(const struct line *line, struct delivery *deliveries,
    struct key *keys, struct buf *texts)
{
	struct address address;
	size_t count = 0;

	for (size_t i = 0; i < line->word_count; i++) {
		struct span word = line->words[i];
		struct delivery *delivery = &deliveries[count];

		*delivery = (struct delivery){ .is_unchanged = word.ptr[0] == '=' };
		if (!delivery->is_unchanged) {
			struct span to = { word.ptr + 1, word.len - 1 };

			if (address_parse_path(to, &address) != CX_OK) {
				continue;
			}
			delivery->kind = (enum delivery_kind)((unsigned char)word.ptr[0] % 4);
			address_print(&address, &texts[count]);
			delivery->address = buf_span(&texts[count]);
			address_key(&address, &keys[count]);
			delivery->key = key_span(&keys[count]);
		}
		count++;
	}
	return count;
}

static void add_line(struct envelope *envelope, struct span text)
{
	static struct delivery deliveries[WORDS_MAX];
	static struct key keys[WORDS_MAX];
	struct resolution resolution = { .verdict = VERDICT_DELIVER, .deliveries = deliveries };
	struct buf texts[WORDS_MAX + 1];
	struct address address;
	struct line line;
	struct dsn dsn;
	struct key key;
	struct envelope_entry entry = { .dsn = &dsn };
	const struct envelope_recipient *same = NULL;

	for (size_t i = 0; i <= WORDS_MAX; i++) {
		buf_init(&texts[i]);
	}
	read_line(text, &line);
	entry.typed = line.typed;
	dsn_parse((const char *const *)line.arguments, &dsn);
	if (address_parse_path(line.typed, &address) == CX_OK) {
		address_key(&address, &key);
		address_print(&address, &texts[WORDS_MAX]);
		entry.key = key_span(&key);
		entry.text = buf_span(&texts[WORDS_MAX]);
		same = envelope_find(envelope, entry.key);
	}
	/* What is no address has no deliveries. */
	if (entry.key.len > 0) {
		resolution.delivery_count = make_deliveries(&line, deliveries, keys, texts);
	}
	if (same) {
		FUZZ_CHECK(envelope_add_same(envelope, &entry, same) == CX_OK);
	} else if (resolution.delivery_count > 0) {
		enum status status = envelope_add(envelope, &entry, &resolution, 20);

		FUZZ_CHECK(status == CX_OK || status == CX_EFULL);
	} else {
		FUZZ_CHECK(envelope_add_untouched(envelope, &entry) == CX_OK);
	}
	for (size_t i = 0; i < line.argument_count; i++) {
		free(line.arguments[i]);
	}
	for (size_t i = 0; i <= WORDS_MAX; i++) {
		buf_release(&texts[i]);
	}
}

/* NOTIFY, ORCPT, or both: what Postfix would drop, and Sendmail choke on. */
static void check_arguments(enum mta mta, const char *arguments)
{
	const char *blank = strchr(arguments, ' ');
	const char *orcpt = strstr(arguments, "ORCPT=");
	const char *value = orcpt ? strchr(orcpt, ';') : NULL;

	FUZZ_CHECK(orcpt == NULL || orcpt == (blank ? blank + 1 : arguments));
	FUZZ_CHECK(blank == NULL || (orcpt && strncmp(arguments, "NOTIFY=", 7) == 0));
	for (const char *p = arguments; *p; p++) {
		unsigned char c = (unsigned char)*p;

		FUZZ_CHECK(p == blank || (c > ' ' && c != 0x7f));
		FUZZ_CHECK(c < 0x7f || mta == MTA_POSTFIX);
	}
	FUZZ_CHECK(orcpt == NULL || (value && value[1]));
	if (orcpt && mta == MTA_SENDMAIL) {
		FUZZ_CHECK(dsn_is_xtext(span_of(orcpt + strlen("ORCPT="))));
	}
}

/* An edit's address is parsed as it stands, not as the argument of a command. */
static bool read_key(const char *text, struct key *key)
{
	struct address address;
	struct buf path;
	enum status status;

	/* An argument never starts with one: smtpd has cut it off. */
	for (const char *p = text; *p; p++) {
		if ((unsigned char)*p <= ' ') {
			return false;
		}
	}
	buf_init(&path);
	buf_add_text(&path, text[0] == '<' ? "" : "<");
	buf_add_text(&path, text);
	buf_add_text(&path, text[0] == '<' ? "" : ">");
	status = address_parse_path(buf_span(&path), &address);
	buf_release(&path);
	if (status == CX_OK) {
		address_key(&address, key);
	}
	return status == CX_OK;
}

static bool is_same_address(const char *a, const char *b)
{
	struct key key_a, key_b;

	return read_key(a, &key_a) && read_key(b, &key_b) && key_equal(&key_a, &key_b);
}

/* Local submissions come as the MTA prints addresses: other spellings are no matter there. */
static bool is_same(const struct envelope *envelope, const char *a, const char *b)
{
	if (envelope->is_local_submission) {
		return span_equal(dsn_strip_brackets(span_of(a)),
		    dsn_strip_brackets(span_of(b)));
	}
	return is_same_address(a, b);
}

static void check_plan(const struct envelope *envelope, const struct plan *plan)
{
	FUZZ_CHECK(plan->add_count <= plan->count);
	for (size_t i = 0; i < plan->count; i++) {
		const struct edit *edit = &plan->edits[i];

		/* Additions first. */
		FUZZ_CHECK((edit->kind == EDIT_ADD) == (i < plan->add_count));
		if (edit->kind == EDIT_ADD) {
			check_arguments(envelope->mta, edit->arguments);
		}
		/* Nothing twice, nothing added and deleted. */
		for (size_t j = 0; j < i; j++) {
			const struct edit *other = &plan->edits[j];

			FUZZ_CHECK(edit->kind != other->kind ||
			    strcmp(edit->address, other->address) != 0);
			FUZZ_CHECK(edit->kind == other->kind ||
			    !is_same(envelope, edit->address, other->address));
		}
	}
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	char *copy = malloc(size + 1);
	struct span rest = { copy, size };
	struct envelope envelope;
	struct plan plan;

	FUZZ_CHECK(copy);
	if (size == 0 || size > 4096) {
		free(copy);
		return 0;
	}
	memcpy(copy, data, size);
	envelope_init(&envelope);
	plan_init(&plan);
	/* There are local submissions with Postfix only. */
	envelope_begin(&envelope, (copy[0] & 3) == 1 ? MTA_SENDMAIL : MTA_POSTFIX, copy[0] & 2);
	next_word(&rest, '\n');
	while (rest.len > 0 && envelope.recipient_count < 40) {
		struct span line = next_word(&rest, '\n');

		/* RCPT is a C string to libmilter. */
		if (line.len > 0 && memchr(line.ptr, '\0', line.len) == NULL) {
			add_line(&envelope, line);
		}
	}
	FUZZ_CHECK(plan_make(&envelope, &plan) == CX_OK);
	check_plan(&envelope, &plan);
	FUZZ_CHECK(plan.count == 0 || !envelope_changes_nothing(&envelope));
	plan_release(&plan);
	envelope_release(&envelope);
	free(copy);
	return 0;
}
