// error: write-after-free size=64 offsets=0,1,2,3 allocated=main@alloc freed=end_it@free
/* The thread that freed it has ended, and with it gave back what it kept. */
#include <pthread.h>
#include <stdlib.h>
#include <string.h>

static char *block;

static void *end_it(void *unused)
{
    (void)unused;
    free(block); /* @free */
    return NULL;
}

int main(void)
{
    pthread_t thread;
    block = malloc(64); /* @alloc */
    pthread_create(&thread, NULL, end_it, NULL);
    pthread_join(thread, NULL);
    memset(block, 0, 4);
    return 0;
}
