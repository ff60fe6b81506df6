#include "report/fingerprint.h"

#include "report/map.h"
#include "report/role.h"

#include <stddef.h>

/* ---- what counts ---- */

/* A frame that counts: by its name or, where that is NULL, as nameless. */
struct counted {
    const struct bmm__frame *frame;
    const char *name;
};

/* The next one from frame *i on, which becomes that behind it. False: there is none before `bottom`. */
static bool next_counted(const struct bmm__stack *stack, uint32_t bottom, uint32_t *i, struct counted *counted)
{
    for (; *i < bottom; ++*i) {
        const struct bmm__frame *frame = stack->frames[*i];
        bool is_system = bmm__frame_is_system(frame);
        if (is_system && *i + 1 < bottom && bmm__frame_is_system(stack->frames[*i + 1]))
            continue;
        const char *entry = is_system ? bmm__stack_entry(stack, *i + 1) : NULL;
        *counted = (struct counted){ frame, entry != NULL ? entry : frame->function };
        ++*i;
        return true;
    }
    return false;
}

/* A nameless frame whose place counts: not an address that is another one in each run, nor of libc, where the caller's
 * name is enough. */
static bool has_place(const struct bmm__frame *frame)
{
    return frame->function == NULL && frame->module != NULL && !bmm__frame_is_system(frame);
}

static uint64_t add_module(uint64_t hash, const struct bmm__frame *frame)
{
    const char *module = bmm__base_name(frame->module);
    return bmm__hash_text(bmm__hash_text(hash, module != NULL ? module : ""), "?");
}

/* ---- the schemes ---- */

static uint64_t by_names(const char *kind, const struct bmm__stack *stack, uint32_t top, uint32_t bottom)
{
    struct counted counted;
    uint64_t hash = bmm__hash_text(bmm__hash_text(BMM__HASH_SEED, kind), "\n");
    for (uint32_t i = top; next_counted(stack, bottom, &i, &counted);) {
        hash = counted.name != NULL ? bmm__hash_text(hash, counted.name) : add_module(hash, counted.frame);
        hash = bmm__hash_text(hash, "\n");
    }
    return hash;
}

uint64_t bmm__fingerprint_name(const char *function)
{
    return bmm__hash_text(BMM__HASH_SEED, function);
}

uint64_t bmm__fingerprint_own(const struct bmm__frame *frame, uint64_t name_hash)
{
    uint64_t hash = frame->function != NULL ? name_hash : add_module(BMM__HASH_SEED, frame);
    return has_place(frame) ? bmm__hash(hash, &frame->offset, sizeof frame->offset) : hash;
}

static uint64_t by_places(const char *kind, const struct bmm__stack *stack, uint32_t top, uint32_t bottom)
{
    struct counted counted;
    uint64_t hash = bmm__hash_text(BMM__HASH_SEED, kind);
    for (uint32_t i = top; next_counted(stack, bottom, &i, &counted);)
        hash = bmm__hash_word(hash, counted.name == counted.frame->function ? counted.frame->own_hash
                                                                            : bmm__fingerprint_name(counted.name));
    return hash;
}

void bmm__fingerprint(char text[BMM__FINGERPRINT_BYTES], const char *kind, const struct bmm__stack *stack)
{
    uint32_t top = bmm__stack_top(stack), bottom = bmm__stack_bottom(stack, top), place = top;
    while (place < bottom && !has_place(stack->frames[place]))
        place++;
    bool has_places = place < bottom;
    uint64_t hash = has_places ? by_places(kind, stack, top, bottom) : by_names(kind, stack, top, bottom);
    hash ^= hash >> 32;
    hash *= 0x9e3779b97f4a7c15u;
    hash ^= hash >> 29;
    *text++ = has_places ? '3' : '1';
    *text++ = ':';
    for (int shift = 60; shift >= 0; shift -= 4)
        *text++ = "0123456789abcdef"[hash >> shift & 15];
    *text = 0;
}
