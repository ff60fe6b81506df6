/* Running the program: with the terminal, the streams, the signal dispositions and the exit status that it would have
 * without us.
 *
 * The program is in our process group, so what the terminal sends (interrupt, quit, stop) reaches it by itself; while
 * it runs we do not die of those. What is sent to us alone is handed on, also what we inherited as ignored: a background
 * job of a script ignores interrupts, and the program may have set a handler all the same. When the program is over,
 * what asks us to end does so, and all else is ignored. */
#ifndef BMM_VIEWER_CHILD_H
#define BMM_VIEWER_CHILD_H

#include "report/why.h"

#include <stdint.h>
#include <sys/types.h>

struct bmm__child {
    pid_t pid;
    int wait_status; /* of waitpid */
};

/* What is to be done while the program runs: from time to time, and as soon as a word that others write is no longer 0. */
struct bmm__meanwhile {
    void (*work)(void *context, pid_t child);
    uint32_t *(*word)(
        void *context); /* asked for before every sleep; NULL: none, as after the work that it called for */
    void *context;
};

/* Starts path with arguments (arguments[0] as the user wrote it) and environment, and waits for its end. meanwhile may
 * be NULL. False: it could not be started; why is the reason alone. */
bool bmm__child_run(struct bmm__child *child, const char *path, char **arguments, char **environment,
                    const struct bmm__meanwhile *meanwhile, struct bmm__why *why);

/* What is written to stderr, if it takes that at once, when a signal ends us (interrupt, quit or terminate) after
 * the program's end. One of a kind that came before is not heard the next time. Not copied; NULL: nothing. */
void bmm__child_last_words(const char *words);

/* Ends this process as the program ended: by the same exit status or the same signal, without a core of ours. */
_Noreturn void bmm__child_end_like(const struct bmm__child *child);

#endif
