#include "config.h"

#include "forward/trace.h"

#include <inttypes.h>
#include <openssl/crypto.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum {
	TEXT_SIZE = 22, /* of a token, in base64url without padding */
	TOKENS_A_LINE = 3,
	TIME_SIZE = 24,
	/* Of a clock ahead of ours: what is signed comes from a server of the site. */
	FUTURE_S = 24 * 60 * 60,
	TOKENS_MAX = 1 + TRACE_WRITTEN_MAX,
};

static const char base64url[] =
    "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_";

/* What the first token of a header is made for; no object has this id. */
static const uint8_t the_header[TRACE_OBJECT_SIZE] = { 0 };

/* --- Tokens --- */

static bool is_blank(char c)
{
	return (unsigned char)c <= ' ' || c == 0x7f;
}

static bool make_token(const struct trace_site *site, size_t secret,
    const struct trace_message *message, const struct trace_part *part,
    const uint8_t object[TRACE_OBJECT_SIZE], uint8_t out[TRACE_TOKEN_SIZE])
{
	unsigned char mac[SECRET_MAC_SIZE];
	char when[TIME_SIZE];
	int when_len = snprintf(when, sizeof(when), "%" PRId64, part->when_s);
	/*
	 * The NULs keep one part from running into the next; what follows them has one length.
	 * The first says what this is.
	 */
	const struct span parts[] = {
		SPAN("coexist trace\0"),
		site->organization,
		SPAN("\0"),
		{ when, (size_t)when_len },
		SPAN("\0"),
		{ part->queue_id, part->queue_id_len },
		part->is_by_date ? SPAN("\0d") : SPAN("\0o"),
		{ (const char *)(part->is_by_date ? message->date : message->id),
		    KEY_DIGEST_SIZE },
		{ (const char *)(part->is_by_date ? message->from : message->id),
		    KEY_DIGEST_SIZE },
		{ (const char *)message->sendings, KEY_DIGEST_SIZE },
		{ (const char *)object, TRACE_OBJECT_SIZE },
	};

	if (secrets_mac(site->secrets, secret, SECRET_SHA256, parts,
		sizeof(parts) / sizeof(parts[0]), mac) < TRACE_TOKEN_SIZE) {
		return false;
	}
	memcpy(out, mac, TRACE_TOKEN_SIZE);
	return true;
}

static void set_queue_id(struct trace_part *part, struct span id)
{
	part->queue_id_len = 0;
	for (size_t i = 0; i < id.len; i++) {
		char c = id.ptr[i];

		if (i == TRACE_QUEUE_MAX ||
		    !((c >= '0' && c <= '9') ||
			((c | 0x20) >= 'a' && (c | 0x20) <= 'z'))) {
			return;
		}
	}
	if (id.len > 0) {
		memcpy(part->queue_id, id.ptr, id.len);
	}
	part->queue_id_len = id.len;
}

static void print_token(const uint8_t token[TRACE_TOKEN_SIZE], struct buf *out)
{
	unsigned held = 0, bits = 0;

	for (size_t i = 0; i < TRACE_TOKEN_SIZE; i++) {
		held = held << 8 | token[i];
		for (bits += 8; bits >= 6; bits -= 6) {
			buf_add_char(out, base64url[held >> (bits - 6) & 63]);
		}
	}
	buf_add_char(out, base64url[held << (6 - bits) & 63]);
}

enum status trace_make(const struct trace_site *site,
    const struct trace_message *message, int64_t now_s, struct span queue_id,
    const uint8_t (*objects)[TRACE_OBJECT_SIZE], size_t count, struct buf *out)
{
	struct trace_part part = { .when_s = now_s, .is_by_date = !message->has_id };
	uint8_t token[TRACE_TOKEN_SIZE];

	set_queue_id(&part, queue_id);
	buf_add_span(out, site->organization);
	buf_printf(out, "; t=%" PRId64 "; q=%.*s;\n %c=", now_s, (int)part.queue_id_len,
	    part.queue_id, part.is_by_date ? 'd' : 'o');
	for (size_t i = 0; i <= count && i < TOKENS_MAX; i++) {
		if (!make_token(site, 0, message, &part,
			i == 0 ? the_header : objects[i - 1], token)) {
			return CX_ETEMP;
		}
		if (i > 0) {
			buf_add_text(out, i % TOKENS_A_LINE ? " " : "\n ");
		}
		print_token(token, out);
	}
	return out->failed ? CX_ENOMEM : CX_OK;
}

/* --- Reading --- */

void trace_init(struct trace *trace)
{
	memset(trace, 0, sizeof(*trace));
}

static void release_part(struct trace_part *part)
{
	free(part->tokens);
	*part = (struct trace_part){ 0 };
}

void trace_release(struct trace *trace)
{
	for (size_t i = 0; i < trace->part_count; i++) {
		release_part(&trace->parts[i]);
	}
	trace_init(trace);
}

/* The text before the next `end`, trimmed; all of it where there is none. */
static struct span take(struct span *rest, char end)
{
	const char *at = rest->len ? memchr(rest->ptr, end, rest->len) : NULL;
	struct span head = { rest->ptr, at ? (size_t)(at - rest->ptr) : rest->len };

	*rest = at ? (struct span){ at + 1, rest->len - head.len - 1 }
		   : (struct span){ NULL, 0 };
	return span_trim(head);
}

static bool take_name(struct span *text, const char *name)
{
	struct span prefix = span_of(name);

	if (text->len < prefix.len || memcmp(text->ptr, prefix.ptr, prefix.len) != 0) {
		return false;
	}
	text->ptr += prefix.len;
	text->len -= prefix.len;
	return true;
}

