/* See target.h. Looks at the first bytes of a file: ELF header and program headers, or a line that begins with #!. */
#ifndef _GNU_SOURCE
#define _GNU_SOURCE
#endif
#include "target.h"

#include "machine.h"

#include "core/os.h"

#include <link.h>
#include <stdlib.h>
#include <string.h>

#define HEAD_BYTES 4096
#define SCRIPTS_MAX 4

#if __SIZEOF_POINTER__ == 8
#define OWN_CLASS ELFCLASS64
#else
#define OWN_CLASS ELFCLASS32
#endif

static const char *obstacle_of_elf(const char *head, size_t bytes)
{
    ElfW(Ehdr) header;
    if (bytes < sizeof header)
        return NULL;
    memcpy(&header, head, sizeof header);
    if (header.e_ident[EI_CLASS] != OWN_CLASS || (BMM__MACHINE != EM_NONE && header.e_machine != BMM__MACHINE))
        return "it is for another kind of machine than this library";
    for (unsigned i = 0; i < header.e_phnum; i++) {
        ElfW(Phdr) segment;
        size_t offset = header.e_phoff + (size_t)i * header.e_phentsize;
        if (offset > bytes || bytes - offset < sizeof segment)
            return NULL; /* further back than we look */
        memcpy(&segment, head + offset, sizeof segment);
        if (segment.p_type == PT_INTERP)
            return NULL;
    }
    return "it is statically linked";
}

/* The interpreter of a #! line, cut out of head in place; NULL: none. */
static const char *interpreter(char *head, size_t bytes)
{
    char *end = head + bytes;
    char *start = head + 2;
    while (start < end && (*start == ' ' || *start == '\t'))
        start++;
    char *stop = start;
    while (stop < end && *stop != ' ' && *stop != '\t' && *stop != '\n' && *stop != '\0')
        stop++;
    if (stop == start || stop == end)
        return NULL;
    *stop = '\0';
    return start;
}

const char *bmm__target_obstacle(const char *path)
{
    char head[HEAD_BYTES];
    char script[HEAD_BYTES];
    for (unsigned i = 0; i <= SCRIPTS_MAX; i++) {
        int file = bmm__os_file_open(path);
        if (file < 0)
            return NULL;
        struct bmm__os_file_facts facts;
        bool is_known = bmm__os_file_facts(file, &facts);
        long bytes = is_known && facts.is_regular ? bmm__os_file_read(file, head, sizeof head) : -1;
        bmm__os_file_close(file);
        if (bytes < 4)
            return NULL;
        bool is_script = head[0] == '#' && head[1] == '!';
        if (is_known && facts.raises_rights && !is_script)
            return "it runs with other rights (set-uid, set-gid or file capabilities)";
        if (memcmp(head, ELFMAG, SELFMAG) == 0)
            return obstacle_of_elf(head, (size_t)bytes);
        const char *next = is_script ? interpreter(head, (size_t)bytes) : NULL;
        if (next == NULL)
            return NULL;
        memcpy(script, next, strlen(next) + 1);
        path = script;
    }
    return NULL;
}

struct bmm__candidates bmm__candidates_of(const char *name)
{
    const char *list = bmm__os_environment("PATH");
    return (struct bmm__candidates){ .name = name, .rest = list != NULL ? list : "/bin:/usr/bin" };
}

bool bmm__candidates_next(struct bmm__candidates *candidates, char *buffer, size_t capacity)
{
    size_t name_bytes = strlen(candidates->name) + 1;
    while (candidates->rest != NULL) {
        const char *directory = candidates->rest;
        size_t length = strcspn(directory, ":");
        candidates->rest = directory[length] != '\0' ? directory + length + 1 : NULL;
        if (length + 1 + name_bytes > capacity)
            continue;
        memcpy(buffer, directory, length);
        if (length != 0) /* else the working directory */
            buffer[length++] = '/';
        memcpy(buffer + length, candidates->name, name_bytes);
        return true;
    }
    return false;
}

const char *bmm__target_search(const char *name, char *buffer, size_t capacity)
{
    if (strchr(name, '/') != NULL)
        return name;
    struct bmm__candidates candidates = bmm__candidates_of(name);
    while (bmm__candidates_next(&candidates, buffer, capacity))
        if (bmm__os_is_file(buffer))
            return buffer;
    return NULL;
}
