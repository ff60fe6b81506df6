/* See recorder_place.h. Prefers memory file systems: writeback of a disk write-protects pages again and again. */
#include "recorder_place.h"

#include "options.h"

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

static int create_in(const char *directory, uint64_t bytes_min, char path[BMM__RECORDER_PATH_BYTES], uint32_t *count)
{
    if (directory == NULL || *directory == '\0' || bmm__os_directory_free(directory) < bytes_min)
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
    tail = put_string(tail, end, ".");
    for (uint32_t n = 0; n < RECORDERS_PER_PROCESS_MAX; n++) {
        if (put_string(put_decimal(tail, end, n), end, ".bmm") == NULL)
            return -1;
        int file = bmm__os_file_create(path);
        if (file >= 0) {
            *count = n;
            return file;
        }
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

void bmm__recorder_remove_predecessor(const char *path, uint32_t exec_count)
{
    char before[BMM__RECORDER_PATH_BYTES];
    if (exec_count == 0)
        return;
    const char *end = before + sizeof before;
    size_t tail = strlen(path) - strlen(".bmm");
    while (tail > 0 && path[tail - 1] != '.')
        tail--;
    memcpy(before, path, tail);
    if (put_string(put_decimal(before + tail, end, exec_count - 1), end, ".bmm") == NULL)
        return;
    struct bmm_snapshot_header header;
    int file = bmm__os_file_open(before);
    if (file < 0)
        return;
    bool is_whole = bmm__os_file_read(file, &header, sizeof header) == (long)sizeof header;
    bmm__os_file_close(file);
    if (is_whole && memcmp(header.magic, BMM_SNAPSHOT_MAGIC, sizeof header.magic) == 0 &&
        header.state == BMM_SNAPSHOT_EXECED && header.pid == bmm__os_process_id())
        bmm__os_file_remove(before);
}
