#include "config.h"

#include "forward/trace.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum {
	TEXT_SIZE = 22, /* of a token, in base64url without padding */
	TOKENS_A_LINE = 3,
	TIME_SIZE = 24,
	/* Of a clock ahead of ours. */
	FUTURE_S = 5 * 60,
};

static const char base64url[] =
    "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_";

static bool make_token(const struct trace_site *site, size_t secret,
    struct span message_id, int64_t when_s, const uint8_t object[TRACE_OBJECT_SIZE],
    uint8_t out[TRACE_TOKEN_SIZE])
{
	unsigned char mac[SECRET_MAC_SIZE];
	char when[TIME_SIZE];
	int when_len = snprintf(when, sizeof(when), "%" PRId64, when_s);
	/* The NULs keep one part from running into the next; the first says what this is. */
	const struct span parts[] = {
		SPAN("coexist trace\0"),
		site->organization,
		SPAN("\0"),
		{ when, (size_t)when_len },
		SPAN("\0"),
		message_id,
		SPAN("\0"),
		{ (const char *)object, TRACE_OBJECT_SIZE },
	};

	if (secrets_mac(site->secrets, secret, SECRET_SHA256, parts,
		sizeof(parts) / sizeof(parts[0]), mac) < TRACE_TOKEN_SIZE) {
		return false;
	}
	memcpy(out, mac, TRACE_TOKEN_SIZE);
	return true;
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

enum status trace_make(const struct trace_site *site, struct span message_id,
    int64_t now_s, const uint8_t (*objects)[TRACE_OBJECT_SIZE], size_t count,
    struct buf *out)
{
	uint8_t token[TRACE_TOKEN_SIZE];

	buf_add_span(out, site->organization);
	buf_printf(out, "; t=%" PRId64 "; o=", now_s);
	for (size_t i = 0; i < count && i < TRACE_WRITTEN_MAX; i++) {
		if (!make_token(site, 0, message_id, now_s, objects[i], token)) {
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

void trace_release(struct trace *trace)
{
	free(trace->tokens);
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

static bool read_token(struct span text, uint8_t out[TRACE_TOKEN_SIZE])
{
	unsigned held = 0, bits = 0;
	size_t len = 0;

	if (text.len != TEXT_SIZE) {
		return false;
	}
	for (size_t i = 0; i < TEXT_SIZE; i++) {
		const char *at = memchr(base64url, text.ptr[i], sizeof(base64url) - 1);

		if (!at) {
			return false;
		}
		held = held << 6 | (unsigned)(at - base64url);
		bits += 6;
		if (bits >= 8 && len < TRACE_TOKEN_SIZE) {
			bits -= 8;
			out[len++] = (uint8_t)(held >> bits);
		}
	}
	return true;
}

static bool is_blank(char c)
{
	return c == ' ' || c == '\t' || c == '\r' || c == '\n';
}

static struct span take_word(struct span *rest)
{
	size_t len = 0;

	*rest = span_trim(*rest);
	while (len < rest->len && !is_blank(rest->ptr[len])) {
		len++;
	}
	struct span word = { rest->ptr, len };

	rest->ptr += len;
	rest->len -= len;
	return word;
}

static bool make_room(struct trace *trace)
{
	if (trace->token_count < trace->token_room) {
		return true;
	}
	size_t room = trace->token_room ? 2 * trace->token_room : 16;
	void *grown = reallocarray(trace->tokens, room, TRACE_TOKEN_SIZE);

	if (!grown) {
		return false;
	}
	trace->tokens = grown;
	trace->token_room = room;
	return true;
}

static int compare_tokens(const void *a, const void *b)
{
	return memcmp(a, b, TRACE_TOKEN_SIZE);
}

enum status trace_add(struct trace *trace, const struct trace_site *site,
    struct span value, int64_t now_s)
{
	struct trace_part part = { .first = trace->token_count };
	struct span organization = take(&value, ';'), when = take(&value, ';');

	value = span_trim(value);
	if (!span_equal(organization, site->organization) || !take_name(&when, "t=") ||
	    !read_time(when, &part.when_s) || part.when_s > now_s + FUTURE_S ||
	    now_s - part.when_s > TRACE_MAX_AGE_S || !take_name(&value, "o=") ||
	    trace->part_count == TRACE_HEADERS_MAX) {
		return CX_OK;
	}
	while (trace->token_count < TRACE_TOKENS_MAX) {
		struct span word = take_word(&value);

		if (word.len == 0) {
			break;
		}
		if (!make_room(trace)) {
			trace->token_count = part.first;
			return CX_ENOMEM;
		}
		if (!read_token(word, trace->tokens[trace->token_count])) {
			trace->token_count = part.first;
			return CX_OK;
		}
		trace->token_count++;
	}
	part.count = trace->token_count - part.first;
	if (part.count > 0) {
		qsort(trace->tokens + part.first, part.count, TRACE_TOKEN_SIZE,
		    compare_tokens);
		trace->parts[trace->part_count++] = part;
	}
	return CX_OK;
}

enum status trace_has(const struct trace *trace, const struct trace_site *site,
    struct span message_id, const uint8_t object[TRACE_OBJECT_SIZE])
{
	uint8_t token[TRACE_TOKEN_SIZE];

	for (size_t i = 0; i < trace->part_count; i++) {
		const struct trace_part *part = &trace->parts[i];

		for (size_t secret = 0; secret < site->secrets->count; secret++) {
			if (!make_token(site, secret, message_id, part->when_s, object,
				token)) {
				return CX_ETEMP;
			}
			if (bsearch(token, trace->tokens + part->first, part->count,
				TRACE_TOKEN_SIZE, compare_tokens)) {
				return CX_OK;
			}
		}
	}
	return CX_NOTFOUND;
}
