/* An arena outside the window gives its addresses back when nothing of it is in use, and can be had again when it may not. */
#define _GNU_SOURCE
#include "tests/plain.h"

#include "core/arena.h"
#include "core/atomic.h"
#include "core/client.h"
#include "core/os.h"
#include "core/purge.h"
#include "core/run_map.h"
#include "core/visit.h"
#include "core/window.h"

#include <errno.h>
#include <pthread.h>
#include <semaphore.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#if !defined(__SANITIZE_THREAD__) && !defined(__SANITIZE_ADDRESS__)
/* The core's, which is linked statically: sanitizers must see theirs. */
static bool is_unmapping_refused, is_mapping_refused, is_purging_refused;
static void (*when_refused)(void);
static unsigned small_wishes;

int munmap(void *start, size_t bytes)
{
    if (is_unmapping_refused && bytes >= (size_t)1 << 20) {
        if (when_refused != NULL)
            when_refused();
        errno = ENOMEM;
        return -1;
    }
    return (int)syscall(SYS_munmap, start, bytes);
}

int madvise(void *start, size_t bytes, int advice)
{
    small_wishes += advice == MADV_NOHUGEPAGE;
    if (is_purging_refused && advice != MADV_HUGEPAGE && advice != MADV_NOHUGEPAGE) {
        errno = EINVAL;
        return -1;
    }
    return (int)syscall(SYS_madvise, start, bytes, advice);
}

void *mmap(void *start, size_t bytes, int rights, int flags, int file, off_t offset)
{
    if (is_mapping_refused) {
        errno = ENOMEM;
        return MAP_FAILED;
    }
    return (void *)syscall(SYS_mmap, start, bytes, rights, flags, file, offset); /* NOLINT */
}
#define SKIP_IF_SANITIZED() (void)0
#else
#define IS_SANITIZED
#define SKIP_IF_SANITIZED() PLAIN_SKIP("a system that refuses cannot be played")
#endif

static size_t without; /* bytes of all arenas when none outside is mapped */

/* The window is to grow no more, and to have nothing left. */
static void fill_window(void)
{
#ifdef IS_SANITIZED
    PLAIN_SKIP("sanitizers take the places where a window could grow");
#endif
    bool is_zero;
    if (without != 0)
        return;
    bmm__core_free(bmm__core_alloc(16, 16, false));
    char *end = (char *)bmm__window_start + (bmm__window_count << BMM__GRANULE_SHIFT); /* NOLINT */
    PLAIN_CHECK(mmap(end, bmm__os_page_bytes(), PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED_NOREPLACE, -1, 0) ==
                end);
    for (size_t bytes = BMM__ARENA_RUN_MAX; bytes >= BMM__GRANULE; bytes /= 2)
        for (;;) {
            char *start = bmm__arena_alloc(bytes, BMM__GRANULE, &is_zero);
            PLAIN_CHECK(start != NULL);
            if ((uintptr_t)start - bmm__window_start < (uintptr_t)end - bmm__window_start)
                continue;
            bmm__arena_free(start, bytes, false, false);
            break;
        }
    bmm__purge_all();
    without = bmm__window_count << BMM__GRANULE_SHIFT;
}

static char *alloc_outside(bool *is_zero)
{
    fill_window();
    char *start = bmm__arena_alloc(BMM__ARENA_RUN_MAX, BMM__GRANULE, is_zero);
    PLAIN_CHECK(start != NULL);
    PLAIN_CHECK(bmm__arena_mapped_bytes() > without);
    return start;
}

static char *alloc_and_free_outside(void)
{
    bool is_zero;
    char *start = alloc_outside(&is_zero);
    memset(start, 1, BMM__ARENA_RUN_MAX);
    bmm__arena_free(start, BMM__ARENA_RUN_MAX, true, false);
    return start;
}

