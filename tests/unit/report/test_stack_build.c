#define _GNU_SOURCE
#include "make_snapshot.h"

#include "report/snapshot_read.h"
#include "report/stack_build.h"

#include <criterion/criterion.h>

#define FIRST_NODES 5u /* of the depot's first segment: two words of a run, and three frames */

/* A snapshot of a process at some moment of its life, and a depot of two segments or, before there was a second, one. */
static struct bmm__snapshot at_moment(const char *path, bool has_second)
{
    struct bmm__snapshot snapshot;
    struct bmm__why why;
    cr_assert(bmm__snapshot_open(&snapshot, path, &why), "%s", why.text);
    cr_assert_eq(snapshot.range_count, 1);
    struct bmm__stack_range whole = snapshot.ranges[0], *ranges = realloc(snapshot.ranges, 2 * sizeof *ranges);
    ranges[0] = (struct bmm__stack_range){ .count = 1 + FIRST_NODES, .words = whole.words };
    ranges[1] = (struct bmm__stack_range){ .first = 1 + FIRST_NODES,
                                           .count = whole.count - 1 - FIRST_NODES,
                                           .words = whole.words + 1 + FIRST_NODES };
    snapshot.ranges = ranges;
    snapshot.range_count = has_second ? 2 : 1;
    return snapshot;
}

struct fixture {
    struct bmm__report *report;
    struct bmm__symbolizer *symbolizer;
    struct bmm__stack_build build;
    struct bmm__snapshot before, after;
    uint32_t known, elsewhere,
        later; /* stacks: in the first segment, one of them outside of the first module; in the second */
};

static void put(struct fixture *f, const char *path, bool has_other_module)
{
    struct made_snapshot made;
    made_begin(&made, BMM_MODE_LEAK, BMM_SNAPSHOT_RUNNING);
    made_module(&made, "/path/of/program", 0x1000, 0x9000, 0, NULL, 0);
    if (has_other_module)
        made_module(&made, "/path/of/other", 0x10000, 0x20000, 0, NULL, 0);
    f->known = made_node(&made, made_node(&made, 0, 0x2000), 0x3000);
    f->elsewhere = made_node(&made, f->known, 0x10100);
    cr_assert_eq(f->elsewhere, FIRST_NODES);
    f->later = made_node(&made, f->known, 0x4000);
    made_write(&made, path);
}

static void begin(struct fixture *f, bool has_module_before, bool has_module_after)
{
    const char *path = made_path("moments.bmm");
    f->report = bmm__report_make();
    f->symbolizer = bmm__symbolizer_make(&f->report->strings);
    put(f, path, has_module_before);
    f->before = at_moment(path, false);
    unlink(path);
    put(f, path, has_module_after);
    f->after = at_moment(path, true);
    unlink(path);
    bmm__stack_build_open(&f->build, &f->before, f->symbolizer, &f->report->arena);
}

static void end(struct fixture *f)
{
    bmm__stack_build_free(&f->build);
    bmm__snapshot_close(&f->before);
    bmm__snapshot_close(&f->after);
    bmm__symbolizer_free(f->symbolizer);
    bmm__report_free(f->report);
}

Test(stack_build, goes_on_when_the_depot_has_grown)
{
    struct fixture f;
    begin(&f, true, true);
    const struct bmm__stack *known = bmm__stack_build_get(&f.build, f.known);
    cr_assert_eq(known->count, 2);
    const char *fingerprint = bmm__stack_build_name(&f.build, f.known, BMM_KIND_NEW, &f.report->strings).fingerprint;
    cr_assert(bmm__stack_build_continue(&f.build, &f.after));
    cr_expect_eq(bmm__stack_build_get(&f.build, f.known), known, "it is not made again");
    cr_expect_eq(bmm__stack_build_name(&f.build, f.known, BMM_KIND_NEW, &f.report->strings).fingerprint, fingerprint);
    const struct bmm__stack *later = bmm__stack_build_get(&f.build, f.later);
    cr_assert_eq(later->count, 3);
    cr_expect_not(later->is_truncated);
    cr_expect_eq(later->frames[0]->offset, 0x4000 - 1);
    cr_expect_eq(later->frames[1], known->frames[0]);
    end(&f);
}

