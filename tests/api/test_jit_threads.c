/* JIT heaps: several threads at one, and processes that are forked from one that has them. */
#define _GNU_SOURCE
#include "tests/api/jit_code.h"

#include <pthread.h>
#include <sys/resource.h>

/* ---- threads ---- */

enum { THREADS = 16 };
static struct bmm_jit_heap *shared_heap;
static void *handed[THREADS][64]; /* got by one thread, ended by the next */

static void *get_and_free(void *number)
{
    uintptr_t me = (uintptr_t)number % THREADS, wrong = 0;
    for (unsigned round = 0; round < 400; round++) {
        void *pieces[8];
        for (unsigned i = 0; i < 8; i++) {
            pieces[i] = bmm_jit_sync_get(shared_heap, 16 + (round * 31 + i * 977) % (i == 0 ? 40000 : 500));
            if (pieces[i] == NULL)
                return (void *)1;
            write_return(pieces[i], (unsigned)(me * 64 + i));
            wrong += !bmm_jit_publish(shared_heap, pieces[i], RETURN_BYTES);
        }
        for (unsigned i = 0; i < 8; i++) {
#ifdef BMM_EMULATED
            wrong += memcmp(pieces[i], bmm_jit_code(shared_heap, pieces[i]), RETURN_BYTES) != 0;
#else
            wrong += call(bmm_jit_code(shared_heap, pieces[i])) != (int)(me * 64 + i);
#endif
            void *other = __atomic_exchange_n(&handed[(me + round) % THREADS][i], pieces[i], __ATOMIC_ACQ_REL);
            wrong += other != NULL && !bmm_jit_sync_free(shared_heap, other);
        }
    }
    return (void *)wrong;
}

static void use_by(unsigned thread_count, unsigned flags)
{
    shared_heap = bmm_jit_create(flags);
    memset(handed, 0, sizeof handed);
    size_t before = executable_bytes();
    PLAIN_CHECK_EQUAL(facts_wrong_by(thread_count, get_and_free), 0);
    for (int i = 0; i < THREADS; i++)
        for (int k = 0; k < 64; k++)
            PLAIN_CHECK(handed[i][k] == NULL || bmm_jit_sync_free(shared_heap, handed[i][k]));
    PLAIN_CHECK(executable_bytes() <= before + MIB); /* but one region that is kept */
    bmm_jit_destroy(shared_heap);
    PLAIN_CHECK_EQUAL(executable_bytes(), before);
}

EITHER(one_thread_at_a_heap)
{
    use_by(1, flags);
}

EITHER(two_threads_at_one_heap)
{
    use_by(2, flags);
}

EITHER(sixteen_threads_at_one_heap)
{
    use_by(16, flags);
}

/* ---- fork ---- */

static int child_goes_its_own_way(struct bmm_jit_heap *heap, char *small, char *large)
{
    if (call(bmm_jit_code(heap, small)) != 10 || call(bmm_jit_code(heap, large)) != 11)
        return 1;
#ifndef BMM_EMULATED
    write_return(small, 20);
    write_return(large, 21);
    if (!bmm_jit_publish(heap, small, RETURN_BYTES) || call(bmm_jit_code(heap, small)) != 20 ||
        call(bmm_jit_code(heap, large)) != 21)
        return 2;
#endif
    if (!bmm_jit_free(heap, small) || !bmm_jit_free(heap, large))
        return 3;
    for (int i = 0; i < 1000; i++) {
        char *piece = bmm_jit_get(heap, (size_t)i * 5 + 1);
        if (piece == NULL)
            return 4;
        memset(piece, 0, (size_t)i * 5 + 1);
    }
    bmm_jit_destroy(heap);
    return 0;
}