PLAIN_TEST(what_is_empty_is_unmapped)
{
    char *start = alloc_and_free_outside();
    bmm__purge_all();
    PLAIN_CHECK_EQUAL(bmm__arena_mapped_bytes(), without);
    PLAIN_CHECK(!bmm__os_can_read(start, 1));
}

PLAIN_TEST(what_can_never_be_had_purges_nothing)
{
    alloc_and_free_outside();
    size_t dirty = bmm__load_relaxed(&bmm__dirty_bytes), mapped = bmm__arena_mapped_bytes();
    PLAIN_CHECK(dirty >= BMM__ARENA_RUN_MAX);
    PLAIN_CHECK(bmm__core_alloc((size_t)1 << 60, 16, false) == NULL);
    PLAIN_CHECK_EQUAL(bmm__load_relaxed(&bmm__dirty_bytes), dirty);
    PLAIN_CHECK_EQUAL(bmm__arena_mapped_bytes(), mapped);
    bmm__purge_all();
}

PLAIN_TEST(nothing_is_unmapped_while_a_thread_looks)
{
    char *start = alloc_and_free_outside();
    bool is_zero;
    size_t with = bmm__arena_mapped_bytes();
    bmm__look_begin();
    bmm__purge_all();
    bool can_read = bmm__os_can_read(start, 1);
    char *again = bmm__arena_alloc(BMM__ARENA_RUN_MAX, BMM__GRANULE, &is_zero);
    size_t mapped = bmm__arena_mapped_bytes();
    bmm__look_end();
    PLAIN_CHECK(can_read);
    PLAIN_CHECK(again == start && is_zero);
    PLAIN_CHECK_EQUAL(mapped, with);
    bmm__arena_free(again, BMM__ARENA_RUN_MAX, false, false);
    bmm__purge_all();
    PLAIN_CHECK_EQUAL(bmm__arena_mapped_bytes(), without);
}

static sem_t begun;
static void *look_for_a_moment(void *context)
{
    bmm__look_begin();
    sem_post(&begun);
    bmm__os_nap();
    bmm__look_end();
    return context;
}

/* Whether it is found often: the machine may be a busy one. */
PLAIN_TEST(who_wants_all_unmapped_waits_for_a_thread_that_looks)
{
    enum { TIMES = 20 };
    int unmapped = 0;
    sem_init(&begun, 0, 0);
    for (int i = 0; i < TIMES; i++) {
        pthread_t thread;
        alloc_and_free_outside();
        PLAIN_CHECK_EQUAL(pthread_create(&thread, NULL, look_for_a_moment, NULL), 0);
        sem_wait(&begun);
        bmm__purge_all();
        unmapped += bmm__arena_mapped_bytes() == without;
        pthread_join(thread, NULL);
    }
    PLAIN_CHECK(unmapped >= TIMES / 4);
    bmm__purge_all();
}

/* A signal handler forks: the child's thread ends its look, and from then on nobody looks. */
PLAIN_TEST(a_child_that_was_forked_in_a_look_can_unmap)
{
    alloc_and_free_outside();
    bmm__core_free(bmm__core_alloc(16, 16, false)); /* whose thread has a heap */
    bmm__look_begin();
    pid_t child = fork();
    bmm__look_end();
    if (child == 0) {
        bmm__purge_all();
        bool is_unmapped = bmm__arena_mapped_bytes() == without;
        alloc_and_free_outside();
        bmm__look_begin();
        bmm__purge_all();
        bool is_kept = bmm__arena_mapped_bytes() > without;
        _exit(is_unmapped && is_kept ? 0 : 1);
    }
    int status = -1;
    PLAIN_CHECK_EQUAL(waitpid(child, &status, 0), child);
    PLAIN_CHECK_EQUAL(status, 0);
    bmm__purge_all();
}

#ifndef IS_SANITIZED
static void play(bool unmapping, bool mapping, bool purging)
{
    is_unmapping_refused = unmapping;
    is_mapping_refused = mapping;
    is_purging_refused = purging;
}

