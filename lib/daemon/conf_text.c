#include "config.h"

#include "daemon/conf_text.h"

#include <stdbool.h>
#include <string.h>

/* No brace stands deeper: a list in "attributes" in "directory". */
#define DEPTH_MAX 3

struct scan {
	char *p;
	char *end;
	int line;
	int depth;
	int opened_in[DEPTH_MAX]; /* lines of the braces that are open */
	bool wants_key;           /* a key or the name of a section comes next */
	bool wants_value;         /* "=" was last */
	bool is_in_list;
	struct errbuf *err;
};

static char peek(const struct scan *s, size_t ahead)
{
	return (size_t)(s->end - s->p) > ahead ? s->p[ahead] : '\0';
}

static enum status wrong(struct scan *s, const char *what)
{
	errbuf_set(s->err, "%s", what);
	return CX_ECONF;
}

static bool is_control(char c)
{
	return ((unsigned char)c < ' ' && c != '\t' && c != '\n' && c != '\r') ||
	       c == 0x7f;
}

/* "# ..." and "// ...", up to the end of the line. */
static void blank_line_comment(struct scan *s)
{
	while (s->p < s->end && *s->p != '\n') {
		*s->p++ = ' ';
	}
}

static enum status blank_block_comment(struct scan *s)
{
	int start = s->line;

	*s->p++ = ' ';
	*s->p++ = ' ';
	while (s->p < s->end) {
		if (peek(s, 0) == '*' && peek(s, 1) == '/') {
			*s->p++ = ' ';
			*s->p++ = ' ';
			return CX_OK;
		}
		if (*s->p == '\n') {
			s->line++;
		} else {
			*s->p = ' ';
		}
		s->p++;
	}
	s->line = start;
	return wrong(s, "this comment is not closed");
}

static enum status check_double_quoted(struct scan *s)
{
	char next = peek(s, 1);

	if (*s->p == '$' && next == '{') {
		return wrong(s,
		    "${...} is not replaced here; to mean it literally, use single quotes");
	}
	if (*s->p != '\\') {
		return CX_OK;
	}
	if (next != '"' && next != '\\' && next != '$') {
		return wrong(s,
		    "in double quotes a backslash stands before \\, \" and $ "
		    "only; use single quotes, or \\\\");
	}
	s->p++;
	return CX_OK;
}

static enum status skip_string(struct scan *s)
{
	char quote = *s->p++;

	for (; s->p < s->end && *s->p != '\n'; s->p++) {
		if (*s->p == quote) {
			s->p++;
			return CX_OK;
		}
		if (is_control(*s->p) || *s->p == '\r') {
			return wrong(s, "control character in a string");
		}
		if (quote == '"' && check_double_quoted(s) != CX_OK) {
			return CX_ECONF;
		}
		if (quote == '\'' && *s->p == '\\' &&
		    (peek(s, 1) == '\'' || peek(s, 1) == '\\')) {
			s->p++;
		}
	}
	return wrong(s, "this string is not closed");
}

/* A key, a number, an unquoted value: as far as libconfuse's lexer goes. */
static enum status skip_word(struct scan *s)
{
	while (s->p < s->end && strchr(" \t\r\n#\"'={}()+,*", *s->p) == NULL) {
		if (is_control(*s->p)) {
			return wrong(s, "control character");
		}
		if (peek(s, 0) == '$' && peek(s, 1) == '{') {
			return wrong(s, "${...} is not replaced here");
		}
		s->p++;
	}
	return CX_OK;
}

/* libconfuse would take the end of the file for all the closing braces. */
static enum status take_brace(struct scan *s, char brace)
{
	if (brace == '}' && s->depth > 0) {
		s->depth--;
	} else if (brace == '}') {
		return wrong(s, "this '}' closes nothing");
	} else if (s->depth == DEPTH_MAX) {
		return wrong(s, "unexpected '{'");
	} else {
		s->opened_in[s->depth++] = s->line;
	}
	s->is_in_list = brace == '{' && s->wants_value;
	s->wants_key = !s->is_in_list;
	s->wants_value = false;
	return CX_OK;
}

/* A word or a string was read: whether it was a key, a title or a value. */
static void take_text(struct scan *s)
{
	if (!s->is_in_list) {
		s->wants_key = s->wants_value;
		s->wants_value = false;
	}
}

static enum status take_string(struct scan *s)
{
	enum status status;

	/* libconfuse would take it, and give up on '' without a word */
	if (s->wants_key) {
		return wrong(s, "the name of an option has no quotes");
	}
	status = skip_string(s);
	take_text(s);
	return status;
}

static enum status take_mark(struct scan *s)
{
	char c = *s->p++;

	if (c == '\n') {
		s->line++;
	} else if (c == '\r') { /* of a file written on another system */
		s->p[-1] = ' ';
	} else if (c == '=') {
		s->wants_value = !s->is_in_list;
	} else if (c == ',' && !s->is_in_list) {
		return wrong(s,
		    "unexpected ',': a list needs braces, {\"a\", \"b\"}, and a value "
		    "with a comma in it, as dc=acme,dc=example, needs quotes");
	} else if (c == '{' || c == '}') {
		return take_brace(s, c);
	}
	return CX_OK;
}

static enum status take_word(struct scan *s)
{
	if (*s->p == '+' && peek(s, 1) == '=') {
		return wrong(s, "'+=' is not used here: write the whole list");
	}
	if (is_control(*s->p)) {
		return wrong(s, "control character");
	}
	if (strchr("+*()", *s->p) != NULL) {
		errbuf_set(s->err, "unexpected '%c': such a value needs quotes", *s->p);
		return CX_ECONF;
	}
	take_text(s);
	return skip_word(s);
}

static enum status take_token(struct scan *s)
{
	char c = *s->p;

	if (c == '#' || (c == '/' && peek(s, 1) == '/')) {
		blank_line_comment(s);
		return CX_OK;
	}
	if (c == '/' && peek(s, 1) == '*') {
		return blank_block_comment(s);
	}
	if (c == '"' || c == '\'') {
		return take_string(s);
	}
	if (c != '\0' && strchr(" \t\r\n={},", c) != NULL) {
		return take_mark(s);
	}
	return take_word(s);
}

enum status conf_text_clean(char *text, size_t len, int *line, struct errbuf *err)
{
	struct scan s = {
		.p = text, .end = text + len, .line = 1, .wants_key = true, .err = err
	};
	enum status status = CX_OK;

	while (status == CX_OK && s.p < s.end) {
		status = take_token(&s);
	}
	if (status == CX_OK && s.depth > 0) {
		s.line = s.opened_in[s.depth - 1];
		status = wrong(&s, "this '{' is not closed");
	}
	*line = s.line;
	return status;
}
