#include "config.h"

#include "value/errbuf.h"

#include <stdarg.h>
#include <stdbool.h>
#include <stdio.h>
#include <string.h>

/* One line without control characters, not cut within a UTF-8 sequence. */
static void clean(char *text, bool was_cut)
{
	size_t len = strlen(text);

	if (was_cut) {
		size_t start = len;

		while (start > 0 && ((unsigned char)text[start - 1] & 0xc0) == 0x80) {
			start--;
		}
		if (start > 0 && (unsigned char)text[start - 1] >= 0xc0) {
			len = start - 1;
			text[len] = '\0';
		}
	}
	while (len > 0 && text[len - 1] == '\n') {
		text[--len] = '\0';
	}
	for (char *p = text; *p != '\0'; p++) {
		if ((unsigned char)*p < 0x20 || *p == 0x7f) {
			*p = '?';
		}
	}
}

/* The arguments may point into the text: it is written aside first. */
void errbuf_set(struct errbuf *err, const char *fmt, ...)
{
	struct errbuf text;
	va_list args;
	int len;

	va_start(args, fmt);
	len = vsnprintf(text.text, sizeof(text.text), fmt, args);
	va_end(args);
	if (len < 0) {
		text.text[0] = '\0';
	}
	clean(text.text, len >= (int)sizeof(text.text));
	*err = text;
}

void errbuf_prefix(struct errbuf *err, const char *fmt, ...)
{
	struct errbuf prefix;
	va_list args;
	size_t len;
	int rest;

	va_start(args, fmt);
	rest = vsnprintf(prefix.text, sizeof(prefix.text), fmt, args);
	va_end(args);
	if (rest < 0) {
		return;
	}
	clean(prefix.text, rest >= (int)sizeof(prefix.text));
	len = strlen(prefix.text);
	rest = snprintf(prefix.text + len, sizeof(prefix.text) - len, ": %s", err->text);
	clean(prefix.text, rest >= (int)(sizeof(prefix.text) - len));
	*err = prefix;
}
