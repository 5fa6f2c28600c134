#include "config.h"

#include "syncd/poll_mark.h"

#include <stdio.h>
#include <string.h>

#define MARK_VERSION 1
/* version, kind, at, slack (both little-endian), server */
#define MARK_SIZE (2 + 8 + 8 + POLL_MARK_SERVER)

#define DAY_S 86400
/* 9999-12-31T23:59:59Z: GeneralizedTime has four digits for the year. */
#define TIME_MAX INT64_C(253402300799)

/* --- Time --- */

/* `count` digits; false: there are not so many. */
static bool take_digits(struct span *rest, size_t count, int *out)
{
	*out = 0;
	if (rest->len < count) {
		return false;
	}
	for (size_t i = 0; i < count; i++) {
		if (rest->ptr[i] < '0' || rest->ptr[i] > '9') {
			return false;
		}
		*out = *out * 10 + (rest->ptr[i] - '0');
	}
	rest->ptr += count;
	rest->len -= count;
	return true;
}

static bool is_digit_next(struct span rest)
{
	return rest.len > 0 && rest.ptr[0] >= '0' && rest.ptr[0] <= '9';
}

static bool is_leap(int year)
{
	return (year % 4 == 0 && year % 100 != 0) || year % 400 == 0;
}

static int days_in(int year, int month)
{
	static const int days[] = { 31, 28, 31, 30, 31, 30, 31, 31, 30, 31, 30, 31 };

	return days[month - 1] + (month == 2 && is_leap(year));
}

/* Days since the epoch; the Gregorian calendar without a table of years. */
static int64_t days_of(int year, int month, int day)
{
	int64_t past = year - 1;
	int64_t days = past * 365 + past / 4 - past / 100 + past / 400;

	for (int m = 1; m < month; m++) {
		days += days_in(year, m);
	}
	return days + day - 1 - 719162; /* 0001-01-01 to 1970-01-01 */
}

/* Parts of the smallest unit given: they make less than a second, or are minutes of an hour. */
static bool take_fraction(struct span *rest, int unit_s, int64_t *seconds)
{
	int64_t scale = 10, sum = 0;
	size_t count = 0;

	if (rest->len == 0 || (rest->ptr[0] != '.' && rest->ptr[0] != ',')) {
		return true;
	}
	rest->ptr++;
	rest->len--;
	while (is_digit_next(*rest)) {
		int digit;

		take_digits(rest, 1, &digit);
		if (++count <= 9) {
			sum = sum * 10 + digit;
			scale *= 10;
		}
	}
	*seconds += sum * 10 * unit_s / scale;
	return count > 0;
}

static bool take_zone(struct span *rest, int64_t *seconds)
{
	int hours, minutes = 0, sign;

	if (rest->len == 1 && rest->ptr[0] == 'Z') {
		rest->len = 0;
		return true;
	}
	if (rest->len == 0 || (rest->ptr[0] != '+' && rest->ptr[0] != '-')) {
		return false;
	}
	sign = rest->ptr[0] == '+' ? 1 : -1;
	rest->ptr++;
	rest->len--;
	if (!take_digits(rest, 2, &hours) || hours > 23 ||
	    (rest->len > 0 && (!take_digits(rest, 2, &minutes) || minutes > 59))) {
		return false;
	}
	*seconds -= sign * (hours * 3600 + minutes * 60);
	return rest->len == 0;
}

bool poll_time_parse(struct span text, int64_t *out)
{
	int year, month, day, hour, minute = 0, second = 0, unit_s = 3600;
	int64_t seconds;

	if (!take_digits(&text, 4, &year) || !take_digits(&text, 2, &month) ||
	    !take_digits(&text, 2, &day) || !take_digits(&text, 2, &hour)) {
		return false;
	}
	if (is_digit_next(text)) {
		unit_s = 60;
		if (!take_digits(&text, 2, &minute)) {
			return false;
		}
		if (is_digit_next(text)) {
			unit_s = 1;
			if (!take_digits(&text, 2, &second)) {
				return false;
			}
		}
	}
	if (year < 1 || month < 1 || month > 12 || day < 1 ||
	    day > days_in(year, month) || hour > 23 || minute > 59 || second > 60) {
		return false;
	}
	seconds =
	    days_of(year, month, day) * DAY_S + hour * 3600 + minute * 60 + second;
	if (!take_fraction(&text, unit_s, &seconds) || !take_zone(&text, &seconds) ||
	    seconds < 0 || seconds > TIME_MAX) {
		return false;
	}
	*out = seconds;
	return true;
}

