/* Captures against libunwind's unw_step, on the stacks that programs have. */
#include "stack_oracle.h"

#include "debug/stack_memo.h"

#include <criterion/criterion.h>

#include <alloca.h>
#include <pthread.h>
#include <setjmp.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <time.h>
#include <ucontext.h>
#include <unistd.h>

#define NOINLINE __attribute__((noinline))

static __thread struct bmm__stack_memo *memo;
static __thread unsigned compared, differing;
static bool may_be_cut;

static void begin(void)
{
    bmm__stack_open(256);
    bmm__stack_start();
    memo = bmm__stack_memo_make();
    cr_assert(memo);
    if (!oracle_open())
        cr_skip("no libunwind.so.8");
}

static void end(void)
{
    cr_expect_eq(differing, 0, "%u of %u captures differ", differing, compared);
    cr_expect_gt(compared, 0);
}

TestSuite(stack, .init = begin);

/* A check that fails in a .fini does not fail the test: so each body is followed by it. */
#define STACK_TEST(name) \
    static void body_of_##name(void); \
    Test(stack, name) \
    { \
        body_of_##name(); \
        end(); \
    } \
    static void body_of_##name(void)

/* With the memo cold or warm, and without it: all the same, and the oracle's. */
NOINLINE static int compare(void)
{
    uintptr_t expected[ORACLE_FRAMES];
    int count;
    ORACLE_STACK(expected, count);
    uint32_t with = bmm__stack_capture(memo);
    uint32_t without = bmm__stack_capture(NULL);
    compared += 2;
    differing += !stacks_equal(expected, count, with, may_be_cut);
    differing += !stacks_equal(expected, count, without, may_be_cut);
    return count;
}

NOINLINE static int recurse(int depth, unsigned seed)
{
    volatile char *room = alloca(16 + seed % 61 * 16);
    room[0] = 1;
    int result = depth > 0 ? recurse(depth - 1, seed * 3 + 1) + 1 : compare();
    return result + room[0];
}

/* A frame with 64-aligned locals: its CFA is stored in the stack. */
NOINLINE static int realigned(int depth, unsigned seed)
{
    _Alignas(64) volatile char aligned[192];
    aligned[seed % 192] = 1;
    int result = depth > 0 ? realigned(depth - 1, seed + 7) : recurse(2, seed);
    return result + aligned[seed % 192];
}

/* Larger than what a word of the rule cache holds. */
NOINLINE static int huge(unsigned seed)
{
    volatile char room[600000];
    room[seed % sizeof room] = 1;
    return recurse(1, seed) + room[seed % sizeof room];
}

/* On both sides of that border. */
NOINLINE static int just_fits(unsigned seed)
{
    volatile char room[130900];
    room[seed % sizeof room] = 1;
    return recurse(1, seed) + room[seed % sizeof room];
}
NOINLINE static int just_too_large(unsigned seed)
{
    volatile char room[131100];
    room[seed % sizeof room] = 1;
    return recurse(1, seed) + room[seed % sizeof room];
}

STACK_TEST(recursion_with_variable_frames)
{
    for (int round = 0; round < 3; round++)
        for (int depth = 0; depth < 60; depth++)
            for (unsigned seed = 0; seed < 4; seed++)
                recurse(depth, seed);
}

STACK_TEST(realigned_and_huge_frames)
{
    for (unsigned seed = 0; seed < 20; seed++) {
        realigned((int)seed % 5, seed);
        huge(seed);
        just_fits(seed);
        just_too_large(seed);
        recurse(3, seed);
    }
}

static int compare_numbers(const void *a, const void *b)
{
    recurse(1, (unsigned)*(const int *)a);
    return *(const int *)a - *(const int *)b;
}

STACK_TEST(through_libc_callbacks)
{
    int numbers[40];
    for (int i = 0; i < 40; i++)
        numbers[i] = i * 7 % 40;
    qsort(numbers, 40, sizeof(int), compare_numbers);
    int wanted = 17;
    cr_expect(bsearch(&wanted, numbers, 40, sizeof(int), compare_numbers));
}

/* ---- signals ---- */

static void handler(int signal)
{
    (void)signal;
    int saved = differing == 0 ? recurse(2, 5) : 0;
    (void)saved;
}

STACK_TEST(from_a_signal_handler)
{
    struct sigaction action = { .sa_handler = handler };
    sigaction(SIGUSR1, &action, NULL);
    for (int i = 0; i < 5; i++) {
        raise(SIGUSR1);
        recurse(i, 3);
    }
}

