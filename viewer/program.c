#define _GNU_SOURCE
#include "viewer/program.h"

#include <elf.h>
#include <errno.h>
#include <fcntl.h>
#include <link.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/xattr.h>
#include <unistd.h>

#define SCRIPT_DEPTH_MAX 5 /* the kernel follows as many interpreters */

static bool is_program(const char *path)
{
    struct stat status;
    return stat(path, &status) == 0 && S_ISREG(status.st_mode) && access(path, X_OK) == 0;
}

static bool search(struct bmm__program *program, const char *name, struct bmm__why *why)
{
    const char *list = getenv("PATH");
    bool is_found = false, is_denied = false;
    if (list == NULL)
        list = "/bin:/usr/bin"; /* what execvp does */
    while (true) {
        const char *end = strchrnul(list, ':');
        int length = (int)(end - list);
        int bytes = length == 0 ? snprintf(program->path, sizeof program->path, "./%s", name)
                                : snprintf(program->path, sizeof program->path, "%.*s/%s", length, list, name);
        if (bytes > 0 && (size_t)bytes < sizeof program->path) {
            if (is_program(program->path))
                return true;
            errno = 0;
            is_found |= access(program->path, F_OK) == 0;
            is_denied |= errno == EACCES;
        }
        if (*end == 0)
            break;
        list = end + 1;
    }
    return bmm__fail(why, "%s",
                     is_found    ? "it is not executable"
                     : is_denied ? "a directory in PATH cannot be searched, and no other has it: permission denied"
                                 : "no such program in PATH");
}

static const char *machine_name(unsigned machine)
{
    switch (machine) {
    case EM_X86_64:
        return "x86-64";
    case EM_386:
        return "i386";
    case EM_AARCH64:
        return "aarch64";
    case EM_ARM:
        return "arm";
    case EM_RISCV:
        return "riscv";
    default:
        return "unknown to us";
    }
}

static unsigned own_machine(void)
{
#if defined(__x86_64__)
    return EM_X86_64;
#elif defined(__i386__)
    return EM_386;
#elif defined(__aarch64__)
    return EM_AARCH64;
#elif defined(__riscv)
    return EM_RISCV;
#else
    return EM_NONE;
#endif
}

static bool check_file(const char *path, int file, struct bmm__why *why)
{
    struct stat status;
    if (fstat(file, &status) != 0 || !S_ISREG(status.st_mode))
        return bmm__fail(why, "it is not a regular file");
    if (status.st_mode & (S_ISUID | S_ISGID))
        return bmm__fail(why, "it is set-%s: the system does not let other libraries in",
                         status.st_mode & S_ISUID ? "uid" : "gid");
    char capability[64];
    if (fgetxattr(file, "security.capability", capability, sizeof capability) > 0)
        return bmm__fail(why, "it has file capabilities: the system does not let other libraries in");
    if (access(path, X_OK) != 0)
        return bmm__fail(why, "it is not executable");
    return true;
}

/* The dynamic loader itself may be called as a program, and has no interpreter. */
static bool is_loader(const char *path)
{
    char *real = realpath(path, NULL);
    const char *slash = strrchr(real != NULL ? real : path, '/');
    bool is = slash != NULL && (strncmp(slash, "/ld-linux", 9) == 0 || strncmp(slash, "/ld-2", 5) == 0);
    free(real);
    return is;
}

static bool check_elf(const char *path, int file, const unsigned char *head, ssize_t bytes, struct bmm__why *why)
{
    ElfW(Ehdr) header;
    unsigned machine = EM_NONE;
    if (bytes >= 20)
        machine = head[EI_DATA] == ELFDATA2MSB ? head[18] << 8 | head[19] : head[19] << 8 | head[18];
    if (machine != own_machine() || head[EI_CLASS] != (sizeof(void *) == 8 ? ELFCLASS64 : ELFCLASS32))
        return bmm__fail(why, "it is for another architecture (%s, %s-bit)", machine_name(machine),
                         head[EI_CLASS] == ELFCLASS64 ? "64" : "32");
    if (bytes < (ssize_t)sizeof header)
        return bmm__fail(why, "its ELF header is cut short");
    memcpy(&header, head, sizeof header);
    for (unsigned i = 0; i < header.e_phnum; i++) {
        ElfW(Phdr) segment;
        if (pread(file, &segment, sizeof segment, (off_t)(header.e_phoff + i * sizeof segment)) !=
            (ssize_t)sizeof segment)
            return bmm__fail(why, "its program headers cannot be read");
        if (segment.p_type != PT_INTERP)
            continue;
        char loader[256] = "";
        size_t wanted = segment.p_filesz < sizeof loader - 1 ? segment.p_filesz : sizeof loader - 1;
        if (pread(file, loader, wanted, (off_t)segment.p_offset) < 0 || access(loader, F_OK) != 0)
            return bmm__fail(why, "its loader %s is missing", loader);
        if (strstr(loader, "/ld-musl") != NULL)
            return bmm__fail(why, "it uses another C library (%s)", loader);
        return true;
    }
    if (is_loader(path))
        return true;
    return bmm__fail(why, "it is statically linked");
}

static bool check(const char *path, unsigned depth, struct bmm__why *why);

static bool check_script(const char *head, unsigned depth, struct bmm__why *why)
{
    const char *start = head + 2 + strspn(head + 2, " \t");
    size_t length = strcspn(start, " \t\r\n");
    char interpreter[PATH_MAX];
    if (length == 0 || length >= sizeof interpreter)
        return bmm__fail(why, "its #! line names no interpreter");
    memcpy(interpreter, start, length);
    interpreter[length] = 0;
    if (depth >= SCRIPT_DEPTH_MAX)
        return bmm__fail(why, "its interpreter is a script of a script, too deep");
    struct bmm__why inner;
    return check(interpreter, depth + 1, &inner) ||
           bmm__fail(why, "of its interpreter %s: %s", interpreter, inner.text);
}

static bool check(const char *path, unsigned depth, struct bmm__why *why)
{
    int file = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK);
    if (file < 0)
        /* A program may be executable and not readable: then it runs, and whether it was checked shows at the end. */
        return (errno == EACCES && access(path, X_OK) == 0) || bmm__fail(why, "%s", strerror(errno));
    unsigned char head[PATH_MAX] = "";
    ssize_t bytes = read(file, head, sizeof head - 1);
    bool is_good = check_file(path, file, why);
    if (is_good && bytes >= 4 && memcmp(head, ELFMAG, SELFMAG) == 0)
        is_good = check_elf(path, file, head, bytes, why);
    else if (is_good && bytes >= 2 && head[0] == '#' && head[1] == '!')
        is_good = check_script((const char *)head, depth, why);
    else if (is_good)
        is_good = check("/bin/sh", depth + 1, why); /* what execvp does with a file of no known format */
    close(file);
    return is_good;
}

bool bmm__program_find(struct bmm__program *program, const char *name, struct bmm__why *why)
{
    if (name[0] == 0)
        return bmm__fail(why, "it has no name");
    if (strchr(name, '/') == NULL) {
        if (!search(program, name, why))
            return false;
    } else {
        if (snprintf(program->path, sizeof program->path, "%s", name) >= (int)sizeof program->path)
            return bmm__fail(why, "its name is too long");
    }
    return check(program->path, 0, why);
}