void poll_time_print(int64_t seconds, char out[POLL_TIME_TEXT])
{
	int year = 1970, month = 1, left;
	int64_t days;

	seconds = seconds < 0 ? 0 : seconds > TIME_MAX ? TIME_MAX : seconds;
	days = seconds / DAY_S;
	left = (int)(seconds % DAY_S);
	while (days >= 365 + is_leap(year)) {
		days -= 365 + is_leap(year++);
	}
	while (days >= days_in(year, month)) {
		days -= days_in(year, month++);
	}
	/* The unsigned types tell the compiler how much room it takes. */
	snprintf(out, POLL_TIME_TEXT, "%04u%02u%02u%02u%02u%02uZ",
	    (unsigned)year % 10000, (unsigned)month % 100, ((unsigned)days + 1) % 100,
	    (unsigned)(left / 3600) % 100, (unsigned)(left / 60 % 60) % 100,
	    (unsigned)(left % 60) % 100);
}

/* --- Counters --- */

bool poll_usn_parse(struct span text, int64_t *out)
{
	int64_t value = 0;

	if (text.len == 0 || text.len > 19) {
		return false;
	}
	for (size_t i = 0; i < text.len; i++) {
		int digit = text.ptr[i] - '0';

		if (digit < 0 || digit > 9 || value > (INT64_MAX - digit) / 10) {
			return false;
		}
		value = value * 10 + digit;
	}
	*out = value;
	return true;
}

/* --- The mark --- */

void poll_mark_filter(const struct poll_mark *mark, const char *filter,
    int64_t overlap_ms, struct buf *out)
{
	buf_printf(out, "(&%s", filter);
	if (mark->kind == POLL_MARK_USN) {
		buf_printf(out, "(uSNChanged>=%lld))",
		    (long long)(mark->at < INT64_MAX ? mark->at + 1 : mark->at));
	} else {
		char text[POLL_TIME_TEXT];
		int64_t overlap_s = (overlap_ms + 999) / 1000;

		/* A slack of any length must not wrap around. */
		poll_time_print(mark->slack_s > mark->at - overlap_s
				    ? 0
				    : mark->at - overlap_s - mark->slack_s,
		    text);
		buf_printf(out, "(modifyTimestamp>=%s))", text);
	}
}

static void add_number(struct buf *out, int64_t value)
{
	for (size_t i = 0; i < sizeof(value); i++) {
		buf_add_char(out, (char)((uint64_t)value >> (8 * i)));
	}
}

static int64_t number_at(const char *bytes)
{
	uint64_t value = 0;

	for (size_t i = sizeof(value); i > 0; i--) {
		value = value << 8 | (uint8_t)bytes[i - 1];
	}
	return (int64_t)value;
}

void poll_mark_print(const struct poll_mark *mark, struct buf *out)
{
	buf_add_char(out, MARK_VERSION);
	buf_add_char(out, (char)mark->kind);
	add_number(out, mark->at);
	add_number(out, mark->slack_s);
	buf_add(out, mark->server, sizeof(mark->server));
}

enum status poll_mark_parse(struct span stored, struct poll_mark *out)
{
	if (stored.len != MARK_SIZE || stored.ptr[0] != MARK_VERSION ||
	    (stored.ptr[1] != POLL_MARK_TIME && stored.ptr[1] != POLL_MARK_USN)) {
		return CX_EINVAL;
	}
	out->kind = (enum poll_mark_kind)stored.ptr[1];
	out->at = number_at(stored.ptr + 2);
	out->slack_s = number_at(stored.ptr + 10);
	memcpy(out->server, stored.ptr + 18, sizeof(out->server));
	return out->at < 0 || out->slack_s < 0 ? CX_EINVAL : CX_OK;
}
