#include "report/fingerprint.h"

#include "report/map.h"
#include "report/role.h"

#include <stddef.h>

/* By its module and, in a module whose functions change only with the file, its place there. True: by a place. */
static bool add_nameless(uint64_t *hash, const struct bmm__frame *frame)
{
    const char *module = bmm__base_name(frame->module);
    *hash = bmm__hash_text(bmm__hash_text(*hash, module != NULL ? module : ""), "?");
    if (module == NULL || bmm__frame_is_system(frame))
        return false; /* an address that is another one in each run; libc, where the caller's name is enough */
    *hash = bmm__hash(*hash, &frame->offset, sizeof frame->offset);
    return true;
}

void bmm__fingerprint(char text[BMM__FINGERPRINT_BYTES], const char *kind, const struct bmm__stack *stack)
{
    uint64_t hash = bmm__hash_text(bmm__hash_text(BMM__HASH_SEED, kind), "\n");
    uint32_t top = bmm__stack_top(stack), bottom = bmm__stack_bottom(stack, top);
    bool has_places = false;
    for (uint32_t i = top; i < bottom; i++) {
        const struct bmm__frame *frame = stack->frames[i];
        if (bmm__frame_is_system(frame) && i + 1 < bottom && bmm__frame_is_system(stack->frames[i + 1]))
            continue;
        const char *entry = bmm__frame_is_system(frame) ? bmm__stack_entry(stack, i + 1) : NULL;
        const char *name = entry != NULL ? entry : frame->function;
        if (name != NULL)
            hash = bmm__hash_text(hash, name);
        else
            has_places |= add_nameless(&hash, frame);
        hash = bmm__hash_text(hash, "\n");
    }
    hash ^= hash >> 32;
    hash *= 0x9e3779b97f4a7c15u;
    hash ^= hash >> 29;
    *text++ = has_places ? '2' : '1';
    *text++ = ':';
    for (int shift = 60; shift >= 0; shift -= 4)
        *text++ = "0123456789abcdef"[hash >> shift & 15];
    *text = 0;
}
