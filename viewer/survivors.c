#define _GNU_SOURCE
#include "viewer/survivors.h"

#include "report/arena.h"

#include <dirent.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define ENVIRONMENT_BYTES ((size_t)256 << 10) /* of one that are looked at */

/* The first bytes of a file of /proc; returns how many, 0 where there is none. */
static size_t read_of(const char *pid, const char *what, char *text, size_t capacity)
{
    char path[64];
    snprintf(path, sizeof path, "/proc/%.20s/%s", pid, what);
    int file = open(path, O_RDONLY | O_CLOEXEC);
    size_t bytes = 0;
    for (ssize_t more = 1; file >= 0 && more > 0 && bytes < capacity;) {
        more = read(file, text + bytes, capacity - bytes);
        bytes += more > 0 ? (size_t)more : 0;
    }
    if (file >= 0)
        close(file);
    return bytes;
}

static struct bmm__survivor survivor_of(const char *pid)
{
    struct bmm__survivor survivor = { .pid = (uint32_t)strtoul(pid, NULL, 10) };
    read_of(pid, "comm", survivor.name, sizeof survivor.name - 1);
    survivor.name[strcspn(survivor.name, "\n")] = 0;
    return survivor;
}

struct bmm__survivors bmm__survivors_find(const char *directory)
{
    struct bmm__survivors found = { 0 };
    char *environment = bmm__must_alloc(ENVIRONMENT_BYTES);
    DIR *processes = opendir("/proc");
    const struct dirent *entry;
    while (processes != NULL && (entry = readdir(processes)) != NULL) {
        const char *pid = entry->d_name;
        if (pid[strspn(pid, "0123456789")] != 0)
            continue;
        size_t bytes = read_of(pid, "environ", environment, ENVIRONMENT_BYTES);
        if (memmem(environment, bytes, directory, strlen(directory)) == NULL)
            continue;
        found.items = bmm__grow(found.items, &found.capacity, (size_t)found.count + 1, sizeof *found.items);
        found.items[found.count++] = survivor_of(pid);
    }
    if (processes != NULL)
        closedir(processes);
    free(environment);
    return found;
}

static bool is_known(const struct bmm__report *report, uint32_t pid)
{
    for (uint32_t i = 0; i < report->process_count; i++)
        if (report->processes[i].pid == pid && strcmp(report->processes[i].state, "running") == 0)
            return true;
    return false;
}

void bmm__survivors_note(struct bmm__report *report, const struct bmm__survivors *survivors)
{
    for (uint32_t i = 0; i < survivors->count; i++)
        if (!is_known(report, survivors->items[i].pid))
            bmm__report_add_note(report, BMM__NO_PROCESS,
                                 bmm__arena_printf(&report->arena,
                                                   "process %u (%s) is still running and has recorded nothing: what it "
                                                   "and its children do from now on is not checked",
                                                   survivors->items[i].pid, survivors->items[i].name));
}

void bmm__survivors_free(struct bmm__survivors *survivors)
{
    free(survivors->items);
    *survivors = (struct bmm__survivors){ 0 };
}
