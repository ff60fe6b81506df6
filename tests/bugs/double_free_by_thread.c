// error: double-free size=64 detected=free_it@again allocated=main@alloc freed=main@free
/* Another thread than the one that allocated. */
#define _GNU_SOURCE
#include <pthread.h>
#include <stdlib.h>

static void *free_it(void *block)
{
    pthread_setname_np(pthread_self(), "worker");
    free(block); /* @again */
    return NULL;
}

int main(void)
{
    pthread_t thread;
    char *block = malloc(64); /* @alloc */
    free(block);              /* @free */
    pthread_create(&thread, NULL, free_it, block);
    pthread_join(thread, NULL);
    return 0;
}