/* Frees and has all of the arena again, of which the system unmapped nothing. */
static void check_kept(bool is_purged)
{
    char *start = alloc_and_free_outside();
    size_t with = bmm__arena_mapped_bytes();
    bool is_zero;
    play(true, false, !is_purged);
    bmm__purge_all();
    play(false, true, false);
    char *again = bmm__arena_alloc(BMM__ARENA_RUN_MAX, BMM__GRANULE, &is_zero);
    play(false, false, false);
    PLAIN_CHECK(again == start);
    PLAIN_CHECK_EQUAL(bmm__arena_mapped_bytes(), with);
    PLAIN_CHECK_EQUAL(is_zero, is_purged);
    PLAIN_CHECK_EQUAL(*again, is_purged ? 0 : 1);
    bmm__arena_free(again, BMM__ARENA_RUN_MAX, true, false);
    bmm__purge_all();
    PLAIN_CHECK_EQUAL(bmm__arena_mapped_bytes(), without);
}
#endif

PLAIN_TEST(what_the_system_does_not_unmap_can_be_had_again)
{
    SKIP_IF_SANITIZED();
#ifndef IS_SANITIZED
    check_kept(true);
    check_kept(false);
#endif
}

#ifndef IS_SANITIZED
static void *want_room(void *context)
{
    bool is_zero;
    sem_post(&begun);
    *(char **)context = bmm__arena_alloc(BMM__ARENA_RUN_MAX, BMM__GRANULE, &is_zero);
    return NULL;
}

static pthread_t waiting;
static char *found;
static void begin_to_wait(void)
{
    play(true, true, false);
    when_refused = NULL;
    bmm__os_nap(); /* the thread is in pthread_create no more */
    sem_post(&begun);
    for (int i = 0; i < 20; i++)
        bmm__os_nap();
}
static void *wait_then_want_room(void *context)
{
    sem_wait(&begun);
    return want_room(context);
}
#endif

/* Who finds no room while it is held looks again. */
PLAIN_TEST(what_is_held_for_a_moment_is_waited_for)
{
    SKIP_IF_SANITIZED();
#ifndef IS_SANITIZED
    char *start = alloc_and_free_outside();
    sem_init(&begun, 0, 0);
    PLAIN_CHECK_EQUAL(pthread_create(&waiting, NULL, wait_then_want_room, &found), 0);
    play(true, false, false);
    when_refused = begin_to_wait;
    bmm__purge_all();
    pthread_join(waiting, NULL);
    play(false, false, false);
    PLAIN_CHECK(found == start);
    bmm__arena_free(found, BMM__ARENA_RUN_MAX, false, false);
    bmm__purge_all();
#endif
}

/* What comes where a huge block was in an arena that is gone is not its heir. */
PLAIN_TEST(wishes_for_huge_pages_go_with_the_arena)
{
    SKIP_IF_SANITIZED();
#ifndef IS_SANITIZED
    enum { BYTES = 8 << 20 };
    fill_window();
    char *huge = bmm__core_alloc(BYTES, 16, false);
    bmm__core_free(huge);
    bmm__purge_all();
    PLAIN_CHECK_EQUAL(bmm__arena_mapped_bytes(), without);
    small_wishes = 0;
    bool has_come = false;
    char *blocks[BYTES / 32768];
    for (unsigned i = 0; i < BYTES / 32768; i++) {
        blocks[i] = bmm__core_alloc(20000, 16, false);
        has_come |= blocks[i] >= huge && blocks[i] < huge + BYTES;
    }
    for (unsigned i = 0; i < BYTES / 32768; i++)
        bmm__core_free(blocks[i]);
    if (!has_come)
        PLAIN_SKIP("the system maps elsewhere");
    PLAIN_CHECK_EQUAL(small_wishes, 0);
#endif
}
