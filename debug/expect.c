/* See expect.h. */
#include "expect.h"

#include "block.h"
#include "process.h"
#include "record.h"
#include "recorder.h"
#include "thread.h"

#include "core/atomic.h"
#include "core/lock.h"

#include <errno.h>
#include <string.h>

#define RULES_PER_CHUNK 64u
#define CHUNKS_MAX 64u

BMM__LOCK(lock, BMM__RANK_CLIENT);
static struct bmm_snapshot_expected *chunks[CHUNKS_MAX]; /* under lock */

/* ---- marks ---- */

/* The record is claimed by us. */
static void mark(struct bmm__side *side, uint32_t index, bool is_on)
{
    struct bmm__record *record = &side->records[index];
    record->is_expected = is_on;
    bool has_mirror = bmm__load_relaxed(&bmm__recorder_process->state) != BMM__RECORDER_UNSETTLED &&
                      bmm__record_may_mirror(side) && side->mirrors != NULL;
    uint32_t state = has_mirror ? BMM_MIRROR_STATE(bmm__load_relaxed(&side->mirrors[index].detail)) : BMM_SLOT_NEVER;
    if (state == BMM_SLOT_LIVE || state == BMM_SLOT_EXPECTED) /* else a forked child inherited the block */
        bmm__record_mirror_state(side, index, record->kind, is_on ? BMM_SLOT_EXPECTED : BMM_SLOT_LIVE);
}

static int note_block(const void *p, bool is_on)
{
    struct bmm__block block;
    if (bmm__block_claim((uintptr_t)p, &block) != BMM__BLOCK_LIVE)
        return EINVAL;
    bool is_right = is_on || block.record->is_expected;
    if (is_right)
        mark(block.side, block.slot.index, is_on);
    bmm__block_unclaim(&block);
    return is_right ? 0 : EINVAL;
}

/* ---- rules ---- */

static bool is_same(const struct bmm_snapshot_expected *rule, const struct bmm__expectation *expected)
{
    if (expected->what == BMM__EXPECT_STACK)
        return strcmp(rule->pattern, expected->pattern) == 0;
    return rule->pattern[0] == '\0' && rule->size == expected->size;
}

/* The rule that says the same, else an unused one; NULL: there is no room. Under lock. */
static struct bmm_snapshot_expected *find_rule(const struct bmm__expectation *expected)
{
    struct bmm_snapshot_expected *unused = NULL;
    for (uint32_t chunk = 0; chunk < CHUNKS_MAX; chunk++) {
        if (chunks[chunk] == NULL && unused == NULL)
            chunks[chunk] = bmm__recorder_chunk(BMM_CHUNK_EXPECTED, RULES_PER_CHUNK * sizeof *unused, 0, NULL);
        if (chunks[chunk] == NULL)
            break;
        for (struct bmm_snapshot_expected *rule = chunks[chunk]; rule < chunks[chunk] + RULES_PER_CHUNK; rule++) {
            if (rule->is_on == 0)
                unused = unused == NULL ? rule : unused;
            else if (is_same(rule, expected))
                return rule;
        }
    }
    return unused;
}

static int change_rule(struct bmm_snapshot_expected *rule, const struct bmm__expectation *expected)
{
    bool is_known = rule->is_on != 0;
    if (!expected->is_on) {
        if (!is_known || (expected->what == BMM__EXPECT_SIZE && rule->count < expected->count))
            return EINVAL;
        rule->count -= expected->count;
        if (expected->what == BMM__EXPECT_STACK || rule->count == 0)
            bmm__store_release(&rule->is_on, 0u);
        return 0;
    }
    if (!is_known) {
        memset(rule, 0, sizeof *rule);
        rule->size = expected->size;
        if (expected->what == BMM__EXPECT_STACK)
            memcpy(rule->pattern, expected->pattern,
                   strlen(expected->pattern) + 1); /* shorter than the room: expect.c of core */
    }
    if (rule->count + expected->count < rule->count)
        return EINVAL;
    rule->count += expected->count;
    bmm__store_release(&rule->is_on, 1u); /* last: it counts from now on */
    return 0;
}

static int note_rule(const struct bmm__expectation *expected)
{
    if (!bmm__process_is_settled())
        return ENOMEM;
    bmm__lock_take(&lock);
    struct bmm_snapshot_expected *rule = find_rule(expected);
    int error = rule == NULL ? ENOMEM : change_rule(rule, expected);
    bmm__lock_release(&lock);
    return error;
}

/* ---- scopes ---- */

struct scope {
    uint16_t thread;
    uint32_t from, to; /* counts of its allocations: [from, to) */
};

static bool is_in_scope(const struct bmm__record *record, const struct scope *scope)
{
    return record->thread == scope->thread && record->count - scope->from < scope->to - scope->from;
}

static void mark_in_scope(struct bmm__span *span, void *side_of_span, void *context)
{
    struct bmm__side *side = side_of_span;
    (void)span;
    for (uint32_t i = 0; i < side->slot_count; i++) {
        struct bmm__record *record = &side->records[i];
        if (bmm__load_acquire(&record->state) != BMM_SLOT_LIVE || !is_in_scope(record, context) ||
            !bmm__record_claim(record, BMM_SLOT_LIVE))
            continue;
        if (is_in_scope(record, context)) /* still */
            mark(side, i, true);
        bmm__store_release(&record->state, (uint8_t)BMM_SLOT_LIVE);
    }
}

void bmm__expect_end_scope(struct bmm__thread *thread)
{
    if (thread->expect_depth == 0)
        return;
    struct scope scope = { thread->index, thread->expect_from, bmm__load_relaxed(&thread->alloc_count) };
    thread->expect_depth = 0;
    if (thread->index != BMM__THREAD_INDEX_SHARED && scope.from != scope.to)
        bmm__core_walk(mark_in_scope, &scope);
}

static int note_scope(bool is_on)
{
    struct bmm__thread *thread = bmm__thread_current();
    if (thread == NULL)
        return ENOMEM;
    if (is_on) {
        if (thread->expect_depth++ == 0)
            thread->expect_from = thread->alloc_count;
        return 0;
    }
    if (thread->expect_depth == 0)
        return EINVAL;
    if (thread->expect_depth > 1)
        thread->expect_depth--;
    else
        bmm__expect_end_scope(thread);
    return 0;
}

int bmm__expect_note(const struct bmm__expectation *expected)
{
    switch (expected->what) {
    case BMM__EXPECT_BLOCK:
        return note_block(expected->block, expected->is_on);
    case BMM__EXPECT_SCOPE:
        return note_scope(expected->is_on);
    case BMM__EXPECT_SIZE:
    case BMM__EXPECT_STACK:
        break;
    }
    return note_rule(expected);
}
