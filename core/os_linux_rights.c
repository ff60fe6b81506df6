/* bmm__os_rights on Linux: what the kernel's list of mappings says, read piece by piece and without allocating. */
#define _GNU_SOURCE
#include "core/os.h"

#include <errno.h>
#include <fcntl.h>
#include <sys/syscall.h>
#include <unistd.h>

/* A line is "start-end rwxp …", in hexadecimal; the rest of it says nothing that is asked for here. */
struct line {
    enum { START, END, RIGHTS, REST } part;
    uintptr_t start, end;
    unsigned rights, letter_count;
};

static uintptr_t with_digit(uintptr_t number, char digit)
{
    return number << 4 | (uintptr_t)(digit <= '9' ? digit - '0' : digit - 'a' + 10);
}

/* One more character of the list. True: line is whole. */
static bool take(struct line *line, char letter)
{
    static const char letters[] = "rwx";
    switch (line->part) {
    case START:
        if (letter == '-')
            line->part = END;
        else
            line->start = with_digit(line->start, letter);
        return false;
    case END:
        if (letter == ' ')
            line->part = RIGHTS;
        else
            line->end = with_digit(line->end, letter);
        return false;
    case RIGHTS:
        if (letter == letters[line->letter_count])
            line->rights |= 1u << line->letter_count; /* BMM__OS_READ, _WRITE, _EXECUTE */
        if (++line->letter_count == 3)
            line->part = REST;
        return line->part == REST;
    case REST:
        if (letter == '\n')
            *line = (struct line){ .part = START };
        return false;
    }
    return false;
}

static int find(int file, uintptr_t address)
{
    char text[1024];
    struct line line = { .part = START };
    long bytes;
    while ((bytes = syscall(SYS_read, file, text, sizeof text)) > 0 || (bytes < 0 && errno == EINTR))
        for (long i = 0; i < bytes; i++)
            if (take(&line, text[i]) && address < line.end) { /* they are in the order of addresses */
                if (address >= line.start)
                    return (int)line.rights;
                errno = ENOMEM;
                return -1;
            }
    if (bytes == 0)
        errno = ENOMEM;
    return -1;
}

int bmm__os_rights(uintptr_t address)
{
    int saved_errno = errno, file = (int)syscall(SYS_openat, AT_FDCWD, "/proc/self/maps", O_RDONLY | O_CLOEXEC, 0);
    if (file < 0)
        return -1;
    int rights = find(file, address), read_errno = errno;
    syscall(SYS_close, file);
    errno = rights >= 0 ? saved_errno : read_errno;
    return rights;
}