STACK_TEST(from_a_handler_on_an_alternate_stack)
{
    stack_t other = { .ss_sp = mmap(NULL, 1 << 18, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0),
                      .ss_size = 1 << 18 };
    sigaltstack(&other, NULL);
    struct sigaction action = { .sa_handler = handler, .sa_flags = SA_ONSTACK };
    sigaction(SIGUSR1, &action, NULL);
    for (int i = 0; i < 5; i++) {
        raise(SIGUSR1);
        recurse(i, 3);
    }
}

static volatile sig_atomic_t tick_count;

static void tick(int signal)
{
    (void)signal;
    tick_count++;
    bmm__stack_capture(memo);
}

/* Handlers that interrupt captures on the same memo; what they interrupt must stay right. */
STACK_TEST(handlers_inside_captures)
{
    struct sigaction action = { .sa_handler = tick, .sa_flags = SA_RESTART };
    sigaction(SIGALRM, &action, NULL);
    struct sigevent event = { .sigev_notify = SIGEV_SIGNAL, .sigev_signo = SIGALRM };
    timer_t timer;
    cr_assert_eq(timer_create(CLOCK_MONOTONIC, &event, &timer), 0);
    struct itimerspec often = { { 0, 100000 }, { 0, 100000 } };
    timer_settime(timer, 0, &often, NULL);
    for (int i = 0; i < 200 || tick_count < 500; i++)
        recurse(i % 40, (unsigned)i);
    timer_delete(timer);
}

/* ---- threads, coroutines ---- */

static pthread_key_t key;

static void destroy(void *value)
{
    (void)value;
    recurse(3, 1);
}

static void *in_thread(void *argument)
{
    memo = bmm__stack_memo_make();
    pthread_setspecific(key, &key);
    for (int i = 0; i < 30; i++)
        recurse(i % 20, (unsigned)(uintptr_t)argument);
    destroy(NULL);
    return (void *)(uintptr_t)differing;
}

STACK_TEST(threads_and_their_destructors)
{
    pthread_t threads[4];
    pthread_key_create(&key, destroy);
    for (uintptr_t i = 0; i < 4; i++)
        cr_assert_eq(pthread_create(&threads[i], NULL, in_thread, (void *)i), 0);
    for (int i = 0; i < 4; i++) {
        void *result;
        pthread_join(threads[i], &result);
        differing += (unsigned)(uintptr_t)result;
        compared++;
    }
}

static ucontext_t main_context, coroutine[3];

static void in_coroutine(void)
{
    for (int i = 0; i < 20; i++) {
        recurse(i % 7, (unsigned)i);
        swapcontext(&coroutine[i % 3], &main_context);
    }
}

