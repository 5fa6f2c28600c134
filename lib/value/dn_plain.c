#include "config.h"

#include "value/dn_plain.h"

/* What a byte may be part of. */
enum {
	IN_TYPE = 1,       /* an attribute type */
	STARTS_TYPE = 2,
	IN_VALUE = 4, /* a value, wherever in it */
};

#define LETTER (IN_TYPE | STARTS_TYPE | IN_VALUE)
#define DIGIT  (IN_TYPE | IN_VALUE)

/* clang-format off */
static const unsigned char classes[256] = {
	['a'] = LETTER, ['b'] = LETTER, ['c'] = LETTER, ['d'] = LETTER, ['e'] = LETTER,
	['f'] = LETTER, ['g'] = LETTER, ['h'] = LETTER, ['i'] = LETTER, ['j'] = LETTER,
	['k'] = LETTER, ['l'] = LETTER, ['m'] = LETTER, ['n'] = LETTER, ['o'] = LETTER,
	['p'] = LETTER, ['q'] = LETTER, ['r'] = LETTER, ['s'] = LETTER, ['t'] = LETTER,
	['u'] = LETTER, ['v'] = LETTER, ['w'] = LETTER, ['x'] = LETTER, ['y'] = LETTER,
	['z'] = LETTER,
	['A'] = LETTER, ['B'] = LETTER, ['C'] = LETTER, ['D'] = LETTER, ['E'] = LETTER,
	['F'] = LETTER, ['G'] = LETTER, ['H'] = LETTER, ['I'] = LETTER, ['J'] = LETTER,
	['K'] = LETTER, ['L'] = LETTER, ['M'] = LETTER, ['N'] = LETTER, ['O'] = LETTER,
	['P'] = LETTER, ['Q'] = LETTER, ['R'] = LETTER, ['S'] = LETTER, ['T'] = LETTER,
	['U'] = LETTER, ['V'] = LETTER, ['W'] = LETTER, ['X'] = LETTER, ['Y'] = LETTER,
	['Z'] = LETTER,
	['0'] = DIGIT, ['1'] = DIGIT, ['2'] = DIGIT, ['3'] = DIGIT, ['4'] = DIGIT,
	['5'] = DIGIT, ['6'] = DIGIT, ['7'] = DIGIT, ['8'] = DIGIT, ['9'] = DIGIT,
	['-'] = IN_TYPE | IN_VALUE,
	['.'] = IN_VALUE, ['_'] = IN_VALUE, ['@'] = IN_VALUE, ['\''] = IN_VALUE,
	['('] = IN_VALUE, [')'] = IN_VALUE, ['/'] = IN_VALUE, [':'] = IN_VALUE,
	['&'] = IN_VALUE, ['!'] = IN_VALUE, ['*'] = IN_VALUE, ['?'] = IN_VALUE,
};
/* clang-format on */

static bool is(char c, int class)
{
	return (classes[(unsigned char)c] & class) != 0;
}

/* The end of the type that begins at `at`: where its "=" stands; NULL: not plain. */
static const char *end_of_type(const char *at, const char *end)
{
	if (at == end || !is(*at, STARTS_TYPE)) {
		return NULL;
	}
	while (at < end && is(*at, IN_TYPE)) {
		at++;
	}
	return at < end && *at == '=' ? at : NULL;
}

/* The end of the value that begins at `at`: a comma, or the end; NULL: not plain. */
static const char *end_of_value(const char *at, const char *end)
{
	const char *start = at;

	while (at < end && *at != ',') {
		bool is_inner_blank = *at == ' ' && at > start && at[-1] != ' ' &&
				      at + 1 < end && at[1] != ',';

		if (!is_inner_blank && !is(*at, IN_VALUE)) {
			return NULL;
		}
		at++;
	}
	return at > start ? at : NULL;
}

static bool add(struct key *out, const char *from, const char *to)
{
	if ((size_t)(to - from) > ADDRESS_KEY_TEXT_MAX - out->len) {
		return false;
	}
	while (from < to) {
		out->bytes[out->len++] = ascii_lower(*from++);
	}
	return true;
}

static bool add_type(struct key *out, const char *from, const char *to)
{
	size_t start = out->len;

	if (!add(out, from, to)) {
		return false;
	}
	const char *canonical =
	    dn_type_canonical((struct span){ out->bytes + start, out->len - start });

	if (!canonical) {
		return true;
	}
	out->len = start;
	return add(out, canonical, canonical + strlen(canonical));
}

bool dn_plain_key(struct span dn, struct key *out)
{
	static const char prefix[] = "dn:";
	const char *at = dn.ptr, *end = dn.ptr + dn.len;

	if (dn.len == 0 || dn.len > DN_LEN_MAX) {
		return false;
	}
	out->len = 0;
	add(out, prefix, prefix + sizeof(prefix) - 1);
	for (;;) {
		const char *equals = end_of_type(at, end);
		const char *after = equals ? end_of_value(equals + 1, end) : NULL;

		if (!after || !add_type(out, at, equals) || !add(out, equals, after)) {
			return false;
		}
		if (after == end) {
			out->bytes[out->len] = '\0';
			return true;
		}
		if (!add(out, after, after + 1)) {
			return false;
		}
		at = after + 1;
	}
}

bool dn_plain_rdn_value(struct span dn, struct span *out)
{
	const char *at = dn.ptr, *end = dn.ptr + dn.len;
	bool is_first = true;

	if (dn.len == 0 || dn.len > DN_LEN_MAX) {
		return false;
	}
	/* All of it: what is no DN has no first RDN. */
	for (;;) {
		const char *equals = end_of_type(at, end);
		const char *after = equals ? end_of_value(equals + 1, end) : NULL;

		if (!after) {
			return false;
		}
		if (is_first) {
			*out = (struct span){ equals + 1, (size_t)(after - equals - 1) };
			is_first = false;
		}
		if (after == end) {
			return true;
		}
		at = after + 1;
	}
}
