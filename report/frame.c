#include "report/frame.h"

#include "report/role.h"

static uint64_t add(uint64_t hash, uint64_t word)
{
    hash = (hash ^ word) * 0x9e3779b97f4a7c15u;
    return hash ^ hash >> 29;
}

void bmm__frame_settle(struct bmm__frame *frame)
{
    uint64_t key = add(0, (uintptr_t)frame->function);
    key = add(key, (uintptr_t)frame->file);
    key = add(key, (uintptr_t)frame->module);
    key = add(key, frame->line);
    frame->key = add(key, frame->line == 0 ? frame->offset : 0);
    frame->part = (uint8_t)bmm__part_of(frame);
}