STACK_TEST(coroutines)
{
    for (int i = 0; i < 3; i++) {
        getcontext(&coroutine[i]);
        coroutine[i].uc_stack.ss_sp = mmap(NULL, 1 << 17, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
        coroutine[i].uc_stack.ss_size = 1 << 17;
        coroutine[i].uc_link = &main_context;
        makecontext(&coroutine[i], in_coroutine, 0);
    }
    for (int i = 0; i < 12; i++) {
        swapcontext(&main_context, &coroutine[i % 3]);
        recurse(4, (unsigned)i);
    }
}

/* ---- the loader ---- */

STACK_TEST(without_asking_the_loader)
{
    void bmm__module_forget_loader(bool);
    bmm__module_forget_loader(true);
    bmm__stack_modules_changed();
    recurse(5, 1);
    int numbers[4] = { 3, 1, 2, 0 };
    qsort(numbers, 4, sizeof(int), compare_numbers);
    bmm__module_forget_loader(false);
    bmm__stack_modules_changed();
    recurse(5, 1);
}

/* ---- what is not a whole stack ---- */

NOINLINE static uint32_t deep_capture(int depth)
{
    volatile int kept = depth;
    uint32_t id = depth > 0 ? deep_capture(depth - 1) : bmm__stack_capture(memo);
    return kept >= 0 ? id : 0;
}

STACK_TEST(deeper_than_wanted_is_cut_with_and_without_memo)
{
    bmm__stack_open(16);
    recurse(0, 0);
    may_be_cut = true;
    for (int depth = 0; depth < 40; depth++)
        recurse(depth, 2);
    uint32_t id = deep_capture(50);
    uintptr_t pcs[ORACLE_FRAMES];
    bool is_cut;
    cr_expect_eq(depot_stack(id, pcs, &is_cut), 16);
    cr_expect(is_cut);
    cr_expect_eq(deep_capture(50), id);
}

/* ---- many stacks, so that the memo joins, tries what is alike, and forgets ---- */

static struct {
    uint64_t random;
    unsigned depth_most, captures, captures_most, forgotten;
    uint32_t frames_before;
} wander;

static unsigned drawn(unsigned below)
{
    wander.random = wander.random * 6364136223846793005u + 1442695040888963407u;
    return (unsigned)(wander.random >> 33) % below;
}

NOINLINE static void see_here(void)
{
    uint32_t with = bmm__stack_capture(memo), without = bmm__stack_capture(NULL);
    uint32_t outside_with = 0, outside_without = 1; /* of this function, from which they were called in two places */
    uintptr_t pc;
    differing += !bmm__depot_node(with, &pc, &outside_with) || !bmm__depot_node(without, &pc, &outside_without) ||
                 outside_with != outside_without;
    compared++;
    wander.captures++;
    wander.forgotten += memo->frame_count < wander.frames_before;
    wander.frames_before = memo->frame_count;
}

static void wander_on(unsigned depth);

NOINLINE static void by_alloca(unsigned depth)
{
    volatile char *room = alloca(16 + drawn(40) * 16);
    room[0] = 1;
    wander_on(depth);
    see_here();
    room[1] = 2;
}

NOINLINE static void by_many_registers(unsigned depth)
{
    volatile unsigned a = drawn(9), b = a * 3, c = b + depth;
    for (unsigned i = 0; i < 1 + a % 2; i++) {
        wander_on(depth + i);
        c += b;
    }
    if (c % 3 == 0)
        see_here();
}

NOINLINE static void wander_on(unsigned depth)
{
    if (depth >= wander.depth_most) {
        see_here();
        return;
    }
    if (wander.captures >= wander.captures_most)
        return;
    for (unsigned count = 1 + (drawn(wander.depth_most) < 2); count > 0; count--)
        switch (drawn(8)) {
        case 0:
            see_here();
            see_here();
            wander_on(depth + 3);
            break;
        case 1:
            by_alloca(depth + 1);
            break;
        case 2:
            by_many_registers(depth + 1);
            break;
        case 3:
            realigned((int)drawn(3), drawn(100));
            wander_on(depth + 1);
            break;
        case 4:
            recurse((int)drawn(5), drawn(100));
            by_alloca(depth + 2);
            break;
        default:
            wander_on(depth + 1);
        }
}

static void wander_much(unsigned id_depth, unsigned depth_most, unsigned captures)
{
    bmm__stack_open(id_depth);
    bmm__stack_memo_free(memo); /* a memo is of one depth */
    memo = bmm__stack_memo_make();
    wander.frames_before = wander.captures = wander.forgotten = 0;
    wander.depth_most = depth_most;
    wander.captures_most = captures;
    for (wander.random = 1; wander.captures < captures;)
        wander_on(0);
    cr_expect_gt(wander.forgotten, 0);
}

STACK_TEST(many_stacks_with_and_without_memo)
{
    wander_much(256, 30, 60000);
}

STACK_TEST(many_stacks_that_are_cut)
{
    may_be_cut = true;
    wander_much(16, 120, 20000);
    wander_much(64, 300, 20000);
    wander_much(256, 400, 10000);
}

/* ---- an epilogue that is interrupted where a page begins: the tables still say that the frame pointer is saved, below sp ---- */

void epilogue_with_trap(void);
__asm__(".text\n"
        ".type epilogue_with_trap, @function\n"
        "epilogue_with_trap:\n"
        "  .cfi_startproc\n"
        "  pushq %rbp\n"
        "  .cfi_def_cfa_offset 16\n"
        "  .cfi_offset %rbp, -16\n"
        "  popq %rbp\n"
        "  .cfi_def_cfa_offset 8\n"
        "  int3\n"
        "  ret\n"
        "  .cfi_endproc\n"
        ".size epilogue_with_trap, .-epilogue_with_trap\n");

static volatile int frames_behind_trap;

static void on_trap(int number)
{
    (void)number;
    uintptr_t pcs[ORACLE_FRAMES];
    bool is_cut;
    int count = depot_stack(bmm__stack_capture(NULL), pcs, &is_cut), at = 0;
    while (at < count && pcs[at] - (uintptr_t)epilogue_with_trap > 16)
        at++;
    frames_behind_trap = count - at - 1;
}

/* Calls it with sp at the beginning of a page of another stack; the frame pointer leads back. */
NOINLINE static void trap_at(char *page)
{
    volatile char *room = alloca(16 + (uintptr_t)page % 16); /* so that there is one */
    room[0] = 1;
    __asm__ volatile("movq %%rsp, %%rbx\n\t"
                     "leaq 8(%0), %%rsp\n\t"
                     "call epilogue_with_trap\n\t"
                     "movq %%rbx, %%rsp"
                     :
                     : "r"(page)
                     : "rbx", "rax", "rcx", "rdx", "rsi", "rdi", "r8", "r9", "r10", "r11", "memory", "cc");
}

STACK_TEST(an_epilogue_where_a_page_begins)
{
    enum { PAGES = 64, PAGE = 4096 };
    char *stack = mmap(NULL, PAGES * PAGE, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    cr_assert_neq(stack, MAP_FAILED);
    signal(SIGTRAP, on_trap);
    trap_at(stack + (PAGES - 1) * PAGE);
    cr_expect_gt(frames_behind_trap, 0, "the stack ends in the epilogue");
    recurse(1, 1);
}

static volatile uintptr_t wild_values[] = { 0, 8, 0x1000, 0x7fffffff0000, 0xdeadbeefdeadbee8, UINTPTR_MAX };
static volatile unsigned wild_index;
static volatile uint32_t last_id;

/* Overwrites the saved frame pointers and return addresses above it, captures, and mends them. */
NOINLINE static void with_damage(unsigned words)
{
    uintptr_t *frame = __builtin_frame_address(0);
    uintptr_t saved[64];
    for (unsigned i = 0; i < words; i++) {
        saved[i] = frame[i];
        frame[i] = wild_values[(wild_index + i) % 6] + (i % 3 ? (uintptr_t)frame : 0);
    }
    last_id = bmm__stack_capture(memo);
    last_id = bmm__stack_capture(NULL);
    for (unsigned i = 0; i < words; i++)
        frame[i] = saved[i];
}

STACK_TEST(damaged_stacks_do_no_harm)
{
    volatile uintptr_t room[64] = { 0 };
    for (wild_index = 0; wild_index < 600; wild_index++)
        with_damage(1 + wild_index % 30);
    recurse(3, (unsigned)room[0]);
}

STACK_TEST(same_place_same_id)
{
    uint32_t first = 0;
    for (int i = 0; i < 10; i++) {
        uint32_t id = deep_capture(20);
        cr_expect_neq(id, 0);
        first = first ? first : id;
        cr_expect_eq(id, first);
        recurse(i, 1);
    }
}

STACK_TEST(a_child_captures)
{
    uint32_t before = deep_capture(20);
    pid_t child = fork();
    if (child == 0) {
        bmm__stack_fork_child();
        _exit(deep_capture(20) != before);
    }
    int status = 0;
    cr_expect_eq(waitpid(child, &status, 0), child);
    cr_expect_neq(status, -1);
    recurse(1, 1);
}

static bool is_empty(const struct bmm__stack_memo *other)
{
    for (unsigned i = 0; i < BMM__MEMO_SLOTS; i++)
        if (other->recent[i] != 0 || other->by_caller[i] != 0 || other->made[i] != 0)
            return false;
    return other->frame_count == 1 && other->check_count == 0 && other->listed_count == 0 && !other->is_busy;
}

STACK_TEST(memos_are_used_again_empty)
{
    enum { COUNT = 40 };
    struct bmm__stack_memo *memos[COUNT];
    for (int round = 0; round < 3; round++) {
        for (int i = 0; i < COUNT; i++) {
            memos[i] = bmm__stack_memo_make();
            cr_assert(memos[i] && memos[i] != memo && is_empty(memos[i]));
            for (int other = 0; other < i; other++)
                cr_assert_neq(memos[i], memos[other]);
            uint32_t id = bmm__stack_capture(memos[i]);
            cr_expect(id != 0 && !is_empty(memos[i]));
            memos[i]->is_busy = 1; /* as a capture leaves it that a handler jumped out of */
        }
        for (int i = 0; i < COUNT; i++)
            bmm__stack_memo_free(memos[i]);
    }
    recurse(5, 1);
}

/* The child sees pages of different moments. */
STACK_TEST(a_memo_of_a_thread_that_is_gone_is_used_again_empty)
{
    struct bmm__stack_memo *lost = bmm__stack_memo_make();
    bmm__stack_capture(lost);
    lost->frame_count = 1;
    lost->is_busy = 1;
    bmm__stack_memo_lose(lost);
    struct bmm__stack_memo *again = bmm__stack_memo_make();
    cr_expect_eq(again, lost);
    cr_expect(is_empty(again));
    bmm__stack_memo_lose(NULL);
    recurse(5, 1);
}