static bool read_time(struct span text, int64_t *out)
{
	int64_t value = 0;

	if (text.len == 0 || text.len > 12) {
		return false;
	}
	for (size_t i = 0; i < text.len; i++) {
		if (text.ptr[i] < '0' || text.ptr[i] > '9') {
			return false;
		}
		value = 10 * value + (text.ptr[i] - '0');
	}
	*out = value;
	return true;
}

/* One token; false: there is no whole one. */
static bool take_token(struct span *rest, uint8_t out[TRACE_TOKEN_SIZE])
{
	unsigned held = 0, bits = 0;
	size_t len = 0, digits = 0;

	for (; rest->len > 0 && digits < TEXT_SIZE; rest->ptr++, rest->len--) {
		const char *at;

		if (is_blank(*rest->ptr)) {
			continue;
		}
		at = memchr(base64url, *rest->ptr, sizeof(base64url) - 1);
		if (!at) {
			return false;
		}
		digits++;
		held = held << 6 | (unsigned)(at - base64url);
		bits += 6;
		if (bits >= 8 && len < TRACE_TOKEN_SIZE) {
			bits -= 8;
			out[len++] = (uint8_t)(held >> bits);
		}
	}
	return digits == TEXT_SIZE;
}

/* All that are whole. */
static enum status read_tokens(struct span text, struct trace_part *part)
{
	size_t room = text.len / TEXT_SIZE;

	if (room == 0) {
		return CX_OK;
	}
	room = room < TOKENS_MAX ? room : TOKENS_MAX;
	part->tokens = calloc(room, TRACE_TOKEN_SIZE);
	if (!part->tokens) {
		return CX_ENOMEM;
	}
	while (part->count < room && take_token(&text, part->tokens[part->count])) {
		part->count++;
	}
	return CX_OK;
}

static bool read_head(struct span *value, struct span organization, int64_t now_s,
    struct trace_part *part)
{
	struct span name = take(value, ';'), when = take(value, ';');
	struct span queue_id = take(value, ';');

	if (!span_equal(name, organization) || !take_name(&when, "t=") ||
	    !read_time(when, &part->when_s) || part->when_s > now_s + FUTURE_S ||
	    now_s - part->when_s > TRACE_MAX_AGE_S || !take_name(&queue_id, "q=")) {
		return false;
	}
	set_queue_id(part, queue_id);
	*value = span_trim(*value);
	part->is_by_date = take_name(value, "d=");
	return part->is_by_date || take_name(value, "o=");
}

static void keep_part(struct trace *trace, const struct trace_part *part)
{
	if (trace->part_count < TRACE_HEADERS_MAX) {
		trace->parts[trace->part_count++] = *part;
		return;
	}
	release_part(&trace->parts[trace->next]);
	trace->parts[trace->next] = *part;
	trace->next = (trace->next + 1) % TRACE_HEADERS_MAX;
}

enum status trace_add(struct trace *trace, const struct trace_site *site,
    struct span value, int64_t now_s)
{
	struct trace_part part = { 0 };
	enum status status;

	if (!read_head(&value, site->organization, now_s, &part)) {
		return CX_OK;
	}
	status = read_tokens(value, &part);
	if (part.count > 0) {
		keep_part(trace, &part);
	} else {
		release_part(&part);
	}
	return status;
}

static int compare_tokens(const void *a, const void *b)
{
	return memcmp(a, b, TRACE_TOKEN_SIZE);
}

/* CX_NOTFOUND: forged, or of another message. */
static enum status verify_part(struct trace_part *part, const struct trace_site *site,
    const struct trace_message *message)
{
	uint8_t token[TRACE_TOKEN_SIZE];

	for (size_t secret = 0; secret < site->secrets->count; secret++) {
		if (!make_token(site, secret, message, part, the_header, token)) {
			return CX_ETEMP;
		}
		if (CRYPTO_memcmp(token, part->tokens[0], TRACE_TOKEN_SIZE) == 0) {
			part->secret = secret;
			return CX_OK;
		}
	}
	return CX_NOTFOUND;
}

static bool is_of(const struct trace_part *part, struct span queue_id)
{
	return queue_id.len > 0 && span_equal(queue_id, (struct span){ part->queue_id,
							    part->queue_id_len });
}

enum status trace_verify(struct trace *trace, const struct trace_site *site,
    const struct trace_message *message, struct span queue_id)
{
	size_t count = trace->part_count;
	enum status result = CX_OK;

	trace->part_count = 0;
	trace->next = 0;
	for (size_t i = 0; i < count; i++) {
		struct trace_part part = trace->parts[i];
		enum status status = verify_part(&part, site, message);

		if (status == CX_OK && !is_of(&part, queue_id)) {
			qsort(part.tokens, part.count, TRACE_TOKEN_SIZE,
			    compare_tokens);
			trace->parts[trace->part_count++] = part;
		} else {
			release_part(&part);
			result = status == CX_ETEMP ? status : result;
		}
	}
	return result;
}

enum status trace_has(const struct trace *trace, const struct trace_site *site,
    const struct trace_message *message, const uint8_t object[TRACE_OBJECT_SIZE])
{
	uint8_t token[TRACE_TOKEN_SIZE];

	for (size_t i = 0; i < trace->part_count; i++) {
		const struct trace_part *part = &trace->parts[i];

		if (!make_token(site, part->secret, message, part, object, token)) {
			return CX_ETEMP;
		}
		if (bsearch(token, part->tokens, part->count, TRACE_TOKEN_SIZE,
			compare_tokens)) {
			return CX_OK;
		}
	}
	return CX_NOTFOUND;
}
