/* Memory pages: runs of 4 KiB units, resized by count, whose access rights may be changed. */
#include "core/entry.h"
#include "core/share.h"

#include "core/client.h"
#include "core/os.h"
#include "core/process.h"
#include "core/run.h"

#include "brainmm/brainmm.h"
#include "brainmm/snapshot.h"

#include <errno.h>

/* False with ENOMEM: more than there can be. */
static bool bytes_of(size_t count, size_t *bytes)
{
    if (!__builtin_mul_overflow(count, BMM_PAGE_BYTES, bytes) && *bytes <= PTRDIFF_MAX)
        return true;
    errno = ENOMEM;
    return false;
}

void *bmm_pages_get(size_t count)
{
    size_t bytes;
    if (count == 0) {
        errno = EINVAL;
        return NULL;
    }
    return bytes_of(count, &bytes) ? bmm__alloc_run(bytes, bmm__os_page_bytes(), BMM__USE_PAGES, BMM_KIND_PAGES) : NULL;
}

bool bmm_pages_free(void *pages)
{
    return bmm__free_as(pages, BMM__USE_PAGES, BMM_KIND_PAGES);
}

static void *resize(void *pages, size_t count, void *(*change)(void *p, size_t size, unsigned kind))
{
    size_t bytes;
    if (pages == NULL)
        return bmm_pages_get(count);
    if (count == 0) {
        bmm_pages_free(pages);
        return NULL;
    }
    if (!bytes_of(count, &bytes))
        return NULL;
    bmm__process_start();
    if (bmm__process.client == NULL && !bmm__run_is_start((uintptr_t)pages, BMM__USE_PAGES)) {
        errno = EINVAL;
        return NULL;
    }
    return change(pages, bytes, BMM_KIND_PAGES);
}

void *bmm_pages_realloc(void *pages, size_t count)
{
    return resize(pages, count, bmm__realloc_any);
}
BMM__SHARE_OWN(bmm_pages_realloc);

void *bmm_pages_reget(void *pages, size_t count)
{
    return resize(pages, count, bmm__reget_any);
}
BMM__SHARE_OWN(bmm_pages_reget);
