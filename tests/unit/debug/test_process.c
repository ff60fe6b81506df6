#include "layer.h"

#include "debug/calls.h"
#include "debug/error.h"
#include "debug/thread.h"

#include <pthread.h>
#include <signal.h>
#include <string.h>
#include <sys/syscall.h>
#include <sys/wait.h>

static void *make(size_t size)
{
    return bmm__call_alloc(size, 16, false, BMM_KIND_MALLOC);
}

static void drop(void *p)
{
    bmm__call_free(p, SIZE_MAX, 0, BMM_KIND_MALLOC);
}

/* What a child found true, as its exit status; checks in a child would reach nobody. */
static int end_of(pid_t child)
{
    int status;
    cr_assert_eq(waitpid(child, &status, 0), child);
    return WIFEXITED(status) ? WEXITSTATUS(status) : 1000 + WTERMSIG(status);
}

TestSuite(process, .fini = layer_close);

static pthread_barrier_t barrier;

static void *live(void *unused)
{
    drop(make(10));
    pthread_barrier_wait(&barrier);
    pthread_barrier_wait(&barrier);
    return unused;
}

/* A quarantine's share is by their number. */
Test(process, a_child_has_one_thread)
{
    layer_open("mode=check");
    drop(make(10));
    enum { COUNT = 5 };
    pthread_t threads[COUNT];
    pthread_barrier_init(&barrier, NULL, COUNT + 1);
    for (int i = 0; i < COUNT; i++)
        pthread_create(&threads[i], NULL, live, NULL);
    pthread_barrier_wait(&barrier);
    uint32_t count = bmm__thread_live_count();
    pid_t child = fork();
    if (child == 0) {
        bmm__process_fork_child();
        drop(make(10));
        _exit((int)bmm__thread_live_count());
    }
    pthread_barrier_wait(&barrier);
    for (int i = 0; i < COUNT; i++)
        pthread_join(threads[i], NULL);
    cr_assert_eq(count, COUNT + 1);
    cr_assert_eq(end_of(child), 1);
}

/* A chunk of stacks is as large as all before it; what is unused of it stays untouched. */
static long own_kilobytes(void)
{
    long kilobytes = 0;
    char line[256];
    FILE *file = fopen("/proc/self/status", "r");
    while (file != NULL && fgets(line, sizeof line, file) != NULL)
        if (sscanf(line, "RssAnon: %ld", &kilobytes) == 1)
            break;
    fclose(file);
    return kilobytes;
}

static uint32_t last_stack;

static int inherit_privately(void)
{
    bmm__options.is_managed = false;
    const char *directory = bmm__options.directory;
    bmm__options.directory = NULL;
    long before = own_kilobytes();
    bmm__process_settle();
    long more = own_kilobytes() - before;
    bmm__options.directory = directory;
    uintptr_t pc;
    uint32_t parent;
    if (bmm__recorder_is_open() || !bmm__depot_node(last_stack, &pc, &parent) || pc < 0x100000)
        return 1;
    return more < 6000 ? 0 : 2; /* of 4 MiB that are used, and as much again that is not */
}

Test(process, a_child_copies_only_the_stacks_that_there_are)
{
    layer_open("mode=leak");
    for (uintptr_t i = 0; bmm__depot_count() <= 1 << 20; i++)
        cr_assert_neq(last_stack = bmm__depot_intern_one(0, 0x100000 + 16 * i), 0);
    pid_t child = fork();
    if (child == 0)
        _exit(inherit_privately());
    cr_assert_eq(end_of(child), 0);
}

static int behave_as_child(const char *parents_file, char *inherited)
{
    uint32_t epoch = bmm__recorder_epoch;
    if (bmm__recorder_is_open())
        return 1;
    drop(make(55));
    if (!bmm__recorder_is_open() || bmm__recorder_epoch != epoch + 1)
        return 2;
    if (strcmp(bmm__recorder_path(), parents_file) == 0)
        return 3;
    if ((bmm__recorder_header()->flags & BMM_SNAPSHOT_FORKED) == 0 || bmm__recorder_header()->pid != (uint32_t)getpid())
        return 4;
    if (layer_error(0) != NULL || layer_live(100) != 0 || layer_live(55) != 0)
        return 5;
    char *p = make(56);
    if (layer_live(56) != 1)
        return 6;
    drop(inherited);
    drop(inherited);
    if (layer_error(0) == NULL || layer_error(0)->kind != BMM_ERROR_DOUBLE_FREE || layer_error(0)->alloc_stack == 0)
        return 7;
    drop(p);
    return layer_live(56) == 0 ? 42 : 8;
}

