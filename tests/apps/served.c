/* How many blocks libbrainmm served to this process: preloaded before it, counts and hands every call on.
 *
 *     LD_PRELOAD="served.so libbrainmm.so" SERVED_DIRECTORY=… program
 *
 * When the process ends it writes DIRECTORY/<pid>: "<blocks> <verified> <foreign> <program>". Counted is a block only if
 * the function that made it lies in libbrainmm.so, as the loader says. Of every 1000th block libbrainmm is asked whether
 * it knows it (verified); foreign counts the blocks that somebody else made, or that it did not know.
 * Knows nothing of frees, and of processes that end by _exit, exec or a signal. */
#define _GNU_SOURCE
#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define SAMPLE 1000

static atomic_ulong served, verified, foreign;
static size_t (*usable_size)(const void *p);

/* One for each function that makes blocks. */
struct door {
    const char *name;
    void *_Atomic next;
    _Atomic int is_theirs; /* not in libbrainmm.so */
};

static void *next_of(struct door *door)
{
    void *next = atomic_load(&door->next);
    if (next != NULL)
        return next;
    next = dlsym(RTLD_NEXT, door->name); /* does not allocate, if it succeeds */
    Dl_info info = { 0 };
    const char *slash = dladdr(next, &info) != 0 ? strrchr(info.dli_fname, '/') : NULL;
    bool is_theirs = slash == NULL || strcmp(slash, "/libbrainmm.so") != 0;
    if (!is_theirs) /* a name that is not found would allocate the message that says so */
        usable_size = (size_t(*)(const void *))dlsym(RTLD_NEXT, "bmm_usable_size");
    atomic_store(&door->is_theirs, is_theirs);
    atomic_store(&door->next, next);
    return next;
}

static void *count(struct door *door, void *p, size_t size)
{
    if (p == NULL)
        return p;
    if (door->is_theirs) {
        foreign++;
        return p;
    }
    if (++served % SAMPLE != 0)
        return p;
    if (usable_size != NULL && usable_size(p) >= size)
        verified++;
    else
        foreign++;
    return p;
}

#define DOOR(symbol) \
    static struct door door = { .name = symbol }; \
    void *next = next_of(&door)
#define FORWARD(size, types, ...) return count(&door, ((void *(*)types)next)(__VA_ARGS__), size)

void *malloc(size_t size)
{
    DOOR("malloc");
    FORWARD(size, (size_t), size);
}

void *calloc(size_t number, size_t size)
{
    DOOR("calloc");
    FORWARD(number * size, (size_t, size_t), number, size);
}

void *realloc(void *p, size_t size)
{
    DOOR("realloc");
    FORWARD(size, (void *, size_t), p, size);
}

void *aligned_alloc(size_t align, size_t size)
{
    DOOR("aligned_alloc");
    FORWARD(size, (size_t, size_t), align, size);
}

void *memalign(size_t align, size_t size);
void *memalign(size_t align, size_t size)
{
    DOOR("memalign");
    FORWARD(size, (size_t, size_t), align, size);
}

int posix_memalign(void **p, size_t align, size_t size)
{
    DOOR("posix_memalign");
    int status = ((int (*)(void **, size_t, size_t))next)(p, align, size);
    if (status == 0)
        count(&door, *p, size);
    return status;
}

/* operator new and its sisters; C++ has no say here, so by their names in the object file. */
#define OPERATOR(number, symbol, types, ...) \
    void *operator_##number types __asm__(symbol); \
    void *operator_##number types \
    { \
        DOOR(symbol); \
        FORWARD(size, types, __VA_ARGS__); \
    } \
    _Static_assert(1, "takes the semicolon")

OPERATOR(1, "_Znwm", (size_t size), size);
OPERATOR(2, "_Znam", (size_t size), size);
OPERATOR(3, "_ZnwmRKSt9nothrow_t", (size_t size, const void *nothrow), size, nothrow);
OPERATOR(4, "_ZnamRKSt9nothrow_t", (size_t size, const void *nothrow), size, nothrow);
OPERATOR(5, "_ZnwmSt11align_val_t", (size_t size, size_t align), size, align);
OPERATOR(6, "_ZnamSt11align_val_t", (size_t size, size_t align), size, align);

/* A child of fork counts what it was served itself. */
static void forget(void)
{
    served = verified = foreign = 0;
}

__attribute__((constructor)) static void start(void)
{
    pthread_atfork(NULL, NULL, forget);
}

__attribute__((destructor)) static void tell(void)
{
    const char *directory = getenv("SERVED_DIRECTORY");
    char path[4096], line[4096];
    if (directory == NULL)
        return;
    snprintf(path, sizeof path, "%s/%ld", directory, (long)getpid());
    int length = snprintf(line, sizeof line, "%lu %lu %lu %s\n", (unsigned long)served, (unsigned long)verified,
                          (unsigned long)foreign, program_invocation_name);
    int file = open(path, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);
    if (file < 0 || write(file, line, (size_t)length) != length)
        fprintf(stderr, "served: cannot write %s\n", path);
}
