#include "config.h"

#include "milter/left_out.h"

#include <pthread.h>
#include <string.h>

#include "daemon/log.h"
#include "value/buf.h"

/* What was logged, as digests. */
static struct {
	pthread_mutex_t lock;
	uint8_t digests[LEFT_OUT_MAX][KEY_DIGEST_SIZE];
	size_t count; /* ever */
} logged = { .lock = PTHREAD_MUTEX_INITIALIZER };

static bool was_logged(const uint8_t digest[KEY_DIGEST_SIZE])
{
	size_t kept, i;
	bool was = false;

	pthread_mutex_lock(&logged.lock);
	kept = logged.count < LEFT_OUT_MAX ? logged.count : LEFT_OUT_MAX;
	for (i = 0; i < kept && !was; i++) {
		was = memcmp(logged.digests[i], digest, KEY_DIGEST_SIZE) == 0;
	}
	if (!was) {
		memcpy(logged.digests[logged.count++ % LEFT_OUT_MAX], digest,
		    KEY_DIGEST_SIZE);
	}
	pthread_mutex_unlock(&logged.lock);
	return was;
}

void left_out_report(const struct resolution *resolution)
{
	uint8_t digest[KEY_DIGEST_SIZE];
	struct buf line;

	if (resolution->verdict != VERDICT_DELIVER || resolution->missing_count == 0) {
		return;
	}
	buf_init(&line);
	buf_add_text(&line, "left out: object=\"");
	buf_add_escaped(&line, resolution->object);
	buf_add_text(&line, "\", missing=\"");
	buf_add_escaped(&line, resolution->missing);
	buf_printf(&line, "\", count=%zu", resolution->missing_count);
	if (!line.failed) {
		digest_of(buf_span(&line), digest);
		if (!was_logged(digest)) {
			log_warnx("%s", line.data);
		}
	}
	buf_release(&line);
}
