/* The depot: one stack, one id, whoever asks and however many there are. */
#define _GNU_SOURCE
#include "debug/stack.h"

#include "core/client.h"
#include "core/os.h"

#include <criterion/criterion.h>

#include <pthread.h>
#include <signal.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <unistd.h>

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

/* All at once, or frame by frame. */
static uint32_t intern_stack(uint32_t n, bool is_whole)
{
    struct bmm__depot_frame frames[DEPTH];
    uint32_t id = 0;
    uint64_t hash = 0;
    for (unsigned level = 0; level < DEPTH; level++) {
        hash = bmm__depot_hash(hash, frame_of(n, level));
        frames[level] = (struct bmm__depot_frame){ frame_of(n, level), hash, 0, 0 };
        if (!is_whole)
            id = bmm__depot_intern_one(id, frame_of(n, level));
    }
    if (is_whole)
        bmm__depot_intern(0, frames, DEPTH);
    return is_whole ? frames[DEPTH - 1].id : id;
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
    uint32_t a = bmm__depot_intern_one(0, 0x1000), b = bmm__depot_intern_one(a, 0x2000);
    cr_expect_neq(a, 0);
    cr_expect_gt(b, a);
    cr_expect_eq(bmm__depot_intern_one(0, 0x1000), a);
    cr_expect_eq(bmm__depot_intern_one(a, 0x2000), b);
    cr_expect_neq(bmm__depot_intern_one(0, 0x2000), b);
}

Test(depot, no_such_node)
{
    uintptr_t pc;
    uint32_t parent;
    cr_expect_not(bmm__depot_node(0, &pc, &parent));
    cr_expect_not(bmm__depot_node(1000000, &pc, &parent));
    cr_expect_not(bmm__depot_node(UINT32_MAX, &pc, &parent));
}

/* What of a stack is known is not stored again, wherever in a run it ends or goes on. */
Test(depot, stacks_share_what_they_have_in_common)
{
    enum { COUNT = 64 };
    struct bmm__depot_frame frames[COUNT];
    uint64_t hash = 0;
    for (uint32_t i = 0; i < COUNT; i++) {
        hash = bmm__depot_hash(hash, 0x10000 + i);
        frames[i] = (struct bmm__depot_frame){ 0x10000 + i, hash, 0, 0 };
    }
    bmm__depot_intern(0, frames, COUNT);
    uint32_t whole = frames[COUNT - 1].id, end = bmm__depot_count();
    cr_assert_neq(whole, 0);
    cr_assert_eq(end - frames[0].id, COUNT, "a word each");
    for (uint32_t count = 1; count < COUNT; count++) { /* the outer part of it, and all of it by its parts */
        uint32_t id = frames[count - 1].id, caller;
        uintptr_t pc;
        cr_assert(bmm__depot_node(id, &pc, &caller) && pc == 0x10000 + count - 1 &&
                  caller == (count == 1 ? 0 : id - 1));
        bmm__depot_intern(0, frames, count);
        cr_assert_eq(frames[count - 1].id, id);
        bmm__depot_intern(id, frames + count, COUNT - count);
        cr_assert_eq(frames[COUNT - 1].id, whole);
    }
    cr_assert_eq(bmm__depot_count(), end, "nothing was added");
    uint32_t others[COUNT];
    for (uint32_t count = 1; count < COUNT;
         count++) /* and what goes on in another way: two words, and one for the frame */
        others[count] = bmm__depot_intern_one(frames[count - 1].id, 0x20000);
    cr_assert_eq(bmm__depot_count(), end + 3 * (COUNT - 1));
    for (uint32_t count = 1; count < COUNT; count++)
        cr_assert_eq(bmm__depot_intern_one(frames[count - 1].id, 0x20000), others[count]);
}

/* None lies in two segments, nor has the last word of one. */
Test(depot, runs_of_all_lengths)
{
    enum { STEPS = 20000 };
    static uint32_t known[STEPS];
    struct bmm__depot_frame frames[BMM__DEPOT_FRAMES_MAX];
    unsigned wrong = 0;
    for (unsigned round = 0; round < 2; round++)
        for (uint32_t step = 0; step < STEPS; step++) {
            uint32_t count = 1 + splitmix(step) % BMM__DEPOT_FRAMES_MAX;
            uint64_t hash = 0;
            for (uint32_t i = 0; i < count; i++) {
                uintptr_t pc = 0x1000 + step + i;
                hash = bmm__depot_hash(hash, pc);
                frames[i] = (struct bmm__depot_frame){ pc, hash, 0, 0 };
            }
            bmm__depot_intern(0, frames, count);
            uint32_t id = frames[count - 1].id, caller;
            wrong += id == 0 || (round != 0 && id != known[step]);
            for (uint32_t i = 0; i < count; i++) /* the last words of segments: 2^n - 4097 */
                wrong += ((frames[i].id + 4097) & (frames[i].id + 4096)) == 0;
            known[step] = id;
            uintptr_t pc;
            for (uint32_t i = count; i-- > 0 && wrong == 0; id = caller)
                wrong += !bmm__depot_node(id, &pc, &caller) || pc != 0x1000 + step + i || (i == 0) != (caller == 0);
        }
    cr_assert_eq(wrong, 0);
}

