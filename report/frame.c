#include "report/frame.h"

#include "report/fingerprint.h"
#include "report/map.h"
#include "report/role.h"

#include <stddef.h>

void bmm__frame_settle(struct bmm__frame *frame)
{
    bmm__frame_settle_named(frame, frame->function != NULL ? bmm__fingerprint_name(frame->function) : 0);
}

void bmm__frame_settle_named(struct bmm__frame *frame, uint64_t name_hash)
{
    uint64_t key = bmm__hash_word(0, (uintptr_t)frame->function);
    key = bmm__hash_word(key, (uintptr_t)frame->file);
    key = bmm__hash_word(key, (uintptr_t)frame->module);
    key = bmm__hash_word(key, frame->line);
    frame->key = bmm__hash_word(key, frame->line == 0 ? frame->offset : 0);
    frame->own_hash = bmm__fingerprint_own(frame, name_hash);
    frame->part = (uint8_t)bmm__part_of(frame);
}
