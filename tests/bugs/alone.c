// with: libbrainmm_debug
// env: BRAINMM_OPTIONS=mode=check
#include <stdlib.h>

int main(void)
{
    malloc(10);
    return 0;
}
