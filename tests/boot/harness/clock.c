/* LD_PRELOAD for one program: its time of day is ahead by the seconds in /etc/clock-ahead, and nothing else is. */
#define _GNU_SOURCE
#include <stdio.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

int clock_gettime(clockid_t clock, struct timespec *now)
{
    int result = syscall(SYS_clock_gettime, clock, now);
    FILE *file = result == 0 && clock == CLOCK_REALTIME ? fopen("/etc/clock-ahead", "re") : NULL;
    long ahead = 0;

    if (file != NULL) {
        if (fscanf(file, "%ld", &ahead) == 1)
            now->tv_sec += ahead;
        fclose(file);
    }
    return result;
}