/* In front of libc's: a signal comes just when the depot gets memory. */
static volatile sig_atomic_t is_to_raise, map_count;

void *mmap(void *start, size_t bytes, int rights, int flags, int file, off_t offset)
{
    map_count++;
    if (is_to_raise) {
        is_to_raise = 0;
        raise(SIGUSR1);
    }
    return (void *)syscall(SYS_mmap, start, bytes, rights, flags, file, offset); /* NOLINT */
}

static uintptr_t pc_in_handler;
static uint32_t id_in_handler;

static void intern_in_handler(int number)
{
    (void)number;
    id_in_handler = bmm__depot_intern_one(0, pc_in_handler);
}

/* Takes what there is of memory for tables: who asks for more gets it from the system. */
static void use_up_memory(void)
{
    int pieces = 0, of_chunk = -1; /* chunks grow, up to a size */
    for (bool is_steady = false; !is_steady; pieces++) {
        int before = map_count;
        bmm__core_meta_alloc(BMM__GRANULE / 4);
        if (map_count == before)
            continue;
        is_steady = pieces == of_chunk;
        of_chunk = pieces;
        pieces = 0;
    }
    while (pieces++ < of_chunk)
        bmm__core_meta_alloc(BMM__GRANULE / 4);
}

static void interrupt_first_growth(uintptr_t first_pc, uintptr_t handler_pc)
{
    pc_in_handler = handler_pc;
    struct sigaction action = { .sa_handler = intern_in_handler };
    sigaction(SIGUSR1, &action, NULL);
    use_up_memory();
    is_to_raise = 1;
    uint32_t id = bmm__depot_intern_one(0, first_pc), caller;
    uintptr_t pc;
    cr_assert_eq(is_to_raise, 0, "it came");
    cr_assert(bmm__depot_node(id, &pc, &caller) && pc == first_pc);
    cr_assert(bmm__depot_node(id_in_handler, &pc, &caller) && pc == handler_pc);
}

/* Once a capture in a handler had no stack: it had interrupted the first of all, which held the lock. */
Test(depot, a_handler_that_interrupts_the_first_number_finds_one)
{
    interrupt_first_growth(0x555500002000, 0x7f0000001000);
}

/* Addresses that need no number: what grows first is the depot. */
Test(depot, a_handler_that_interrupts_the_first_segment_finds_room)
{
    interrupt_first_growth(0x2000, 0x3000);
}

static uint32_t ids[THREADS][STACKS];
static pthread_barrier_t barrier;

static void *intern_all(void *argument)
{
    unsigned me = (unsigned)(uintptr_t)argument;
    pthread_barrier_wait(&barrier);
    for (uint32_t i = 0; i < STACKS; i++) {
        uint32_t n = me % 2 ? STACKS - 1 - i : i; /* half of them come from the other side */
        ids[me][n] = intern_stack(n, me / 2 % 2 != 0);
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

/* Past all growths of the heads. */
Test(depot, a_million_nodes, .timeout = 60)
{
    enum { COUNT = 2200000 };
    uint32_t *first = calloc(COUNT, sizeof *first);
    unsigned wrong = 0;
    for (uint32_t i = 0; i < COUNT; i++) {
        uint32_t parent = i % 3 ? first[splitmix(i) % i] : 0;
        first[i] = bmm__depot_intern_one(parent, 0x1000 + splitmix(i * 7 + 1) % 0x40000000u);
        wrong += first[i] == 0 || first[i] <= parent;
    }
    for (uint32_t i = 0; i < COUNT; i++) {
        uint32_t parent = i % 3 ? first[splitmix(i) % i] : 0;
        wrong += bmm__depot_intern_one(parent, 0x1000 + splitmix(i * 7 + 1) % 0x40000000u) != first[i];
    }
    cr_expect_eq(wrong, 0);
    cr_expect_gt(bmm__depot_count(), 6300000u, "the last heads came when there were so many words");
    free(first);
}
