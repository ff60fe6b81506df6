/* Addresses of this very test become the functions, files and lines that are written here. */
#define _GNU_SOURCE
#include "make_snapshot.h"
#include "report/add_snapshot.h"
#include "report/role.h"
#include "report/stack_build.h"

#include <criterion/criterion.h>
#include <dlfcn.h>
#include <fcntl.h>
#include <ftw.h>
#include <sys/stat.h>

static void *pcs[64];
static int pc_count;

__attribute__((noinline)) static int innermost(int x)
{
    pc_count = backtrace(pcs, 64);
    __asm__ volatile("" : "+r"(x));
    return x;
}
enum { LINE_OF_INNERMOST = __LINE__ - 4 };

static inline __attribute__((always_inline)) int inlined_here(int x)
{
    x = innermost(x + 1);
    __asm__ volatile("" : "+r"(x));
    return x;
}
enum { LINE_OF_INLINED = __LINE__ - 4 };

__attribute__((noinline)) static int outer(int x)
{
    x = inlined_here(x * 2);
    __asm__ volatile("" : "+r"(x));
    return x;
}
enum { LINE_OF_OUTER = __LINE__ - 4 };

struct read_stack {
    struct bmm__report *report;
    const struct bmm__stack *stack; /* of the one leak */
};

static struct read_stack read_leak(struct made_snapshot *made, uint32_t stack)
{
    struct read_stack read = { .report = bmm__report_make() };
    struct bmm__symbolizer *symbolizer = bmm__symbolizer_make(&read.report->strings);
    made_block(made, made_span(made, 0x7f0000000000, 64, 1), BMM_SLOT_LIVE, BMM_KIND_MALLOC, 8, stack);
    const char *path = made_path("symbol.bmm");
    made_write(made, path);
    struct bmm__why why;
    cr_assert(bmm__report_add_snapshot(read.report, symbolizer, path, &(struct bmm__process_facts){ 0 }, &why), "%s",
              why.text);
    bmm__report_finish(read.report);
    bmm__report_add_symbol_notes(read.report, symbolizer);
    unlink(path);
    bmm__symbolizer_free(symbolizer);
    cr_assert_eq(read.report->leak_count + read.report->runtime_count, 1);
    read.stack = read.report->leak_count ? read.report->leaks[0].stack : read.report->runtime[0].stack;
    return read;
}

static void expect_frame(const struct bmm__frame *frame, const char *function, uint32_t line, bool is_inlined)
{
    cr_expect_str_eq(frame->function, function);
    cr_expect_not_null(frame->file);
    cr_expect_str_eq(frame->file ? strrchr(frame->file, '/') : "", "/test_symbol.c");
    cr_expect_eq(frame->line, line, "line %u of %s is not %u", frame->line, function, line);
    cr_expect_eq(frame->is_inlined, is_inlined);
    cr_expect_not_null(frame->module);
    cr_expect_gt(frame->offset, 0);
}

Test(symbol, functions_lines_and_inlined_frames)
{
    struct made_snapshot made;
    made_begin(&made, BMM_MODE_LEAK, BMM_SNAPSHOT_EXITED);
    made_own_modules(&made);
    outer(1);
    struct read_stack read = read_leak(&made, made_stack(&made, pcs, pc_count));
    const struct bmm__frame *const *frames = read.stack->frames;
    cr_assert_geq(read.stack->count, 4);
    while (strcmp(frames[1]->function, "innermost") == 0) /* a sanitizer's own backtrace() has it twice */
        frames++;
    expect_frame(frames[0], "innermost", LINE_OF_INNERMOST, false);
    expect_frame(frames[1], "inlined_here", LINE_OF_INLINED, true);
    expect_frame(frames[2], "outer", LINE_OF_OUTER, false);
    cr_expect_eq(frames[1]->offset, frames[2]->offset);
    for (uint32_t i = 0; i < read.report->note_count; i++)
        cr_expect_null(strstr(read.report->notes[i].text, "test_symbol"), "%s", read.report->notes[i].text);
    bmm__report_free(read.report);
}

static int keep_stack(const char *path, const struct stat *status, int type)
{
    (void)path;
    (void)status;
    (void)type;
    pc_count = backtrace(pcs, 64);
    return 0;
}

__attribute__((noinline)) static int visit_file(void)
{
    int result = ftw("/dev/null", keep_stack, 1);
    __asm__ volatile("" : "+r"(result));
    return result;
}

/* ftw jumps into an inner function of libc, which a stack shows without a name where libc has no symbols. */
Test(symbol, the_function_called_is_known_by_its_caller)
{
#if defined(__x86_64__)
    struct made_snapshot made;
    made_begin(&made, BMM_MODE_LEAK, BMM_SNAPSHOT_EXITED);
    made_own_modules(&made);
    visit_file();
    struct read_stack read = read_leak(&made, made_stack(&made, pcs, pc_count));
    const struct bmm__stack *stack = read.stack;
    uint32_t first = 0, end;
    while (first < stack->count && !bmm__frame_is_system(stack->frames[first]))
        first++;
    for (end = first; end < stack->count && bmm__frame_is_system(stack->frames[end]); end++)
        ;
    cr_assert_lt(end, stack->count);
    cr_expect_str_eq(stack->frames[end]->function, "visit_file");
    const char *entry = bmm__stack_entry(stack, end);
    cr_assert_not_null(entry);
    cr_expect(strcmp(entry, "ftw") == 0 || strcmp(entry, "ftw64") == 0, "%s", entry);
    bmm__report_free(read.report);
#endif
}

