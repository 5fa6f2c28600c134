#include "config.h"

#include "milter/flight.h"

#include <pthread.h>
#include <time.h>

static struct {
	pthread_mutex_t lock;
	pthread_cond_t is_idle;
	unsigned count;
	bool is_stopping;
} flight = { PTHREAD_MUTEX_INITIALIZER, PTHREAD_COND_INITIALIZER, 0, false };

bool flight_enter(void)
{
	bool may;

	pthread_mutex_lock(&flight.lock);
	may = !flight.is_stopping;
	if (may) {
		flight.count++;
	}
	pthread_mutex_unlock(&flight.lock);
	return may;
}

void flight_leave(void)
{
	pthread_mutex_lock(&flight.lock);
	if (--flight.count == 0) {
		pthread_cond_broadcast(&flight.is_idle);
	}
	pthread_mutex_unlock(&flight.lock);
}

unsigned flight_close(void)
{
	unsigned count;

	pthread_mutex_lock(&flight.lock);
	flight.is_stopping = true;
	count = flight.count;
	pthread_mutex_unlock(&flight.lock);
	return count;
}

bool flight_wait(int wait_s)
{
	struct timespec until;
	bool is_idle;
	int result = 0;

	clock_gettime(CLOCK_MONOTONIC, &until);
	until.tv_sec += wait_s;
	pthread_mutex_lock(&flight.lock);
	while (flight.count > 0 && result == 0) {
		result = pthread_cond_clockwait(&flight.is_idle, &flight.lock,
		    CLOCK_MONOTONIC, &until);
	}
	is_idle = flight.count == 0;
	pthread_mutex_unlock(&flight.lock);
	return is_idle;
}
