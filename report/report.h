/* The report in memory: what every reader makes and every writer prints.
 *
 * Words. *Report*: processes and what was found in them. *Leak*: blocks of one process with the same class, kind, stack
 * and type. *Runtime block*: one that libc or the loader keeps for itself; never counted as a leak (ownership.h).
 * *Unchecked*: a child process that could not be checked, and why.
 *
 *   snapshot ─► add_snapshot ┐                      ┌─► write_text
 *   .db      ─► read_sqlite  ├─► struct bmm__report ┼─► write_json
 *   .json    ─► read_json    ┘                      └─► write_sqlite
 *
 * Invariants
 *  P1  Every process index is < process_count; process 0 is the main program.
 *  P2  Everything hangs in the report's arena; texts are interned, so equal words are equal pointers.
 *  P3  Stacks of leaks and errors are never NULL; an unknown stack has count 0.
 *  P4  After bmm__report_finish leaks are sorted (bytes, blocks, process, fingerprint) and totals are right.
 */
#ifndef BMM_REPORT_REPORT_H
#define BMM_REPORT_REPORT_H

#include "report/frame.h"
#include "report/strings.h"
#include "report/why.h"

#include <stdbool.h>
#include <stdint.h>

#define BMM__REPORT_FORMAT "brainmm-report"
#define BMM__JSON_VERSION 2
#define BMM__SQLITE_VERSION 1
#define BMM__CHANGED_MAX 16

struct bmm__check {
    const char *mode; /* "off", "leak", "check" */
    bool ran;
    const char *reason; /* why not or, where it ran, what it left out; NULL: nothing is to be said */
    bool is_incomplete; /* it ran, but records of what it saw are missing: nothing found is not "nothing there" */
};

struct bmm__module {
    const char *path;
    uint64_t start, end;
    const char *build_id; /* hex; "" if there was none */
};

struct bmm__process {
    uint32_t pid, ppid, exec_count;
    const char **command; /* its arguments, at least the program */
    uint32_t command_count;
    bool has_exit; /* exit is known */
    int exit;
    int signal; /* that ended it, 0: none or unknown */
    struct bmm__check check;
    const char *state; /* "exited", "ended" (without the exit hook), "execed", "running" */
    bool is_forked;
    uint64_t start_unix_ns, exit_unix_ns;
    uint64_t alloc_count, free_count, peak_bytes;
    struct bmm__module *modules;
    uint32_t module_count, module_capacity;
};

struct bmm__leak {
    uint32_t process;
    const char *class; /* "unfreed" */
    const char *kind;  /* "malloc" … */
    const char *type;  /* class of the objects that the blocks are; NULL: not known */
    uint64_t bytes, blocks;
    const char *fingerprint;
    const struct bmm__stack *stack;
};

struct bmm__changed {
    int64_t offset;
    uint8_t expected, found;
};

struct bmm__error {
    uint32_t process;
    const char *kind;   /* "double-free" … */
    const char *moment; /* "free", "realloc", "quarantine", "exit", "demand" */
    uint32_t repeats;   /* at least 1 */
    uint64_t address, block, size, given_size, given_align, align;
    const char *alloc_kind, *free_kind;
    const char *thread, *alloc_thread; /* names; NULL: unknown */
    uint64_t time_ns;
    uint32_t changed_count; /* in all */
    uint32_t listed_count;  /* of changed */
    struct bmm__changed changed[BMM__CHANGED_MAX];
    const struct bmm__stack *detected, *allocated, *freed;
    const char *fingerprint;
};

struct bmm__unchecked {
    uint32_t process; /* that started it */
    uint32_t pid;     /* 0: unknown */
    const char *program, *reason;
};

struct bmm__note {
    uint32_t process; /* BMM__NO_PROCESS: about the report */
    uint32_t last_process;
    uint32_t process_count; /* of how many processes it is true, of which `process` was added first */
    const char *text;
};
#define BMM__NO_PROCESS UINT32_MAX

struct bmm__report {
    struct bmm__arena arena;
    struct bmm__strings strings;
    struct bmm__check check; /* of the main program; but incomplete where any process's is */
    struct bmm__process *processes;
    struct bmm__leak *leaks, *runtime, *expected;
    struct bmm__error *errors;
    struct bmm__unchecked *unchecked;
    struct bmm__note *notes;
    uint32_t process_count, leak_count, runtime_count, expected_count, error_count, unchecked_count, note_count;
    uint32_t process_capacity, leak_capacity, runtime_capacity, expected_capacity, error_capacity, unchecked_capacity,
        note_capacity;
    uint64_t leaked_bytes, leaked_blocks, runtime_bytes, runtime_blocks, expected_bytes, expected_blocks;
};

/* What is never counted as a leak stands apart. */
enum bmm__leak_list {
    BMM__LEAKS = 0,
    BMM__RUNTIME, /* libc's and the loader's */
    BMM__EXPECTED /* the program's, which it has said it would leave: expected.h */
};

struct bmm__report *bmm__report_make(void);
void bmm__report_free(struct bmm__report *report);

/* Room for one more, zeroed; valid until the next of its sort is added. */
struct bmm__process *bmm__report_add_process(struct bmm__report *report);
struct bmm__leak *bmm__report_add_leak(struct bmm__report *report, enum bmm__leak_list list);
struct bmm__error *bmm__report_add_error(struct bmm__report *report);
struct bmm__unchecked *bmm__report_add_unchecked(struct bmm__report *report);
/* What is to say of many processes is kept once, with their number. Notes about a process come one behind the other. */
void bmm__report_add_note(struct bmm__report *report, uint32_t process, const char *text);
/* The same of process_count processes at once. */
void bmm__report_add_notes(struct bmm__report *report, uint32_t process, uint32_t process_count, const char *text);

extern const struct bmm__stack bmm__no_stack;

/* Sums saturate: a damaged file may claim anything. */
uint64_t bmm__saturating_add(uint64_t a, uint64_t b);

/* Gives process i the index place[i] (a permutation): whoever adds processes as they end knows their order at the end
 * only. What hangs on a process goes with it, in the order it was added. Before bmm__report_finish. */
void bmm__report_reorder(struct bmm__report *report, const uint32_t *place);

/* When everything was added: sorts, counts, and takes the top-level check from process 0, unless it was set; it is
 * incomplete if that of any process is. */
void bmm__report_finish(struct bmm__report *report);

#endif
