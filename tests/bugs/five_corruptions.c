// error: heap-overflow size=10 offsets=10 allocated=main@one
// error: heap-underflow size=20 offsets=-2 allocated=main@two
// error: double-free size=30 allocated=main@three
// error: interior-free size=40 allocated=main@four
// error: write-after-free size=50 offsets=0 allocated=main@five
#include <stdlib.h>

int main(void)
{
    volatile char *one = malloc(10);   /* @one */
    volatile char *two = malloc(20);   /* @two */
    volatile char *three = malloc(30); /* @three */
    volatile char *four = malloc(40);  /* @four */
    volatile char *five = malloc(50);  /* @five */
    one[10] = 1;
    two[-2] = 2;
    free((void *)one);
    free((void *)two);
    free((void *)three);
    free((void *)three);
    free((void *)(four + 8));
    free((void *)four);
    free((void *)five);
    five[0] = 5;
    return 0;
}
