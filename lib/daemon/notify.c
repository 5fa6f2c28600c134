#include "config.h"

#include "daemon/process.h"

#include <inttypes.h>
#include <stdint.h>

#include "daemon/notify.h"

#ifdef HAVE_SYSTEMD

# include <systemd/sd-daemon.h>
# include <time.h>

void notify_ready(void)
{
	sd_notify(0, "READY=1");
}

/* The time is for Type=notify-reload (systemd 253); others ignore it. */
void process_reloading(void)
{
	struct timespec now;

	clock_gettime(CLOCK_MONOTONIC, &now);
	sd_notifyf(0, "RELOADING=1\nMONOTONIC_USEC=%" PRId64,
	    (int64_t)now.tv_sec * 1000000 + now.tv_nsec / 1000);
}

void process_stopping(void)
{
	sd_notify(0, "STOPPING=1");
}

unsigned process_watchdog_ms(void)
{
	uint64_t us;

	return sd_watchdog_enabled(0, &us) > 0 ? (unsigned)(us / 2000) : 0;
}

void process_alive(void)
{
	sd_notify(0, "WATCHDOG=1");
}

#else /* nobody to tell */

void notify_ready(void)
{
}

void process_reloading(void)
{
}

void process_stopping(void)
{
}

unsigned process_watchdog_ms(void)
{
	return 0;
}

void process_alive(void)
{
}

#endif
