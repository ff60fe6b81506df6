/* In the place of core/share.c, for tests of core and debug without malloc: this copy is the only one. */
#include "core/share.h"

#include "core/jit.h"

const struct bmm__client *bmm__share_join(void)
{
    return NULL;
}

void bmm__share_start(void)
{
}

const struct bmm__share_table *bmm__share_owner(void)
{
    return NULL;
}

const struct bmm__share_table *bmm__share_table(void)
{
    static const struct bmm__share_table table = {
        .jit_create = bmm__jit_create,
        .jit_has_dual_views = bmm__jit_has_dual_views,
        .jit_get = bmm__jit_get,
        .jit_sync_get = bmm__jit_sync_get,
        .jit_code = bmm__jit_code,
        .jit_data = bmm__jit_data,
        .jit_publish = bmm__jit_publish,
        .jit_free = bmm__jit_free,
        .jit_sync_free = bmm__jit_sync_free,
        .jit_clear = bmm__jit_clear,
        .jit_destroy = bmm__jit_destroy,
    };
    return &table;
}
