#include "report/fingerprint.h"

#include "report/map.h"
#include "report/role.h"

#include <stddef.h>
#include <stdio.h>
#include <string.h>

static uint64_t add(uint64_t hash, const char *text)
{
    return bmm__hash(hash, text, strlen(text));
}

void bmm__fingerprint(char text[BMM__FINGERPRINT_BYTES], const char *kind, const struct bmm__stack *stack)
{
    uint64_t hash = add(add(BMM__HASH_SEED, kind), "\n");
    uint32_t top = bmm__stack_top(stack), bottom = bmm__stack_bottom(stack, top);
    for (uint32_t i = top; i < bottom; i++) {
        const struct bmm__frame *frame = stack->frames[i];
        if (bmm__frame_is_system(frame) && i + 1 < bottom && bmm__frame_is_system(stack->frames[i + 1]))
            continue;
        const char *name = frame->function;
        const char *entry = bmm__frame_is_system(frame) ? bmm__stack_entry(stack, i + 1) : NULL;
        if (entry != NULL)
            name = entry;
        if (name != NULL) {
            hash = add(hash, name);
        } else {
            const char *module = bmm__base_name(frame->module);
            hash = add(add(hash, module != NULL ? module : ""), "?");
        }
        hash = add(hash, "\n");
    }
    hash ^= hash >> 32;
    hash *= 0x9e3779b97f4a7c15u;
    hash ^= hash >> 29;
    snprintf(text, BMM__FINGERPRINT_BYTES, "1:%016llx", (unsigned long long)hash);
}