EITHER(a_forked_child_has_pieces_of_its_own)
{
    struct bmm_jit_heap *heap = bmm_jit_create(flags);
    char *small = bmm_jit_get(heap, 100), *large = bmm_jit_get(heap, 100000);
    publish_return(heap, small, 10);
    publish_return(heap, large, 11);
    PLAIN_CHECK(call(bmm_jit_code(heap, small)) == 10 && call(bmm_jit_code(heap, large)) == 11);
    fflush(NULL);
    for (int i = 0; i < 3; i++) {
        pid_t child = fork();
        if (child == 0)
            _exit(child_goes_its_own_way(heap, small, large));
        PLAIN_CHECK_EQUAL(status_of(child), 0);
        PLAIN_CHECK(call(bmm_jit_code(heap, small)) == 10 && call(bmm_jit_code(heap, large)) == 11);
    }
    /* And what the parent does is nothing to the child. */
    int ends[2];
    PLAIN_CHECK(pipe(ends) == 0);
    pid_t child = fork();
    if (child == 0) {
        char byte;
        close(ends[1]);
        _exit(read(ends[0], &byte, 1) != 0 ? 5 : child_goes_its_own_way(heap, small, large));
    }
    memset(small, 0, 100);
    memset(large, 0, 100000);
    bmm_jit_destroy(heap);
    close(ends[1]);
    close(ends[0]);
    PLAIN_CHECK_EQUAL(status_of(child), 0);
}

/* Then what was the parent's can be executed and freed, but what is new lies elsewhere. */
static int child_without_copies(struct bmm_jit_heap *heap, char *small)
{
    if (call(bmm_jit_code(heap, small)) != 10 || strcmp(rights_at(small), "r--s") != 0)
        return 1;
    char *fresh = bmm_jit_get(heap, 16);
    if (fresh == NULL || (uintptr_t)fresh >> 16 == (uintptr_t)small >> 16)
        return 2;
    write_return(fresh, 30);
    if (!bmm_jit_publish(heap, fresh, RETURN_BYTES) || call(bmm_jit_code(heap, fresh)) != 30)
        return 3;
    return !bmm_jit_free(heap, small) || rights_at(small)[0] != '\0' ? 4 : 0;
}

PLAIN_TEST(a_forked_child_without_copies_changes_nothing)
{
    struct bmm_jit_heap *heap = bmm_jit_create(BMM_JIT_DUAL_VIEWS);
    char *small = bmm_jit_get(heap, 100);
    struct rlimit old;
    getrlimit(RLIMIT_NOFILE, &old);
    publish_return(heap, small, 10);
    fflush(NULL);
    setrlimit(RLIMIT_NOFILE, &(struct rlimit){ 0, old.rlim_max });
    pid_t child = fork();
    setrlimit(RLIMIT_NOFILE, &old);
    if (child == 0)
        _exit(child_without_copies(heap, small));
    PLAIN_CHECK_EQUAL(status_of(child), 0);
    PLAIN_CHECK_EQUAL(call(bmm_jit_code(heap, small)), 10);
    bmm_jit_destroy(heap);
}

static void *get_for_ever(void *stop)
{
    for (unsigned i = 0; !__atomic_load_n((bool *)stop, __ATOMIC_RELAXED); i++) {
        void *piece = bmm_jit_sync_get(shared_heap, 1 + i * 97 % 50000);
        if (piece != NULL)
            bmm_jit_sync_free(shared_heap, piece);
    }
    return NULL;
}

static int child_of_threads(void)
{
    for (unsigned i = 0; i < 100; i++) {
        void *piece = bmm_jit_sync_get(shared_heap, 1 + i * 97 % 50000);
        if (piece == NULL || !bmm_jit_sync_free(shared_heap, piece))
            return 1;
    }
    bmm_jit_destroy(shared_heap);
    return 0;
}

EITHER(fork_while_other_threads_get_pieces)
{
    bool stop = false;
    pthread_t threads[3];
    int status = 0;
    shared_heap = bmm_jit_create(flags);
    fflush(NULL);
    for (int i = 0; i < 3; i++)
        pthread_create(&threads[i], NULL, get_for_ever, &stop);
    for (int i = 0; i < 20 && status == 0; i++) {
        pid_t child = fork();
        if (child == 0)
            _exit(child_of_threads());
        status = status_of(child);
    }
    __atomic_store_n(&stop, true, __ATOMIC_RELAXED);
    for (int i = 0; i < 3; i++)
        pthread_join(threads[i], NULL);
    PLAIN_CHECK_EQUAL(status, 0);
    bmm_jit_destroy(shared_heap);
}
