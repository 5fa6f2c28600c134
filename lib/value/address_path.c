#include "config.h"

#include "value/address.h"

#include <stdint.h>
#include <string.h>

/*
 * The address in a RCPT or MAIL command, read as Postfix's smtpd reads it: the
 * RFC 822 grammar from right to left, comments and phrases ignored, so that
 * "<@relay:Adam . Barr (x) @acme.example>" is Adam.Barr@acme.example. It must
 * agree with Postfix for whatever a client sends, sensible or not: smtpd asks
 * the policy service with its result, the milter sees only the command.
 *
 * Not judged here: what Postfix answers 501 to by its configuration
 * (strict_rfc821_envelopes, allow_min_user), or because the client did not ask
 * for SMTPUTF8. Such commands never get this far.
 */

#define PATH_MAX_TEXT 2048 /* Postfix's smtpd_line_length limit is 2048 */

#define WORD 0 /* an atom, a quoted string or a domain literal */

/* Operators are their own character. */
struct token {
	char op;
	uint16_t start, end; /* in `text` of the path */
};

struct path {
	struct token tokens[PATH_MAX_TEXT];
	int count;
	/* The tokens' text without quotes and backslashes, one after the other. */
	char text[PATH_MAX_TEXT + 2];
	uint16_t len;
	/* What was recognised: how many addresses, and the last one's tokens. */
	int addresses, first, last;
};

static bool is_blank(char c)
{
	return c == ' ' || c == '\t' || c == '\r' || c == '\n';
}

static bool is_space(char c)
{
	return is_blank(c) || c == '\v' || c == '\f';
}

static bool is_operator(char c)
{
	return c != '\0' && strchr("|%!()<>@,;:\".[]", c) != NULL;
}

static size_t count_spaces(struct span text)
{
	size_t count = 0;

	while (count < text.len && is_space(text.ptr[count])) {
		count++;
	}
	return count;
}

/*
 * Length of the first argument as smtpd's command parser sees it, 0 where a quote
 * or an angle bracket is not closed. Blanks within them do not end it.
 */
static size_t argument_length(struct span text)
{
	int depth = 0;
	bool is_quoted = false;
	size_t i;

	if (span_starts_with_case(text, SPAN("to:"))) {
		return 3;
	}
	if (span_starts_with_case(text, SPAN("from:"))) {
		return 5;
	}
	for (i = 0; i < text.len; i++) {
		char c = text.ptr[i];

		if (c == '\\') {
			i++;
		} else if (c == '"') {
			is_quoted = !is_quoted;
		} else if (is_quoted) {
			continue;
		} else if (c == '<') {
			depth++;
		} else if (c == '>' && depth > 0) {
			depth--;
		} else if (depth == 0 && is_space(c)) {
			break;
		}
	}
	if (depth > 0 || is_quoted) {
		return 0;
	}
	return i < text.len ? i : text.len; /* a backslash may have been the last */
}

/* The only argument, without the blanks around it; empty if there is not one. */
static struct span only_argument(struct span text)
{
	size_t spaces = count_spaces(text), len;
	struct span rest;

	text = (struct span){ text.ptr + spaces, text.len - spaces };
	len = argument_length(text);
	rest = (struct span){ text.ptr + len, text.len - len };
	return (struct span){ text.ptr, count_spaces(rest) == rest.len ? len : 0 };
}

/* Collects up to `end` ('\0': to the end of an atom); returns what is left. */
static struct span collect(struct path *path, struct span rest, char end)
{
	while (rest.len > 0) {
		char c = rest.ptr[0];

		if (c == '\\') {
			rest = (struct span){ rest.ptr + 1, rest.len - 1 };
			if (rest.len == 0) {
				break;
			}
			c = rest.ptr[0];
		} else if (end != '\0' ? c == end : is_blank(c) || is_operator(c)) {
			break;
		}
		path->text[path->len++] = is_blank(c) ? ' ' : c;
		rest = (struct span){ rest.ptr + 1, rest.len - 1 };
	}
	return rest;
}

/* Comments nest; one that is not closed runs to the end. */
static struct span skip_comment(struct span rest)
{
	int level = 1;
	size_t i = 0;

	while (i < rest.len && level > 0) {
		if (rest.ptr[i] == '(') {
			level++;
		} else if (rest.ptr[i] == ')') {
			level--;
		} else if (rest.ptr[i] == '\\' && i + 1 < rest.len) {
			i++;
		}
		i++;
	}
	return (struct span){ rest.ptr + i, rest.len - i };
}