Test(stack_build, does_not_go_on_where_a_node_was_missing)
{
    struct fixture f;
    begin(&f, true, true);
    cr_expect(bmm__stack_build_get(&f.build, f.later)->is_truncated);
    cr_expect_not(bmm__stack_build_continue(&f.build, &f.after));
    end(&f);
}

Test(stack_build, does_not_go_on_with_a_depot_that_is_another_one)
{
    struct fixture f;
    begin(&f, true, true);
    f.after.ranges[0].count--;
    cr_expect_not(bmm__stack_build_continue(&f.build, &f.after));
    end(&f);
}

Test(stack_build, takes_up_modules_that_have_come)
{
    struct fixture f;
    begin(&f, false, true);
    const struct bmm__stack *known = bmm__stack_build_get(&f.build, f.known);
    cr_assert(bmm__stack_build_continue(&f.build, &f.after));
    cr_expect_eq(bmm__stack_build_get(&f.build, f.known), known);
    cr_expect_str_eq(bmm__stack_build_get(&f.build, f.elsewhere)->frames[0]->module, "/path/of/other");
    end(&f);
}

Test(stack_build, does_not_go_on_where_an_address_was_in_no_module_and_modules_have_come)
{
    struct fixture f;
    begin(&f, false, true);
    cr_expect_null(bmm__stack_build_get(&f.build, f.elsewhere)->frames[0]->module);
    cr_expect_not(bmm__stack_build_continue(&f.build, &f.after));
    end(&f);
    begin(&f, false, false);
    cr_expect_null(bmm__stack_build_get(&f.build, f.elsewhere)->frames[0]->module);
    cr_expect(bmm__stack_build_continue(&f.build, &f.after), "none has come");
    end(&f);
}

Test(stack_build, what_is_put_off_is_made_later)
{
    struct fixture f;
    begin(&f, true, true);
    bmm__symbolizer_be_modest(f.symbolizer, true);
    cr_expect_not(bmm__stack_build_try(&f.build, f.known));
    cr_expect_not(bmm__stack_build_try(&f.build, f.known), "nor if it is asked for again");
    bmm__symbolizer_be_modest(f.symbolizer, false);
    cr_assert(bmm__stack_build_continue(&f.build, &f.after), "no node was missing");
    cr_expect(bmm__stack_build_try(&f.build, f.known));
    cr_expect_eq(bmm__stack_build_get(&f.build, f.known)->count, 2);
    cr_expect_not(bmm__stack_build_get(&f.build, f.known)->is_truncated);
    cr_expect_eq(bmm__stack_build_get(&f.build, f.elsewhere)->count, 3);
    end(&f);
}

Test(stack_build, leaks_are_named_by_their_kind_and_stack)
{
    struct fixture f;
    begin(&f, true, true);
    struct bmm__strings *strings = &f.report->strings;
    struct bmm__leak_name a = bmm__stack_build_name(&f.build, f.known, BMM_KIND_NEW, strings),
                          kind = bmm__stack_build_name(&f.build, f.known, BMM_KIND_MALLOC, strings),
                          stack = bmm__stack_build_name(&f.build, f.elsewhere, BMM_KIND_NEW, strings),
                          again = bmm__stack_build_name(&f.build, f.known, BMM_KIND_NEW, strings);
    cr_expect(a.key.a == again.key.a && a.key.b == again.key.b && a.fingerprint == again.fingerprint);
    cr_expect(a.key.a != kind.key.a && a.key.b != kind.key.b && strcmp(a.fingerprint, kind.fingerprint) != 0);
    cr_expect(a.key.a != stack.key.a && a.key.b != stack.key.b && strcmp(a.fingerprint, stack.fingerprint) != 0);
    end(&f);
}
