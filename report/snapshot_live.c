#define _GNU_SOURCE
#include "report/snapshot_live.h"

#include "brainmm/snapshot.h"

#include <fcntl.h>
#include <stddef.h>
#include <sys/mman.h>
#include <unistd.h>

bool bmm__snapshot_live_open(struct bmm__snapshot_live *live, const char *path)
{
    int file = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK | O_NOFOLLOW);
    void *header = file >= 0 ? mmap(NULL, BMM_SNAPSHOT_HEADER_BYTES, PROT_READ, MAP_SHARED, file, 0) : MAP_FAILED;
    if (header == MAP_FAILED) {
        if (file >= 0)
            close(file);
        return false;
    }
    *live = (struct bmm__snapshot_live){ header, file };
    return true;
}

void bmm__snapshot_live_close(struct bmm__snapshot_live *live)
{
    if (live->header == NULL)
        return;
    munmap(live->header, BMM_SNAPSHOT_HEADER_BYTES);
    close(live->file);
    live->header = NULL;
}

uint32_t *bmm__snapshot_live_word(const struct bmm__snapshot_live *live)
{
    return live->header != NULL ? &live->header->is_exiting : NULL;
}

static bool read_header(const struct bmm__snapshot_live *live, struct bmm_snapshot_header *header)
{
    return live->header != NULL && pread(live->file, header, sizeof *header, 0) == (ssize_t)sizeof *header;
}

bool bmm__snapshot_live_is_exiting(const struct bmm__snapshot_live *live)
{
    struct bmm_snapshot_header header;
    return read_header(live, &header) && header.is_exiting != 0;
}

bool bmm__snapshot_live_has_execed(const struct bmm__snapshot_live *live)
{
    struct bmm_snapshot_header header;
    return read_header(live, &header) && header.state == BMM_SNAPSHOT_EXECED;
}
