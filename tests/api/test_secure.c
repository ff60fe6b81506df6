/* What libbrainmm_secure stops a program for, each in a child: it must say so and abort, every time. ctest: secure */
#include "tests/plain.h"

#include <pthread.h>
#include <signal.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdlib.h>

static const size_t sizes[] = { 1, 16, 17, 32, 48, 64, 80, 96, 112, 128, 1000, 5000, 20000, 32768 };
#define SIZE_COUNT (sizeof sizes / sizeof *sizes)

static size_t size;
static size_t offset;

/* The last line that a child wrote to stderr before it aborted; NULL: it did not abort. */
static const char *last_words(void (*body)(void))
{
    static char line[512];
    int ends[2];
    if (pipe(ends) != 0)
        plain_stop(PLAIN_FAILED, "no pipe");
    fflush(NULL);
    pid_t child = fork();
    if (child == 0) {
        dup2(ends[1], STDERR_FILENO);
        body();
        _exit(0);
    }
    close(ends[1]);
    ssize_t length = read(ends[0], line, sizeof line - 1);
    line[length > 0 ? length : 0] = '\0';
    close(ends[0]);
    int status = 0;
    waitpid(child, &status, 0);
    return WIFSIGNALED(status) && WTERMSIG(status) == SIGABRT ? line : NULL;
}

static void check_stops(void (*body)(void), const char *words)
{
    const char *said = last_words(body);
    if (said == NULL || strstr(said, words) == NULL)
        plain_stop(PLAIN_FAILED, "size %zu, offset %zu: not \"%s\" but: %s", size, offset, words,
                   said == NULL ? "nothing" : said);
}

static void *free_it(void *p)
{
    free(p);
    return NULL;
}

static void free_elsewhere(void *p)
{
    pthread_t thread;
    pthread_create(&thread, NULL, free_it, p);
    pthread_join(thread, NULL);
}

static void nothing_wrong(void)
{
    char *p = malloc(size), *q = malloc(size);
    memset(p, 1, size);
    free(p);
    free_elsewhere(q);
    for (int i = 0; i < 10000; i++) {
        p = malloc(size);
        memset(p, 1, size);
        free(p);
    }
}

static void free_twice(void)
{
    char *p = malloc(size);
    free(p);
    free(p);
}

static void free_twice_with_another_between(void)
{
    char *p = malloc(size), *q = malloc(size);
    free(p);
    free(q);
    free(p);
}

static void free_here_and_elsewhere(void)
{
    char *p = malloc(size);
    free(p);
    free_elsewhere(p);
}

static void free_elsewhere_and_here(void)
{
    char *p = malloc(size);
    free_elsewhere(p);
    free(p);
}

static void realloc_what_is_free(void)
{
    char *p = malloc(size);
    free(p);
    free(realloc(p, size));
}

static void free_inside(void)
{
    char *p = malloc(size);
    free(p + offset);
}

static void free_on_the_stack(void)
{
    volatile uintptr_t here = (uintptr_t)&size;
    char local[64];
    free(here == 0 ? NULL : local + 16);
}

static void take_all_again(void)
{
    for (int i = 0; i < 20000; i++)
        if (malloc(size) == NULL)
            break;
}

static void write_after_free(void)
{
    char *p = malloc(size);
    free(p);
    p[offset] ^= 1;
    take_all_again();
}

static void write_after_free_elsewhere(void)
{
    char *p = malloc(size);
    free_elsewhere(p);
    p[offset] ^= 1;
    take_all_again();
}

/* As who wants malloc to hand out an address of his choice. */
static void overwrite_link(void)
{
    uintptr_t *p = malloc(size < 16 ? 16 : size);
    free(p);
    p[0] = (uintptr_t)&size;
    take_all_again();
}

PLAIN_TEST(a_program_without_errors_is_not_stopped)
{
    for (size_t i = 0; i < SIZE_COUNT; i++) {
        size = sizes[i];
        PLAIN_CHECK(last_words(nothing_wrong) == NULL);
    }
}

PLAIN_TEST(a_double_free_stops_the_program_at_once)
{
    for (size_t i = 0; i < SIZE_COUNT; i++) {
        size = sizes[i];
        check_stops(free_twice, "free already");
        check_stops(free_twice_with_another_between, "free already");
        check_stops(free_here_and_elsewhere, "free already");
        check_stops(free_elsewhere_and_here, "free already");
        check_stops(realloc_what_is_free, "free already");
    }
    for (size = 40000; size < (size_t)100 << 20; size *= 5) {
        check_stops(free_twice, "not the start of an allocated block");
        check_stops(free_here_and_elsewhere, "not the start of an allocated block");
    }
}

PLAIN_TEST(a_free_inside_a_block_stops_the_program)
{
    for (size_t i = 1; i < SIZE_COUNT; i++) {
        size = sizes[i];
        for (offset = 1; offset < size && offset < 200; offset += 5)
            check_stops(free_inside, "not the start of an allocated block");
    }
}

PLAIN_TEST(a_free_of_what_is_no_block_stops_the_program)
{
    check_stops(free_on_the_stack, "not the start of an allocated block");
}

PLAIN_TEST(a_write_after_free_stops_the_program_when_the_memory_is_used_again)
{
    for (size_t i = 1; i < SIZE_COUNT; i++) {
        size = sizes[i];
        for (offset = 0; offset < size && offset < 16; offset += 3) {
            check_stops(write_after_free, "written to after it was freed");
            if (offset % 2 == 0)
                check_stops(write_after_free_elsewhere, "written to after it was freed");
        }
        check_stops(overwrite_link, "written to after it was freed");
    }
}

/* The first blocks of a class, and not the same ones in the next process. */
static void addresses(void)
{
    uintptr_t before = 0, in_order = 0;
    for (int i = 0; i < 200; i++) {
        uintptr_t p = (uintptr_t)malloc(48);
        in_order += p - before == 48;
        before = p;
    }
    _exit(in_order < 20 ? 0 : 1);
}

PLAIN_TEST(blocks_come_in_no_order)
{
    int status = plain_status_in_child(addresses);
    PLAIN_CHECK(WIFEXITED(status) && WEXITSTATUS(status) == 0);
}