Test(process, a_child_has_its_own_recorder)
{
    layer_open("mode=check");
    char *p = make(100), on_stack;
    drop(&on_stack);
    const char *path = bmm__recorder_path();
    char parents_file[1024];
    strcpy(parents_file, path);
    pid_t child = fork();
    if (child == 0)
        _exit(behave_as_child(parents_file, p));
    cr_assert_eq(end_of(child), 42);
    cr_assert_eq(layer_live(100), 1);
    cr_assert_not_null(layer_error(0));
    cr_assert_null(layer_error(1));
    cr_assert_eq(bmm__recorder_header()->flags, 0);
}

Test(process, a_raw_clone_too)
{
    layer_open("mode=check");
    char *p = make(100);
    char parents_file[1024];
    strcpy(parents_file, bmm__recorder_path());
    pid_t child = (pid_t)syscall(SYS_clone, SIGCHLD, 0, 0, 0, 0);
    if (child == 0)
        _exit(behave_as_child(parents_file, p));
    cr_assert_eq(end_of(child), 42);
    cr_assert_eq(layer_live(100), 1);
}

Test(process, grandchildren)
{
    layer_open("mode=leak");
    make(70);
    pid_t child = fork();
    if (child == 0) {
        make(71);
        pid_t grandchild = fork();
        if (grandchild == 0) {
            make(72);
            _exit(layer_live(70) == 0 && layer_live(71) == 0 && layer_live(72) == 1 ? 42 : 1);
        }
        int status;
        waitpid(grandchild, &status, 0);
        _exit(layer_live(71) == 1 ? WEXITSTATUS(status) : 2);
    }
    cr_assert_eq(end_of(child), 42);
    cr_assert_eq(layer_live(70), 1);
}

Test(process, a_child_that_only_frees_makes_no_file)
{
    layer_open("mode=check");
    char *p = make(100);
    pid_t child = fork();
    if (child == 0) {
        drop(p);
        _exit(bmm__recorder_is_open() ? 1 : 42);
    }
    cr_assert_eq(end_of(child), 42);
    cr_assert_eq(layer_live(100), 1);
}

Test(process, an_unmanaged_child_keeps_it_in_memory)
{
    layer_open("mode=check");
    make(100);
    pid_t child = fork();
    if (child == 0) {
        bmm__options.is_managed = false;
        bmm__options.directory = NULL;
        char *p = make(10);
        _exit(!bmm__recorder_is_open() && bmm__process_is_settled() && p != NULL && layer_live(100) == 0 ? 42 : 1);
    }
    cr_assert_eq(end_of(child), 42);
    cr_assert_eq(layer_live(100), 1);
}

Test(process, what_a_killed_process_knew_is_in_its_file)
{
    layer_open("mode=leak");
    char path[1024];
    strcpy(path, bmm__recorder_path());
    int pipe_ends[2];
    cr_assert_eq(pipe(pipe_ends), 0);
    pid_t child = fork();
    if (child == 0) {
        make(4321);
        char name[1024] = { 0 };
        strcpy(name, bmm__recorder_path());
        if (write(pipe_ends[1], name, sizeof name) != sizeof name)
            _exit(1);
        raise(SIGKILL);
    }
    cr_assert_eq(read(pipe_ends[0], path, sizeof path), (ssize_t)sizeof path);
    cr_assert_eq(end_of(child), 1000 + SIGKILL);
    FILE *file = fopen(path, "r");
    struct bmm_snapshot_header header;
    cr_assert_not_null(file);
    cr_assert_eq(fread(&header, sizeof header, 1, file), 1);
    fclose(file);
    cr_assert_arr_eq(header.magic, BMM_SNAPSHOT_MAGIC, 8);
    cr_assert_eq(header.pid, (uint32_t)child);
    cr_assert_eq(header.state, BMM_SNAPSHOT_RUNNING);
}