Test(symbol, return_addresses_are_looked_up_before_interrupted_ones_at_their_byte)
{
    struct made_snapshot made;
    made_begin(&made, BMM_MODE_LEAK, BMM_SNAPSHOT_EXITED);
    made_own_modules(&made);
    uint64_t start = (uintptr_t)outer;
    uint32_t exact = made_node(&made, 0, start);
    uint32_t mark = made_node(&made, exact, BMM_STACK_SIGNAL);
    struct read_stack read = read_leak(&made, made_node(&made, mark, start + 1));
    cr_assert_eq(read.stack->count, 2);
    cr_expect_str_eq(read.stack->frames[0]->function, "outer");
    cr_expect_str_eq(read.stack->frames[1]->function, "outer", "the first byte belongs to the function");
    cr_expect_eq(read.stack->frames[0]->offset, read.stack->frames[1]->offset);
    bmm__report_free(read.report);
}

/* One node, of two stacks: in one it returns, in the other it was interrupted. In both orders. */
Test(symbol, a_node_is_looked_up_as_what_it_is_in_each_stack)
{
    for (unsigned order = 0; order < 2; order++) {
        struct made_snapshot made;
        struct bmm__snapshot snapshot;
        struct bmm__stack_build build;
        struct bmm__why why;
        made_begin(&made, BMM_MODE_LEAK, BMM_SNAPSHOT_EXITED);
        made_own_modules(&made);
        uint64_t start = (uintptr_t)outer;
        uint32_t both = made_node(&made, 0, start), returning = made_node(&made, both, start + 1);
        uint32_t interrupted = made_node(&made, made_node(&made, both, BMM_STACK_SIGNAL), start + 1);
        const char *path = made_path("both.bmm");
        made_write(&made, path);
        cr_assert(bmm__snapshot_open(&snapshot, path, &why), "%s", why.text);
        struct bmm__report *report = bmm__report_make();
        struct bmm__symbolizer *symbolizer = bmm__symbolizer_make(&report->strings);
        bmm__stack_build_open(&build, &snapshot, symbolizer, &report->arena);
        bmm__stack_build_get(&build, order == 0 ? returning : interrupted);
        const struct bmm__stack *one = bmm__stack_build_get(&build, returning);
        const struct bmm__stack *other = bmm__stack_build_get(&build, interrupted);
        uint64_t before = one->frames[one->count - 1]->offset, at = other->frames[other->count - 1]->offset;
        cr_expect_eq(at, before + 1, "%u: 0x%llx, 0x%llx", order, (unsigned long long)at, (unsigned long long)before);
        bmm__stack_build_free(&build);
        bmm__symbolizer_free(symbolizer);
        bmm__report_free(report);
        bmm__snapshot_close(&snapshot);
        unlink(path);
    }
}

Test(symbol, a_stack_that_was_not_followed_says_so)
{
    struct made_snapshot made;
    made_begin(&made, BMM_MODE_LEAK, BMM_SNAPSHOT_EXITED);
    uint32_t cut = made_node(&made, 0, BMM_STACK_TRUNCATED);
    struct read_stack read = read_leak(&made, made_node(&made, cut, 0x1234));
    cr_assert_eq(read.stack->count, 1);
    cr_expect(read.stack->is_truncated);
    cr_expect_null(read.stack->frames[0]->module);
    cr_expect_eq(read.stack->frames[0]->offset, 0x1233);
    bmm__report_free(read.report);
}

Test(symbol, the_epoch_tells_modules_at_one_address_apart)
{
    struct made_snapshot made;
    made_begin(&made, BMM_MODE_LEAK, BMM_SNAPSHOT_EXITED);
    made_module(&made, "/path/first.so", 0x10000, 0x20000, 0x10000, NULL, 0);
    size_t second = made.chunks[BMM_CHUNK_MODULES].count;
    made_module(&made, "/path/second.so", 0x10000, 0x20000, 0x10000, NULL, 0);
    ((struct bmm_snapshot_module *)(void *)(made.chunks[BMM_CHUNK_MODULES].bytes + second))->epoch = 1;
    uint32_t outside = made_node(&made, 0, 0x10101);
    struct read_stack read = read_leak(&made, made_node(&made, outside, (uint64_t)1 << 48 | 0x10101));
    cr_expect_str_eq(read.stack->frames[0]->module, "/path/second.so");
    cr_expect_str_eq(read.stack->frames[1]->module, "/path/first.so");
    cr_expect_eq(read.stack->frames[1]->offset, 0x100);
    bmm__report_free(read.report);
}

