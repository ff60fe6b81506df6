/* The system counts a process's mappings (vm.max_map_count), and refuses to unmap the middle of one when there are as many as there
 * may be. What could not be given back so can be had again; its addresses were lost. */
// with: libbrainmm
// stdout: unmapped: yes
// stdout: as many blocks as before
#define _GNU_SOURCE
#include "limits.h"

#include <malloc.h>
#include <stdio.h>
#include <sys/mman.h>

enum { LIMIT = 400 << 20, MAPPINGS = 70000, PAGE = 4096, PART = 32 << 20 };
static void *mappings[MAPPINGS];

static void set_limit(rlim_t bytes)
{
    setrlimit(RLIMIT_AS, &(struct rlimit){ bytes, RLIM_INFINITY });
}

static size_t mapped_bytes(void)
{
    size_t pages = 0;
    FILE *file = fopen("/proc/self/statm", "r");
    if (file == NULL || fscanf(file, "%zu", &pages) != 1)
        abort();
    fclose(file);
    return pages * PAGE;
}

/* As many mappings as there may be: neighbours with different rights, or they would be one. */
static size_t map_all(void)
{
    size_t count = 0;
    while (count < MAPPINGS) {
        void *page = mmap(NULL, PAGE, count % 2 != 0 ? PROT_READ : PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
        if (page == MAP_FAILED)
            break;
        mappings[count++] = page;
    }
    return count;
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
    size_t mapping_count = map_all(), before = mapped_bytes();
    malloc_trim(0);
    printf("unmapped: %s\n", mapped_bytes() < before ? "yes" : "no");
    for (size_t i = 0; i < mapping_count; i++)
        munmap(mappings[i], PAGE);
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
