/* The system counts a process's mappings (vm.max_map_count), and refuses to unmap the middle of one when there are as many as there
 * may be. What could not be given back so can be had again; its addresses were lost. */
// with: libbrainmm
// stdout: as many mappings as there may be: yes
// stdout: as many blocks as before
#define _GNU_SOURCE
#include "limits.h"

#include <malloc.h>
#include <stdio.h>
#include <sys/mman.h>

enum { LIMIT = 400 << 20, PAGE = 4096, PART = 32 << 20 };
static char *filler;
static size_t filler_bytes;

static void set_limit(rlim_t bytes)
{
    setrlimit(RLIMIT_AS, &(struct rlimit){ bytes, RLIM_INFINITY });
}

/* As many mappings as there may be: neighbours with different rights, or they would be one. Whether that many were had. */
static bool map_all(void)
{
    FILE *file = fopen("/proc/sys/vm/max_map_count", "r");
    size_t most = 0;
    if (file == NULL || fscanf(file, "%zu", &most) != 1)
        abort();
    fclose(file);
    filler_bytes = (2 * most + 2) * PAGE;
    filler = mmap(NULL, filler_bytes, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
    for (size_t i = 1; i < 2 * most; i += 2)
        if (mprotect(filler + i * PAGE, PAGE, PROT_READ) != 0)
            return true;
    return false;
}

/* Blocks of which some stay: one in as many bytes as two arenas have under that limit, so that what is empty lies between what is not. */
static void *fill_and_keep(void)
{
    void **kept = NULL, **freed = NULL, **block;
    for (size_t i = 0; (block = malloc(BLOCK)) != NULL; i++) {
        void ***list = i % (PART / BLOCK) == 0 ? &kept : &freed;
        *block = *list;
        *list = block;
    }
    for (; freed != NULL; freed = block) {
        block = *freed;
        free(freed);
    }
    return kept;
}

int main(int count, char **arguments)
{
    (void)arguments;
    if (count == 1) {
        set_limit(LIMIT);
        execl("/proc/self/exe", arguments[0], "under", (char *)NULL);
        return 1;
    }
    size_t first = fill_and_free(LIMIT);
    malloc_trim(0);
    void **kept = fill_and_keep();
    set_limit(RLIM_INFINITY);
    printf("as many mappings as there may be: %s\n", map_all() ? "yes" : "no");
    malloc_trim(0);
    munmap(filler, filler_bytes);
    for (void **block; kept != NULL; kept = block) {
        block = *kept;
        free(kept);
    }
    malloc_trim(0);
    set_limit(LIMIT);
    size_t again = fill_and_free(LIMIT);
    if (first > LIMIT / BLOCK / 2 && again >= first - first / 20)
        puts("as many blocks as before");
    else
        printf("%zu blocks, later %zu\n", first, again);
    return 0;
}
