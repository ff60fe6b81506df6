// leak: bytes=77 blocks=1 kind=malloc stack=work@alloc
#include <pthread.h>
#include <stdlib.h>

static void *work(void *unused)
{
    malloc(77); /* @alloc */
    return unused;
}

int main(void)
{
    pthread_t thread;
    pthread_create(&thread, NULL, work, NULL);
    return pthread_join(thread, NULL);
}
