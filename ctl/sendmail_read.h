#ifndef CX_CTL_SENDMAIL_READ_H
#define CX_CTL_SENDMAIL_READ_H

#include "ctl/sendmail.h"

/*
 * What the files that read a configuration of Sendmail share; nobody else includes it.
 *
 *   sendmail_files.c  the file that is judged, and those that have a say in it
 *   sendmail_read.c   what is complained of
 *   sendmail_mc.c     what is written for m4
 *   sendmail_cf.c     what m4 has made of it
 */
struct reader {
	const struct conf *conf;
	const char *name; /* of the file, and the line in it, that is read */
	unsigned line;
	unsigned behind; /* lines that carry it on */
	unsigned depth;  /* of files included */
	unsigned found;
	bool is_cf;
	bool has_calls; /* it is for m4 */
	bool has_filter;
	bool is_filter_last;
	bool has_uucp;
	bool is_quiet; /* neither VRFY nor EXPN */
	bool has_rules;
	bool has_hop;  /* the port of SRS */
	bool has_port; /* one for mail of others */
	unsigned maps; /* bits */
};

/* Complains of the line: `what` is a word of ours, or a plain one of the file's. */
void reader_find(struct reader *, struct span what, const char *why);

/* What both kinds of file say, in words of their own. Values may have blanks around. */
void reader_feature(struct reader *, struct span name);
void reader_filter(struct reader *, struct span name, struct span equates);
/* The list of filters, with commas or blanks between. */
void reader_filter_list(struct reader *, struct span names);
void reader_daemon(struct reader *, struct span options);
void reader_privacy(struct reader *, struct span flags);
void reader_dont_blame(struct reader *, struct span flags);
/* "Kdomains socket ...", without the K. */
void reader_map(struct reader *, struct span line);

/* Complains of what is missing when all is read. */
void reader_judge_whole(struct reader *);

/* Another file that has a say: its name may be that of a file beside the one that is read. */
void reader_include(struct reader *, struct span path, bool must_exist);
/* Lines of the table of access: those that let somebody relay. */
void reader_access(struct reader *, struct span path);
/* Lines of a file of class R. */
void reader_relay_domains(struct reader *, struct span path);

void mc_read(struct reader *, struct span text);
void cf_read(struct reader *, struct span text);
bool cf_is_one(struct span text);

bool span_contains(struct span, const char *word);
/* What stands before the next of `separators`, which is stepped over, without blanks around. */
struct span span_next(struct span *rest, const char *separators);
/* The next line, with those that carry it on; counts lines. */
struct span reader_line(struct reader *, struct span *rest);

#endif
