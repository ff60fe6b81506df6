/* Access rights of pages, ours or not: changed by the system, which is asked what they are; what the system need not be asked
 * for is memory of ours of which nothing was changed. */
#include "core/atomic.h"
#include "core/os.h"
#include "core/page_map.h"
#include "core/process.h"
#include "core/run.h"
#include "core/share.h"

#include "brainmm/brainmm.h"

#include <errno.h>

#define RIGHTS_ALL (BMM_RIGHT_READ | BMM_RIGHT_WRITE | BMM_RIGHT_EXECUTE)
#define RIGHTS_USUAL (BMM_RIGHT_READ | BMM_RIGHT_WRITE)

_Static_assert(BMM_RIGHT_READ == (int)BMM__OS_READ && BMM_RIGHT_WRITE == (int)BMM__OS_WRITE &&
                   BMM_RIGHT_EXECUTE == (int)BMM__OS_EXECUTE,
               "rights are the system's of os.h");

static void note(uintptr_t start, uintptr_t end)
{
    for (uintptr_t at = start; at < end; at = (at | (BMM__GRANULE - 1)) + 1) {
        struct bmm__span *span = bmm__page_map_find(at);
        uintptr_t granule_end = (at | (BMM__GRANULE - 1)) + 1;
        if (span != NULL)
            bmm__run_note_rights(span, at, granule_end < end ? granule_end : end);
    }
}

bool bmm_pages_protect(void *pages, size_t count, unsigned rights)
{
    uintptr_t start = (uintptr_t)pages;
    size_t bytes;
    if (start % BMM_PAGE_BYTES != 0 || (rights & ~(unsigned)RIGHTS_ALL) != 0) {
        errno = EINVAL;
        return false;
    }
    if (__builtin_mul_overflow(count, BMM_PAGE_BYTES, &bytes) || start + bytes < start ||
        start + bytes > (uintptr_t)1 << BMM__ADDRESS_BITS) {
        errno = ENOMEM; /* as the system says of what is not there */
        return false;
    }
    bmm__process_start();
    if (bmm__share_owner() != NULL)
        return bmm__share_owner()->pages_protect(pages, count, rights);
    if (rights != RIGHTS_USUAL) /* first: if it is given back at once, they are restored */
        note(start, start + bytes);
    return bmm__os_protect(pages, bytes, rights);
}
BMM__SHARE_OWN(bmm_pages_protect);

int bmm_pages_rights(const void *p)
{
    const struct bmm__span *span = bmm__page_map_find((uintptr_t)p);
    if (span != NULL && !bmm__run_has_rights(span, (uintptr_t)p))
        return RIGHTS_USUAL;
    return bmm__os_rights((uintptr_t)p);
}