static struct span collect_enclosed(struct path *path, struct span rest, char end)
{
	rest = collect(path, rest, end);
	if (rest.len > 0) {
		rest = (struct span){ rest.ptr + 1, rest.len - 1 };
	}
	return rest;
}

static void tokenize(struct path *path, struct span rest)
{
	while (rest.len > 0) {
		struct token *token = &path->tokens[path->count];
		struct span after = { rest.ptr + 1, rest.len - 1 };
		char c = rest.ptr[0];

		if (is_blank(c)) {
			rest = after;
			continue;
		}
		if (c == '(') {
			rest = skip_comment(after);
			continue;
		}
		*token = (struct token){ .op = WORD, .start = path->len };
		if (c == '[') {
			path->text[path->len++] = '[';
			rest = collect_enclosed(path, after, ']');
			path->text[path->len++] = ']';
		} else if (c == '"') {
			rest = collect_enclosed(path, after, '"');
		} else if (is_operator(c)) {
			token->op = c;
			path->text[path->len++] = c;
			rest = after;
		} else {
			rest = collect(path, rest, '\0');
		}
		token->end = path->len;
		path->count++;
	}
}

/* What stands between two tokens is an address, if anything stands there. */
static void found_between(struct path *path, int left, int right)
{
	if (left + 1 < right) {
		path->addresses++;
		path->first = left + 1;
		path->last = right - 1;
	}
}

/* The next token to the left, from this one on, that is one of these. */
static int seek_left(const struct path *path, int at, const char *operators)
{
	while (at >= 0 &&
	    (path->tokens[at].op == WORD || strchr(operators, path->tokens[at].op) == NULL)) {
		at--;
	}
	return at;
}

/*
 * From right to left, as the phrase in front of "<" is known only then. Two words
 * side by side are two addresses.
 */
static void recognize(struct path *path)
{
	bool may_be_word = true, in_group = false;
	int right = path->count, at = path->count - 1;

	while (at >= 0) {
		char op = path->tokens[at].op;

		if (op == '>') {
			found_between(path, at, right);
			right = at;
			at = seek_left(path, at, "<");
			found_between(path, at, right);
			right = at = seek_left(path, at, ">;,:");
			may_be_word = true;
			continue;
		}
		if (op == ':' && in_group) {
			found_between(path, at, right);
			right = at = seek_left(path, at, ",");
			continue;
		}
		if (op == ';' || op == ',') {
			found_between(path, at, right);
			right = at;
			in_group = in_group || op == ';';
			may_be_word = true;
		} else if (op == WORD) {
			if (!may_be_word) {
				found_between(path, at, right);
				right = at + 1;
			}
			may_be_word = false;
		} else {
			may_be_word = true;
		}
		at--;
	}
	found_between(path, -1, right);
}

/* Drops "<>" around it and a source route "@a,@b:" in front. */
static struct span strip_route(struct span text)
{
	const char *colon;

	if (text.len >= 2 && text.ptr[0] == '<' && text.ptr[text.len - 1] == '>') {
		text = (struct span){ text.ptr + 1, text.len - 2 };
	}
	if (text.len > 0 && text.ptr[0] == '@') {
		colon = memchr(text.ptr, ':', text.len);
		if (colon != NULL) {
			text.len -= (size_t)(colon + 1 - text.ptr);
			text.ptr = colon + 1;
		}
	}
	return text;
}

enum status address_parse_path(struct span text, struct address *out)
{
	struct path path;
	uint16_t start;

	if (text.len > PATH_MAX_TEXT) {
		return CX_ETOOLONG;
	}
	if (text.len == 0 || memchr(text.ptr, '\0', text.len) != NULL ||
	    memchr(text.ptr, '\n', text.len) != NULL) {
		return CX_EINVAL;
	}
	text = only_argument(text);
	path.count = path.addresses = 0;
	path.len = 0;
	tokenize(&path, strip_route(text));
	recognize(&path);
	if (path.addresses != 1) {
		return CX_EINVAL;
	}
	start = path.tokens[path.first].start;
	return address_parse_internal(
	    (struct span){ path.text + start, (size_t)(path.tokens[path.last].end - start) },
	    out);
}
