// A program that changes to another stack by hand: the unwind tables then lead to memory behind that stack, which is gone later, or
// was there when another stack was.
// stdout: fine
#include <alloca.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>

enum { HALF = 128 << 10 };
static void *volatile kept;
static char *top;
static void (*what)(void);

__attribute__((noinline)) static void work(void)
{
    free(kept = malloc(10));
}

__attribute__((noinline)) static void work_deep_down(void)
{
    volatile char *room = alloca(HALF + HALF / 2);
    room[0] = 1;
    work();
    room[1] = 1;
}

__attribute__((noinline)) static void work_there(void)
{
#ifdef __x86_64__
    __asm__ volatile("movq %%rsp, %%rbx\n\tmovq %0, %%rsp\n\tcall *%1\n\tmovq %%rbx, %%rsp"
                     :
                     : "r"(top), "r"(what)
                     : "rbx", "rax", "rcx", "rdx", "rsi", "rdi", "r8", "r9", "r10", "r11", "memory", "cc");
#endif
}

static void run(int behind)
{
    char *area = mmap(NULL, 2 * HALF, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    top = area + HALF;
    what = work;
    memset(top, behind, 4096);
    work_there();
    work_there();
    munmap(top, HALF);
    work_there();
    munmap(area, HALF);
}

static void run_in_place_of_a_larger_one(void)
{
    char *area = mmap(NULL, 4 * HALF, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    top = area + 2 * HALF;
    what = work_deep_down;
    work_there();
    munmap(area, 4 * HALF);
    mmap(area, HALF, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED, -1, 0);
    top = area + HALF;
    what = work;
    work_there();
}

int main(void)
{
    run_in_place_of_a_larger_one();
    run(0);
    run(0x11);
    puts("fine");
    return 0;
}
