/* What runs in the containers of the boot: nothing, until it is told to end; with an argument it ends at once, as init containers do. */
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
