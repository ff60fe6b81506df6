/* A test runner in one header, for where Criterion cannot go: programs that bring a malloc of their own, sanitizers,
 * other machines. C11 and C++11.
 *
 *     #include "../plain.h"
 *     PLAIN_TEST(zero_is_a_size) { PLAIN_CHECK(malloc(0) != NULL); }
 *
 * Cases run one after another in one process, in the order of the file. A check that fails says so and ends its case;
 * a case that dies ends the program, which `./dev test` counts as one failure more. The arguments name the cases to
 * run. The last line is "N passed, N failed, N skipped". Allocates nothing. */
#ifndef PLAIN_H
#define PLAIN_H

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#ifndef __GLIBC__ /* other libcs have them from us alone */
#include <stddef.h>
int malloc_trim(size_t pad);
void *pvalloc(size_t size);
#endif

struct plain_case {
    const char *name;
    void (*body)(void);
    struct plain_case *next;
};

static struct plain_case *plain_first, **plain_last = &plain_first;
static jmp_buf plain_end_of_case;
enum plain_result { PLAIN_PASSED, PLAIN_FAILED, PLAIN_SKIPPED };

#define PLAIN_TEST(title) \
    static void plain_body_##title(void); \
    static struct plain_case plain_case_##title = { #title, plain_body_##title, NULL }; \
    __attribute__((constructor)) static void plain_add_##title(void) \
    { \
        *plain_last = &plain_case_##title; \
        plain_last = &plain_case_##title.next; \
    } \
    static void plain_body_##title(void)

/* Three cases: by(1), by(2) and by(16), which use so many threads. */
#define PLAIN_TEST_BY_THREADS(by) \
    PLAIN_TEST(one_thread) \
    { \
        by(1); \
    } \
    PLAIN_TEST(two_threads) \
    { \
        by(2); \
    } \
    PLAIN_TEST(sixteen_threads) \
    { \
        by(16); \
    }

/* For the main thread only: another thread reports its result through a variable. */
#define PLAIN_CHECK(fact) \
    ((fact) ? (void)0 : plain_stop(PLAIN_FAILED, "%s:%d: not true: %s", __FILE__, __LINE__, #fact))
#define PLAIN_CHECK_EQUAL(found, expected) \
    plain_check_equal((long long)(found), (long long)(expected), __FILE__, __LINE__, #found)
#define PLAIN_SKIP(reason) plain_stop(PLAIN_SKIPPED, "%s", reason)

__attribute__((noreturn, format(printf, 2, 3))) static inline void plain_stop(enum plain_result result,
                                                                              const char *format, ...)
{
    va_list values;
    va_start(values, format);
    printf("  ");
    vprintf(format, values);
    printf("\n");
    va_end(values);
    longjmp(plain_end_of_case, (int)result);
}

static inline void plain_check_equal(long long found, long long expected, const char *file, int line, const char *text)
{
    if (found != expected)
        plain_stop(PLAIN_FAILED, "%s:%d: %s is %lld, not %lld", file, line, text, found, expected);
}

/* Runs body in a forked child whose stderr is thrown away; its wait status, for WIFSIGNALED and WEXITSTATUS. */
static inline int plain_status_in_child(void (*body)(void))
{
    fflush(NULL);
    pid_t child = fork();
    if (child == 0) {
        if (freopen("/dev/null", "w", stderr))
            body();
        _exit(0);
    }
    int status = -1;
    if (child < 0 || waitpid(child, &status, 0) != child)
        plain_stop(PLAIN_FAILED, "no child process");
    return status;
}

static inline int plain_is_wanted(const char *name, int count, char **names)
{
    for (int i = 1; i < count; i++)
        if (strcmp(names[i], name) == 0)
            return 1;
    return count < 2;
}

int main(int argument_count, char **arguments)
{
    static int counts[3];
    static char buffer[BUFSIZ];
    setvbuf(stdout, buffer, _IOLBF, sizeof buffer);
    static struct plain_case *c; /* not of the stack, to which longjmp comes back */
    for (c = plain_first; c; c = c->next) {
        if (!plain_is_wanted(c->name, argument_count, arguments))
            continue;
        printf("%s\n", c->name);
        int result = setjmp(plain_end_of_case);
        if (result == PLAIN_PASSED)
            c->body();
        counts[result]++;
    }
    printf("%d passed, %d failed, %d skipped\n", counts[PLAIN_PASSED], counts[PLAIN_FAILED], counts[PLAIN_SKIPPED]);
    return counts[PLAIN_FAILED] || !(counts[PLAIN_PASSED] + counts[PLAIN_SKIPPED]);
}

#endif
