/* The depot: one stack, one id, whoever asks and however many there are. */
#include "debug/stack.h"

#include <criterion/criterion.h>

#include <pthread.h>
#include <stdlib.h>

#define THREADS 8
#define STACKS 60000u
#define DEPTH 6

static uint32_t splitmix(uint64_t x)
{
    x += 0x9e3779b97f4a7c15u;
    x = (x ^ (x >> 30)) * 0xbf58476d1ce4e5b9u;
    x = (x ^ (x >> 27)) * 0x94d049bb133111ebu;
    return (uint32_t)(x >> 32);
}

/* Stack number n: frames that many stacks share outside, and some of its own. */
static uintptr_t frame_of(uint32_t n, unsigned level)
{
    return 0x400000u + splitmix((uint64_t)(n >> (3 * (DEPTH - 1 - level))) * 8 + level) % 100000 * 5;
}

static uint32_t intern_stack(uint32_t n)
{
    uint32_t id = 0;
    for (unsigned level = 0; level < DEPTH; level++)
        id = bmm__depot_intern(id, frame_of(n, level));
    return id;
}

static bool is_stack(uint32_t id, uint32_t n)
{
    for (unsigned level = DEPTH; level-- > 0;) {
        uintptr_t pc;
        uint32_t parent;
        if (!bmm__depot_node(id, &pc, &parent) || pc != frame_of(n, level) || parent >= id)
            return false;
        id = parent;
    }
    return id == 0;
}

Test(depot, same_stack_same_id)
{
    uint32_t a = bmm__depot_intern(0, 0x1000), b = bmm__depot_intern(a, 0x2000);
    cr_expect_neq(a, 0);
    cr_expect_gt(b, a);
    cr_expect_eq(bmm__depot_intern(0, 0x1000), a);
    cr_expect_eq(bmm__depot_intern(a, 0x2000), b);
    cr_expect_neq(bmm__depot_intern(0, 0x2000), b);
}

Test(depot, no_such_node)
{
    uintptr_t pc;
    uint32_t parent;
    cr_expect_not(bmm__depot_node(0, &pc, &parent));
    cr_expect_not(bmm__depot_node(1000000, &pc, &parent));
    cr_expect_not(bmm__depot_node(UINT32_MAX, &pc, &parent));
}

static uint32_t ids[THREADS][STACKS];
static pthread_barrier_t barrier;

static void *intern_all(void *argument)
{
    unsigned me = (unsigned)(uintptr_t)argument;
    pthread_barrier_wait(&barrier);
    for (uint32_t i = 0; i < STACKS; i++) {
        uint32_t n = me % 2 ? STACKS - 1 - i : i; /* half of them come from the other side */
        ids[me][n] = intern_stack(n);
    }
    return NULL;
}

Test(depot, eight_threads_agree, .timeout = 60)
{
    pthread_t threads[THREADS];
    pthread_barrier_init(&barrier, NULL, THREADS);
    for (uintptr_t i = 0; i < THREADS; i++)
        cr_assert_eq(pthread_create(&threads[i], NULL, intern_all, (void *)i), 0);
    for (unsigned i = 0; i < THREADS; i++)
        pthread_join(threads[i], NULL);
    unsigned wrong = 0, unequal = 0;
    for (uint32_t n = 0; n < STACKS; n++) {
        wrong += !is_stack(ids[0][n], n);
        for (unsigned i = 1; i < THREADS; i++)
            unequal += ids[i][n] != ids[0][n];
    }
    cr_expect_eq(wrong, 0);
    cr_expect_eq(unequal, 0);
}

/* Past both growths of the heads. */
Test(depot, a_million_nodes, .timeout = 60)
{
    enum { COUNT = 1200000 };
    uint32_t *first = calloc(COUNT, sizeof *first);
    unsigned wrong = 0;
    for (uint32_t i = 0; i < COUNT; i++) {
        uint32_t parent = i % 3 ? first[splitmix(i) % i] : 0;
        first[i] = bmm__depot_intern(parent, 0x1000 + splitmix(i * 7 + 1) % 0x40000000u);
        wrong += first[i] == 0 || first[i] <= parent;
    }
    for (uint32_t i = 0; i < COUNT; i++) {
        uint32_t parent = i % 3 ? first[splitmix(i) % i] : 0;
        wrong += bmm__depot_intern(parent, 0x1000 + splitmix(i * 7 + 1) % 0x40000000u) != first[i];
    }
    cr_expect_eq(wrong, 0);
    free(first);
}