Test(symbol, another_build_is_not_believed)
{
    struct made_snapshot made;
    char self[PATH_MAX] = "";
    cr_assert_gt(readlink("/proc/self/exe", self, sizeof self - 1), 0);
    made_begin(&made, BMM_MODE_LEAK, BMM_SNAPSHOT_EXITED);
    made_module(&made, self, 0x10000, 0x20000000, 0x10000, (const uint8_t *)"another build of me!", 20);
    struct read_stack read = read_leak(&made, made_node(&made, 0, 0x10000 + 0x2000));
    cr_expect_null(read.stack->frames[0]->function);
    cr_expect_str_eq(read.stack->frames[0]->module, self);
    cr_assert_eq(read.report->note_count, 1);
    cr_expect_not_null(strstr(read.report->notes[0].text, "build-id differs"));
    bmm__report_free(read.report);
}

Test(symbol, a_fifo_in_the_place_of_a_module_is_not_opened)
{
    struct made_snapshot made;
    char path[PATH_MAX];
    snprintf(path, sizeof path, "%s", made_path("fifo"));
    cr_assert_eq(mkfifo(path, 0600), 0);
    made_begin(&made, BMM_MODE_LEAK, BMM_SNAPSHOT_EXITED);
    made_module(&made, path, 0x10000, 0x20000, 0x10000, NULL, 0);
    struct read_stack read = read_leak(&made, made_node(&made, 0, 0x10100));
    cr_expect_null(read.stack->frames[0]->function);
    cr_expect_not_null(strstr(read.report->notes[0].text, "no such file"));
    bmm__report_free(read.report);
    unlink(path);
}

/* ---- a file that changes ---- */

static void write_file(const char *path, const void *bytes, size_t count)
{
    int file = open(path, O_WRONLY | O_CREAT | O_CLOEXEC, 0600);
    cr_assert_eq(write(file, bytes, count), (ssize_t)count);
    close(file);
}

/* This program's own file in memory; freed by the caller. */
static char *read_own_file(size_t *count)
{
    struct stat status;
    int file = open("/proc/self/exe", O_RDONLY | O_CLOEXEC);
    cr_assert_eq(fstat(file, &status), 0);
    *count = (size_t)status.st_size;
    char *bytes = malloc(*count);
    size_t got = 0;
    for (ssize_t part; got < *count && (part = read(file, bytes + got, *count - got)) > 0;)
        got += (size_t)part;
    cr_assert_eq(got, *count);
    close(file);
    return bytes;
}

static const char *name_at(struct bmm__symbolizer *symbolizer, uint32_t module, uint64_t address)
{
    struct bmm__chain chain = bmm__symbolizer_frames(symbolizer, module, address);
    return chain.frames[chain.count - 1]->function;
}

/* The same build with another name in it stands for any other that takes its place: texts lie where the old ones lay. */
Test(symbol, a_file_that_was_written_to_is_read_anew)
{
    static const char name[] = "visit_file", other[] = "tisiv_elif";
    const char *path = made_path("rewritten");
    size_t count;
    char *bytes = read_own_file(&count);
    Dl_info here;
    cr_assert_neq(dladdr((const void *)(uintptr_t)visit_file, &here), 0);
    uint64_t address = (uintptr_t)visit_file - (uintptr_t)here.dli_fbase;
    write_file(path, bytes, count);
    struct bmm__report *report = bmm__report_make();
    struct bmm__symbolizer *symbolizer = bmm__symbolizer_make(&report->strings);
    uint32_t module = bmm__symbolizer_module(symbolizer, path, NULL, 0);
    cr_expect_str_eq(name_at(symbolizer, module, address), name);
    bmm__symbolizer_pause(symbolizer);
    bmm__symbolizer_resume(symbolizer);
    cr_expect_str_eq(name_at(symbolizer, module, address + 1), name);
    bmm__symbolizer_pause(symbolizer);
    for (char *at = bytes; (at = memmem(at, count - (size_t)(at - bytes), name, sizeof name - 1)) != NULL;)
        memcpy(at, other, sizeof other - 1);
    usleep(20000); /* a file's time goes by steps of a few milliseconds */
    write_file(path, bytes, count);
    bmm__symbolizer_resume(symbolizer);
    cr_expect_str_eq(name_at(symbolizer, module, address + 2), other);
    cr_expect_str_eq(name_at(symbolizer, module, address), name, "what was found stays");
    /* Cut, it is none any more; and nobody reads behind its end. */
    bmm__symbolizer_pause(symbolizer);
    cr_assert_eq(truncate(path, 0), 0);
    bmm__symbolizer_resume(symbolizer);
    cr_expect_null(name_at(symbolizer, module, address + 3));
    cr_expect_eq(bmm__symbolizer_news(symbolizer, module).state, BMM_FILE_NO_ELF);
    unlink(path);
    bmm__symbolizer_free(symbolizer);
    bmm__report_free(report);
    free(bytes);
}
