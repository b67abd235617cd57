#define _GNU_SOURCE
#include <threads.h>
#include <pthread.h>
#include <time.h>
#include <errno.h>
/* cnd_timedwait of glibc, by the clock that libfaketime shows, also when that is set meanwhile; libfaketime leaves it out.
   It ends when the system's clock shows `until`, as POSIX has it for a clock that is set; librdkafka waits by it. */
int cnd_timedwait(cnd_t *c, mtx_t *m, const struct timespec *until) {
  for (;;) {
    struct timespec now, slice;
    timespec_get(&now, TIME_UTC);
    if (now.tv_sec > until->tv_sec || (now.tv_sec == until->tv_sec && now.tv_nsec >= until->tv_nsec)) return thrd_timedout;
    clock_gettime(CLOCK_MONOTONIC, &slice);
    long left = (until->tv_sec - now.tv_sec) > 1 ? 100000000L : (until->tv_sec - now.tv_sec) * 1000000000L + until->tv_nsec - now.tv_nsec;
    if (left > 100000000L) left = 100000000L;
    slice.tv_nsec += left; if (slice.tv_nsec >= 1000000000L) { slice.tv_sec++; slice.tv_nsec -= 1000000000L; }
    int rc = pthread_cond_clockwait((pthread_cond_t *)c, (pthread_mutex_t *)m, CLOCK_MONOTONIC, &slice);
    if (rc == 0) return thrd_success;
    if (rc != ETIMEDOUT) return thrd_error;
  }
}
