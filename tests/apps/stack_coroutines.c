/* For test_stack_audit: coroutines that allocate while others wait in the middle of their stacks, on stacks that come and go. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <ucontext.h>

enum { COROUTINES = 8, STACK_BYTES = 128 << 10, ROUNDS = 3000 };

static ucontext_t scheduler, contexts[COROUTINES];
static char *stacks[COROUTINES];
static unsigned long sum;
static int running, is_over[COROUTINES];

static void yield(void)
{
    swapcontext(&contexts[running], &scheduler);
}

__attribute__((noinline)) static unsigned long descend(int depth, unsigned seed)
{
    char *block = malloc(16 + seed % 300);
    memset(block, (int)seed, 16);
    unsigned long result = (unsigned char)block[3];
    if (depth > 0)
        result += descend(depth - 1, seed * 7 + 3);
    if (seed % 3 == 0)
        yield();
    block = realloc(block, 400 + seed % 90);
    result += (unsigned char)block[5];
    free(block);
    return result;
}

static void body(int seed)
{
    for (int i = 0; i < 20; i++)
        sum += descend((seed + i) % 12, (unsigned)(seed * 31 + i));
    is_over[running] = 1;
}

static void begin(int i, int seed)
{
    is_over[i] = 0;
    if (stacks[i])
        munmap(stacks[i], STACK_BYTES);
    stacks[i] = mmap(NULL, STACK_BYTES, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    if (stacks[i] == MAP_FAILED)
        abort();
    getcontext(&contexts[i]);
    contexts[i].uc_stack.ss_sp = stacks[i];
    contexts[i].uc_stack.ss_size = STACK_BYTES;
    contexts[i].uc_link = &scheduler;
    makecontext(&contexts[i], (void (*)(void))body, 1, seed);
}

int main(void)
{
    for (int round = 0; round < ROUNDS; round++) {
        running = round % COROUTINES;
        if (round < COROUTINES || is_over[running] || round % 41 == 0) /* the last: in place of one that waits */
            begin(running, round);
        swapcontext(&scheduler, &contexts[running]);
    }
    printf("%lu\n", sum);
    return 0;
}
