/* A heap of the program's own has no room to note one more span, and the system gives none: the span goes back, and what was in
 * that memory before is not taken for zeros. */
// with: libbrainmm
// stdout: refused
// stdout: zero
#define _GNU_SOURCE
#include <dlfcn.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>

enum { BLOCK = 30000, PER_SPAN = 25, SPANS = 16, MEMORY = 24 << 16, FRESH = 1200000 };

static void *(*heap_malloc)(void *heap, size_t size); /* the library is preloaded */

int main(void)
{
    static char buffer[BUFSIZ]; /* not between what follows */
    setvbuf(stdout, buffer, _IOFBF, sizeof buffer);
    void *(*heap_create)(void);
    *(void **)&heap_create = dlsym(RTLD_DEFAULT, "bmm_heap_create");
    *(void **)&heap_malloc = dlsym(RTLD_DEFAULT, "bmm_heap_malloc");
    void *heap = heap_create(), *other = heap_create();
    heap_malloc(other, 16);
    for (int i = 0; i < PER_SPAN * SPANS; i++)
        if (heap_malloc(heap, BLOCK) == NULL)
            return 1;
    char *used = malloc(MEMORY);
    memset(used, 0x5a, MEMORY);
    free(used);
    heap_malloc(other, BLOCK); /* has half of it */
    struct rlimit before, none;
    getrlimit(RLIMIT_AS, &before);
    none = before;
    none.rlim_cur = 1 << 20;
    setrlimit(RLIMIT_AS, &none);
    puts(heap_malloc(heap, BLOCK) == NULL ? "refused" : "had");
    unsigned char *fresh = calloc(1, FRESH);
    size_t wrong = 0;
    for (size_t i = 0; fresh != NULL && i < FRESH; i++)
        wrong += fresh[i] != 0;
    setrlimit(RLIMIT_AS, &before);
    puts(fresh == NULL ? "no memory" : wrong == 0 ? "zero" : "not zero");
    return 0;
}
