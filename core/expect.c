#include "core/expect.h"

#include "core/assert.h"
#include "core/client.h"
#include "core/lock.h"
#include "core/os.h"
#include "core/page_run.h"
#include "core/process.h"
#include "core/share.h"
#include "core/size_class.h"

#include "brainmm/brainmm.h"
#include "brainmm/snapshot.h"

#include <errno.h>
#include <string.h>

#define RULES_MAX 1024u

struct rule {
    uintptr_t start; /* of a block; 0: of blocks of a size */
    size_t size, count;
};

BMM__LOCK(lock, BMM__RANK_EXPECT);
static struct rule rules[RULES_MAX] BMM__TABLE; /* under lock; count 0: unused */

/* The rule for the same, or an unused one; NULL: there is neither. */
static struct rule *find(uintptr_t start, size_t size)
{
    struct rule *unused = NULL;
    for (struct rule *rule = rules; rule < rules + RULES_MAX; rule++) {
        if (rule->count == 0)
            unused = unused == NULL ? rule : unused;
        else if (rule->start == start && rule->size == size)
            return rule;
    }
    return unused;
}

static int add(uintptr_t start, size_t size, size_t count)
{
    struct rule *rule = find(start, size);
    if (rule == NULL)
        return ENOMEM;
    if (rule->count + count < count)
        return EINVAL;
    *rule = (struct rule){ start, size, start != 0 ? 1 : rule->count + count };
    return 0;
}

static int take_back(uintptr_t start, size_t size, size_t count)
{
    struct rule *rule = find(start, size);
    if (rule == NULL || rule->count < count)
        return EINVAL;
    rule->count -= count;
    return 0;
}

static int note(const struct bmm__expectation *expected)
{
    if (expected->what == BMM__EXPECT_STACK)
        return ENOTSUP;
    if (expected->what == BMM__EXPECT_SCOPE)
        return 0;
    size_t count = expected->what == BMM__EXPECT_BLOCK ? 1 : expected->count;
    bmm__lock_take(&lock);
    int error = (expected->is_on ? add : take_back)((uintptr_t)expected->block, expected->size, count);
    bmm__lock_release(&lock);
    return error;
}

/* Says it to whoever serves the process. */
static bool say(const struct bmm__expectation *expected)
{
    int saved_errno = errno, error;
    bmm__process_start();
    if (bmm__share_owner() != NULL)
        error = bmm__share_owner()->expect(expected);
    else
        error = bmm__expect(expected);
    errno = error == 0 ? saved_errno : error;
    return error == 0;
}

int bmm__expect(const struct bmm__expectation *expected)
{
    return bmm__process.client != NULL ? bmm__process.client->expect(expected) : note(expected);
}

static bool say_of_block(const void *p, bool is_on)
{
    struct bmm_memory_options options;
    if (!bmm_memory_options(p, &options) || options.start != p || options.kind == BMM_MEMORY_JIT) {
        errno = EINVAL;
        return false;
    }
    return say(&(struct bmm__expectation){ .what = BMM__EXPECT_BLOCK, .is_on = is_on, .block = p });
}

bool bmm_expect_leak(const void *p)
{
    return say_of_block(p, true);
}

bool bmm_unexpect_leak(const void *p)
{
    return say_of_block(p, false);
}

static bool say_of_size(size_t size, size_t count, bool is_on)
{
    if (count == 0) {
        errno = EINVAL;
        return false;
    }
    return say(&(struct bmm__expectation){ .what = BMM__EXPECT_SIZE, .is_on = is_on, .size = size, .count = count });
}

bool bmm_expect_leaks(size_t size, size_t count)
{
    return say_of_size(size, count, true);
}

bool bmm_unexpect_leaks(size_t size, size_t count)
{
    return say_of_size(size, count, false);
}

static bool say_of_stack(const char *pattern, bool is_on)
{
    if (pattern == NULL || *pattern == '\0' || strlen(pattern) >= BMM_EXPECT_PATTERN_BYTES) {
        errno = EINVAL;
        return false;
    }
    return say(&(struct bmm__expectation){ .what = BMM__EXPECT_STACK, .is_on = is_on, .pattern = pattern });
}

bool bmm_expect_leaks_of(const char *pattern)
{
    return say_of_stack(pattern, true);
}

bool bmm_unexpect_leaks_of(const char *pattern)
{
    return say_of_stack(pattern, false);
}

void bmm_expect_push(void)
{
    say(&(struct bmm__expectation){ .what = BMM__EXPECT_SCOPE, .is_on = true });
}

bool bmm_expect_pop(void)
{
    return say(&(struct bmm__expectation){ .what = BMM__EXPECT_SCOPE, .is_on = false });
}

/* What a request for so many bytes takes. */
static size_t slot_bytes_of(size_t size)
{
    if (size <= BMM__SLOT_BYTES_MAX)
        return bmm__class_bytes(bmm__size_class(size == 0 ? 1 : size));
    size_t unit = size <= BMM__PAGE_RUN_BYTES_MAX ? bmm__os_page_bytes() : BMM__GRANULE;
    return (size + unit - 1) & ~(unit - 1);
}

bool bmm__expect_takes(uintptr_t start, size_t slot_bytes)
{
    bool is_taken = false;
    bmm__lock_take(&lock);
    for (struct rule *rule = rules; rule < rules + RULES_MAX && !is_taken; rule++)
        if (rule->count != 0 && (rule->start != 0 ? rule->start == start : slot_bytes_of(rule->size) == slot_bytes)) {
            rule->count--;
            is_taken = true;
        }
    bmm__lock_release(&lock);
    return is_taken;
}
