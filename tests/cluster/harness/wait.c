/* The program of the containers in the boot test: it waits for SIGTERM. With an argument it exits immediately, like an init
 * container. */
#include <signal.h>
#include <unistd.h>

static void end(int signal) { _exit(0 * signal); }

int main(int count, char **arguments) {
    (void)arguments;
    signal(SIGTERM, end);
    while (count == 1)
        pause();
    return 0;
}
