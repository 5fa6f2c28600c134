#include "config.h"

#include "metrics/page.h"

#include <inttypes.h>
#include <math.h>

static const char *const type_names[] = {
	[PAGE_COUNTER] = "counter",
	[PAGE_GAUGE] = "gauge",
};

static void add_family(struct buf *out, const char *name, const char *type,
    const char *help)
{
	buf_printf(out, "# HELP %s %s\n# TYPE %s %s\n", name, help, name, type);
}

void page_family(struct buf *out, const char *name, enum page_type type,
    const char *help)
{
	add_family(out, name, type_names[type], help);
}

/* In quotes: backslash, quote and line end have a backslash before them. */
static void add_value(struct buf *out, struct span value)
{
	struct buf printable;

	buf_init(&printable);
	buf_add_escaped(&printable, value);
	out->failed = out->failed || printable.failed;
	for (size_t i = 0; i < printable.len; i++) {
		char c = printable.data[i];

		if (c == '\\' || c == '"') {
			buf_add_char(out, '\\');
		}
		buf_add_char(out, c);
	}
	buf_release(&printable);
}

static void add_label(struct buf *out, const char *before,
    const struct page_label *label)
{
	buf_printf(out, "%s%s=\"", before, label->name);
	add_value(out, label->value);
	buf_add_char(out, '"');
}

/* `bound` (may be NULL) is the last label, of a histogram. */
static void add_series(struct buf *out, const char *name, const char *suffix,
    const struct page_label *labels, const char *bound)
{
	const char *before = "{";

	buf_printf(out, "%s%s", name, suffix);
	for (; labels != NULL && labels->name != NULL; labels++) {
		add_label(out, before, labels);
		before = ",";
	}
	if (bound != NULL) {
		buf_printf(out, "%sle=\"%s\"", before, bound);
		before = ",";
	}
	buf_add_text(out, *before == ',' ? "} " : " ");
}

void page_count(struct buf *out, const char *name, const struct page_label *labels,
    uint64_t value)
{
	add_series(out, name, "", labels, NULL);
	buf_printf(out, "%" PRIu64 "\n", value);
}

static void add_number(struct buf *out, double value)
{
	if (isnan(value)) {
		buf_add_text(out, "NaN\n");
	} else if (isinf(value)) {
		buf_add_text(out, value > 0 ? "+Inf\n" : "-Inf\n");
	} else {
		buf_printf(out, "%.15g\n", value);
	}
}

void page_number(struct buf *out, const char *name, const struct page_label *labels,
    double value)
{
	add_series(out, name, "", labels, NULL);
	add_number(out, value);
}

void page_counters(struct buf *out, const char *name, const char *help,
    const char *label, const char *const *names, const struct counter *numbers,
    size_t count)
{
	page_family(out, name, PAGE_COUNTER, help);
	for (size_t i = 0; i < count; i++) {
		page_count(out, name, PAGE_LABELS({ label, span_of(names[i]) }),
		    counter_value(&numbers[i]));
	}
}

void page_histogram_family(struct buf *out, const char *name, const char *help)
{
	add_family(out, name, "histogram", help);
}

void page_histogram(struct buf *out, const char *name, const struct page_label *label,
    const struct histogram *histogram)
{
	uint64_t count = 0, ns;

	for (size_t i = 0; i <= HISTOGRAM_BOUNDS; i++) {
		char bound[32] = "+Inf";

		count += counter_value(&histogram->classes[i]);
		if (i < HISTOGRAM_BOUNDS) {
			struct buf text;

			buf_init_fixed(&text, bound, sizeof(bound));
			buf_printf(&text, "%g", (double)histogram_bounds_ns[i] / 1e9);
		}
		add_series(out, name, "_bucket", label, bound);
		buf_printf(out, "%" PRIu64 "\n", count);
	}
	/* Whole: what is added are microseconds, when there are years already. */
	ns = counter_value(&histogram->sum_ns);
	add_series(out, name, "_sum", label, NULL);
	buf_printf(out, "%" PRIu64 ".%09" PRIu64 "\n", ns / 1000000000,
	    ns % 1000000000);
	add_series(out, name, "_count", label, NULL);
	buf_printf(out, "%" PRIu64 "\n", count);
}
