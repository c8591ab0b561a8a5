/* A clock that a test can move: loaded into a server with LD_PRELOAD, it adds to the time of day what stands in a file.
 *
 * The file (its name is in TCC_TEST_CLOCK) holds one 64-bit number of microseconds. It is mapped, so a change counts at
 * the next look at the clock. Monotonic clocks are left alone: a machine's clock that is set right moves none of them.
 *
 * Nothing here allocates: libfaketime does, and comes to a halt in servers whose allocator looks at the clock (jemalloc). */

#define _GNU_SOURCE
#include <fcntl.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <sys/time.h>
#include <time.h>
#include <unistd.h>

static const volatile int64_t *ahead;

__attribute__((constructor)) static void load(void) {
    const char *file = getenv("TCC_TEST_CLOCK");
    int fd = file ? open(file, O_RDONLY | O_CLOEXEC) : -1;
    if (fd < 0) return;
    void *map = mmap(NULL, sizeof(int64_t), PROT_READ, MAP_SHARED, fd, 0);
    if (map != MAP_FAILED) ahead = map;
    close(fd);
}

static void now(struct timespec *time) {
    syscall(SYS_clock_gettime, CLOCK_REALTIME, time);
    if (ahead) {
        int64_t micros = (int64_t)time->tv_sec * 1000000 + time->tv_nsec / 1000 + *ahead;
        time->tv_sec = micros / 1000000;
        time->tv_nsec = micros % 1000000 * 1000 + time->tv_nsec % 1000;
    }
}

int clock_gettime(clockid_t clock, struct timespec *time) {
    if (clock != CLOCK_REALTIME && clock != CLOCK_REALTIME_COARSE) return syscall(SYS_clock_gettime, clock, time);
    now(time);
    return 0;
}

int gettimeofday(struct timeval *restrict tv, void *restrict zone) {
    (void)zone;
    struct timespec time;
    now(&time);
    tv->tv_sec = time.tv_sec;
    tv->tv_usec = time.tv_nsec / 1000;
    return 0;
}

time_t time(time_t *out) {
    struct timespec time;
    now(&time);
    if (out) *out = time.tv_sec;
    return time.tv_sec;
}
