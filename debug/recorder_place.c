/* See recorder_place.h. Prefers memory file systems: writeback of a disk write-protects pages again and again. */
#include "recorder_place.h"

#include "options.h"
#include "path.h"
#include "sandbox.h"

#include "brainmm/snapshot.h"

#include "core/os.h"

#include <errno.h>
#include <string.h>

#define ROOMY_BYTES ((uint64_t)64 << 20)
#define NAMED_BYTES ((uint64_t)2 << 20)
#define RECORDERS_PER_PROCESS_MAX 10000u

static char *put_string(char *at, const char *end, const char *string)
{
    size_t length = strlen(string);
    if (at == NULL || length >= (size_t)(end - at))
        return NULL;
    memcpy(at, string, length + 1);
    return at + length;
}

static char *put_decimal(char *at, const char *end, uint64_t number)
{
    char digits[21];
    size_t first = sizeof digits - 1;
    digits[first] = '\0';
    do {
        digits[--first] = (char)('0' + number % 10);
        number /= 10;
    } while (number != 0);
    return put_string(at, end, digits + first);
}

uint32_t bmm__recorder_image(void)
{
    uint64_t words[2];
    bmm__os_image_random(words);
    /* Folded: the stack protector's secret is made of the same bytes. */
    return (uint32_t)(((words[0] ^ words[1] >> 7) * 0x9e3779b97f4a7c15u) >> 32);
}

/* The recorders under this process's id and birth. Whoever removes some leaves at most one gap between their numbers:
 * an image takes the lowest that is free, and removes the one before it. */
struct search {
    char *path, *number_at;
    uint32_t number; /* of the next to look at; found is the one before it */
    uint32_t gap_count, first_gap;
    struct bmm_snapshot_header header;
};

static bool set_number(const struct search *s, uint32_t number)
{
    const char *end = s->path + BMM__RECORDER_PATH_BYTES;
    return put_string(put_decimal(s->number_at, end, number), end, ".bmm") != NULL;
}

static bool find_next(struct search *s)
{
    while (s->gap_count < 2 && s->number < RECORDERS_PER_PROCESS_MAX && set_number(s, s->number)) {
        int file = bmm__os_file_open(s->path);
        s->number++;
        if (file < 0) {
            s->first_gap = s->gap_count++ == 0 ? s->number - 1 : s->first_gap;
            continue;
        }
        bool is_whole = bmm__os_file_read(file, &s->header, sizeof s->header) == (long)sizeof s->header &&
                        memcmp(s->header.magic, BMM_SNAPSHOT_MAGIC, sizeof s->header.magic) == 0;
        bmm__os_file_close(file);
        if (!is_whole)
            memset(&s->header, 0, sizeof s->header);
        return true;
    }
    return false;
}

static bool is_earlier_image(const struct bmm_snapshot_header *header)
{
    return header->pid == bmm__os_process_id() && header->image != bmm__recorder_image();
}

static int create_in(const char *directory, uint64_t bytes_min, char path[BMM__RECORDER_PATH_BYTES],
                     uint32_t *exec_count)
{
    if (directory == NULL || *directory == '\0')
        return -1;
    char absolute[BMM__RECORDER_PATH_BYTES]; /* the file is opened by name again and again, wherever the program went */
    directory = bmm__path_absolute(directory, absolute, sizeof absolute);
    if (directory == NULL || bmm__os_directory_free(directory) < bytes_min)
        return -1;
    uint64_t birth = bmm__os_process_birth();
    if (birth == 0)
        birth = bmm__os_clock_mono_ns();
    const char *end = path + BMM__RECORDER_PATH_BYTES;
    char *tail = put_string(path, end, directory);
    tail = put_string(tail, end, "/brainmm.");
    tail = put_decimal(tail, end, bmm__os_process_id());
    tail = put_string(tail, end, ".");
    tail = put_decimal(tail, end, birth);
    struct search s = { .path = path, .number_at = put_string(tail, end, ".") };
    uint32_t past = 0;
    *exec_count = 0;
    while (find_next(&s)) {
        past = s.number;
        if (is_earlier_image(&s.header) && s.header.exec_count >= *exec_count)
            *exec_count = s.header.exec_count + 1;
    }
    for (uint32_t n = bmm__options.directory != NULL ? past : s.first_gap; n < RECORDERS_PER_PROCESS_MAX; n++) {
        if (!set_number(&s, n))
            return -1;
        int file = bmm__os_file_create(path);
        if (file >= 0)
            return file;
        if (errno != EEXIST)
            return -1;
    }
    return -1;
}

int bmm__recorder_place(char path[BMM__RECORDER_PATH_BYTES], uint32_t *exec_count)
{
    /* No other place than the one that was asked for: whoever asked looks nowhere else. */
    if (bmm__options.directory != NULL)
        return create_in(bmm__options.directory, NAMED_BYTES, path, exec_count);
    int file = create_in(bmm__os_environment("BRAINMM_DIR"), NAMED_BYTES, path, exec_count);
    if (file < 0)
        file = create_in(bmm__os_environment("XDG_RUNTIME_DIR"), ROOMY_BYTES, path, exec_count);
    if (file < 0)
        file = create_in("/dev/shm", ROOMY_BYTES, path, exec_count);
    if (file < 0)
        file = create_in(bmm__os_environment("TMPDIR"), ROOMY_BYTES, path, exec_count);
    if (file < 0)
        file = create_in("/tmp", ROOMY_BYTES, path, exec_count);
    return file;
}

bool bmm__recorder_may_place(void)
{
    const char *directory = bmm__options.directory;
    return directory == NULL || directory[0] != '/' || bmm__sandbox_is_closed() ||
           bmm__os_directory_is_writable(directory);
}

/* A search beside path, in a copy of it. */
static struct search search_beside(const char *path, char copy[BMM__RECORDER_PATH_BYTES])
{
    memcpy(copy, path, strlen(path) + 1);
    char *at = copy + strlen(copy) - strlen(".bmm");
    while (at > copy && at[-1] != '.')
        at--;
    return (struct search){ .path = copy, .number_at = at };
}

void bmm__recorder_remove_predecessors(const char *path)
{
    char beside[BMM__RECORDER_PATH_BYTES];
    struct search s = search_beside(path, beside);
    while (find_next(&s))
        if (is_earlier_image(&s.header) && s.header.state == BMM_SNAPSHOT_EXECED)
            bmm__os_file_remove(beside);
}

bool bmm__recorder_has_twin(const char *path)
{
    char beside[BMM__RECORDER_PATH_BYTES];
    struct search s = search_beside(path, beside);
    while (find_next(&s))
        if (strcmp(beside, path) != 0 && s.header.pid == bmm__os_process_id() &&
            s.header.image == bmm__recorder_image() && s.header.state == BMM_SNAPSHOT_RUNNING &&
            (s.header.flags & BMM_SNAPSHOT_BYPASSED) == 0)
            return true;
    return false;
}
