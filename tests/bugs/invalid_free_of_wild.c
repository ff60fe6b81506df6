// error: invalid-free address=0x123456789ab0 detected=main@free
#include <stdint.h>
#include <stdlib.h>

int main(void)
{
    free((void *)(uintptr_t)0x123456789ab0); /* @free */
    return 0;
}
