#define _GNU_SOURCE
#include "report/module_file.h"

#include "report/map.h"

#include <elfutils/libdwelf.h>
#include <fcntl.h>
#include <gelf.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

/* Where libdwfl puts a module of which nothing but the build-id is known yet: room for any. */
#define REMOTE_START 0x100000000
#define REMOTE_END 0x10000000000
#define RECORDED_BYTES 20 /* of a build-id */
#define SEGMENTS_MAX 64   /* looked through for one: only damaged files have more, or larger ones */
#define NOTES_BYTES_MAX ((size_t)64 << 10)

uint64_t bmm__module_file_symbol_bytes(const struct bmm__module_file *file)
{
    uint64_t bytes = 0;
    Elf_Scn *section = NULL;
    GElf_Shdr head;
    while ((section = elf_nextscn(file->elf, section)) != NULL)
        if (gelf_getshdr(section, &head) != NULL && (head.sh_type == SHT_SYMTAB || head.sh_type == SHT_DYNSYM))
            bytes = bytes < UINT64_MAX - head.sh_size ? bytes + head.sh_size : UINT64_MAX;
    return bytes;
}

bool bmm__module_file_asks_servers(void)
{
    const char *urls = getenv("DEBUGINFOD_URLS");
    return urls != NULL && urls[0] != 0;
}

static bool is_there(const char *format, int folder_bytes, const char *folder, const char *name, const char *ending)
{
    char path[4096];
    struct stat status;
    snprintf(path, sizeof path, format, folder_bytes, folder, name, ending);
    return stat(path, &status) == 0 && S_ISREG(status.st_mode) &&
           access(path, R_OK) == 0; /* a FIFO would be waited for */
}

/* Whether there is a file of the name where libdwfl looks for debug information: beside the module, in .debug there, and in
 * /usr/lib/debug under each end of the module's folder. */
static bool has_file(const char *module_path, const char *slash, const char *name, const char *ending)
{
    int folder_bytes = (int)(slash - module_path);
    if (is_there("%.*s/%s%s", folder_bytes, module_path, name, ending) ||
        is_there("%.*s/.debug/%s%s", folder_bytes, module_path, name, ending))
        return true;
    for (const char *end = module_path; end < slash; end++)
        if (*end == '/' && is_there("/usr/lib/debug%.*s/%s%s", (int)(slash - end), end, name, ending))
            return true;
    return is_there("/usr/lib/debug%.*s/%s%s", 0, "", name, ending);
}

/* The name is what the module says or, if that is nothing (NULL), its own with and without .debug; of which the latter is
 * the module itself when beside it. */
static bool has_debug_file(const char *module_path, const char *link)
{
    const char *slash = strrchr(module_path, '/');
    if (slash == NULL || (link != NULL && strchr(link, '/') != NULL))
        return true; /* not known */
    if (link != NULL)
        return has_file(module_path, slash, link, "");
    return has_file(module_path, slash, slash + 1, ".debug") ||
           is_there("%.*s/.debug/%s%s", (int)(slash - module_path), module_path, slash + 1, "") ||
           is_there("/usr/lib/debug%.*s/%s%s", (int)(slash - module_path), module_path, slash + 1, "");
}

/* The same also where the module's path is a symbolic link. */
static bool may_have_debug_file(const char *module_path, const char *link)
{
    char *real = realpath(module_path, NULL);
    bool is_any = has_debug_file(module_path, link) ||
                  (real != NULL && strcmp(real, module_path) != 0 && has_debug_file(real, link));
    free(real);
    return is_any;
}

/* libdwfl's own way, where it can lead to something: after files it asks for servers, and loads dozens of libraries for it though
 * the user named none. */
static int find_debug(Dwfl_Module *module, void **data, const char *name, Dwarf_Addr base, const char *file,
                      const char *link, GElf_Word crc, char **found)
{
    const unsigned char *bits;
    GElf_Addr where;
    if (!bmm__module_file_asks_servers() && dwfl_module_build_id(module, &bits, &where) > 0) {
        int descriptor = dwfl_build_id_find_debuginfo(module, data, name, base, file, link, crc, found);
        if (descriptor >= 0 || file == NULL || !may_have_debug_file(file, link))
            return descriptor;
    }
    return dwfl_standard_find_debuginfo(module, data, name, base, file, link, crc, found);
}

static const Dwfl_Callbacks callbacks = { .find_elf = dwfl_build_id_find_elf,
                                          .find_debuginfo = find_debug,
                                          .section_address = dwfl_offline_section_address };

/* As in struct bmm_snapshot_module. 0: not known. */
static uint64_t headers_checksum(Elf *elf)
{
    size_t bytes;
    const char *file = elf_rawfile(elf, &bytes);
    Elf64_Ehdr header;
    if (file == NULL || bytes < sizeof header)
        return 0;
    memcpy(&header, file, sizeof header);
    size_t segments = header.e_phnum * sizeof(Elf64_Phdr);
    if (header.e_ident[EI_CLASS] != ELFCLASS64 || header.e_phentsize != sizeof(Elf64_Phdr) || header.e_phoff > bytes ||
        segments > bytes - header.e_phoff)
        return 0;
    header.e_shoff = header.e_shnum = header.e_shstrndx = 0;
    return bmm__hash(bmm__hash(BMM__HASH_SEED, &header, sizeof header), file + header.e_phoff, segments);
}

static int find_build_id(Elf_Data *notes, const unsigned char **bits)
{
    GElf_Nhdr note;
    size_t name, description, at = 0;
    while (notes != NULL && (at = gelf_getnote(notes, at, &note, &name, &description)) > 0)
        if (note.n_type == NT_GNU_BUILD_ID && note.n_namesz == sizeof "GNU" &&
            memcmp((const char *)notes->d_buf + name, "GNU", sizeof "GNU") == 0) {
            *bits = (const unsigned char *)notes->d_buf + description;
            return (int)note.n_descsz;
        }
    return 0;
}

/* How many bytes, or 0: there is none. libdwfl looks through sections, of which libelf refuses one that ends without padding; the
 * process finds it in the segment. */
static int build_id_of(const struct bmm__module_file *file, const unsigned char **bits)
{
    GElf_Addr where;
    GElf_Phdr segment;
    size_t count;
    int bytes = dwfl_module_build_id(file->module, bits, &where);
    if (elf_getphdrnum(file->elf, &count) != 0)
        return bytes > 0 ? bytes : 0;
    for (size_t i = 0; bytes <= 0 && i < count && i < SEGMENTS_MAX; i++)
        if (gelf_getphdr(file->elf, (int)i, &segment) != NULL && segment.p_type == PT_NOTE &&
            segment.p_filesz <= NOTES_BYTES_MAX)
            bytes = find_build_id(elf_getdata_rawchunk(file->elf, (int64_t)segment.p_offset, segment.p_filesz,
                                                       segment.p_align == 8 ? ELF_T_NHDR8 : ELF_T_NHDR),
                                  bits);
    return bytes > 0 ? bytes : 0;
}

static bool is_same_build(const struct bmm__module_file *file, const uint8_t *build_id, uint32_t build_id_bytes)
{
    const unsigned char *bits = NULL;
    uint64_t checksum;
    if (build_id == NULL)
        return true;
    uint32_t bytes = (uint32_t)build_id_of(file, &bits);
    memcpy(&checksum, build_id, sizeof checksum);
    if (build_id_bytes == 0)
        return checksum == 0 || (bytes == 0 && checksum == headers_checksum(file->elf));
    /* The record keeps at most 20 bytes of a longer id. */
    return (bytes == build_id_bytes || (bytes > build_id_bytes && build_id_bytes == RECORDED_BYTES)) &&
           memcmp(bits, build_id, build_id_bytes) == 0;
}

/* Opens `path` as the module; leaves *file closed with its state set where that cannot be. */
static void open_at(struct bmm__module_file *file, const char *path, const uint8_t *build_id, uint32_t build_id_bytes)
{
    *file = (struct bmm__module_file){ .state = BMM_FILE_MISSING };
    /* O_NONBLOCK, S_ISREG: the path comes from the snapshot, and might name a FIFO or a device. */
    int descriptor = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK);
    if (descriptor < 0)
        return;
    struct stat status;
    if (fstat(descriptor, &status) != 0 || !S_ISREG(status.st_mode)) {
        close(descriptor);
        return;
    }
    file->state = BMM_FILE_NO_ELF;
    file->dwfl = dwfl_begin(&callbacks);
    if (file->dwfl == NULL) {
        close(descriptor);
        return;
    }
    file->status = status;
    file->path = strdup(path);
    file->watched = -1;
    dwfl_report_begin(file->dwfl);
    file->module = dwfl_report_offline(file->dwfl, path, path, descriptor); /* owns the descriptor if it succeeds */
    if (file->module == NULL)
        close(descriptor);
    dwfl_report_end(file->dwfl, NULL, NULL);
    GElf_Addr bias = 0;
    if (file->module != NULL)
        file->elf = dwfl_module_getelf(file->module, &bias);
    if (file->elf != NULL) {
        file->elf_bias = bias;
        file->state = is_same_build(file, build_id, build_id_bytes) ? BMM_FILE_GOOD : BMM_FILE_OTHER;
    }
    if (file->state != BMM_FILE_GOOD)
        bmm__module_file_close(file);
}

/* Opens what the servers of DEBUGINFOD_URLS have by that build-id: libdwfl asks them where no file is at hand. */
static void open_remote(struct bmm__module_file *file, const char *name, const uint8_t *build_id,
                        uint32_t build_id_bytes)
{
    *file = (struct bmm__module_file){ .state = BMM_FILE_MISSING };
    if (!bmm__module_file_asks_servers() || (file->dwfl = dwfl_begin(&callbacks)) == NULL)
        return;
    dwfl_report_begin(file->dwfl);
    file->module = dwfl_report_module(file->dwfl, name, REMOTE_START, REMOTE_END);
    dwfl_report_end(file->dwfl, NULL, NULL);
    GElf_Addr bias = 0;
    if (file->module != NULL && dwfl_module_report_build_id(file->module, build_id, build_id_bytes, 0) == 0)
        file->elf = dwfl_module_getelf(file->module, &bias);
    if (file->elf != NULL && is_same_build(file, build_id, build_id_bytes)) {
        file->elf_bias = bias;
        file->state = BMM_FILE_GOOD;
    } else {
        bmm__module_file_close(file);
    }
}

/* Length of the text, or 0: there is no build-id. */
static int debug_path_of(char path[128], const uint8_t *build_id, int bytes)
{
    if (bytes < 2)
        return 0;
    int length = snprintf(path, 128, "/usr/lib/debug/.build-id/%02x/", build_id[0]);
    for (int i = 1; i < bytes && i < 20; i++)
        length += snprintf(path + length, (size_t)(128 - length), "%02x", build_id[i]);
    return length + snprintf(path + length, (size_t)(128 - length), ".debug");
}

void bmm__module_file_open(struct bmm__module_file *file, const char *path, const uint8_t *build_id,
                           uint32_t build_id_bytes)
{
    char debug_path[128];
    open_at(file, path, build_id, build_id_bytes);
    if (file->state == BMM_FILE_GOOD || debug_path_of(debug_path, build_id, (int)build_id_bytes) == 0)
        return;
    struct bmm__module_file by_id;
    open_at(&by_id, debug_path, build_id, build_id_bytes);
    if (by_id.state != BMM_FILE_GOOD)
        open_remote(&by_id, path, build_id, build_id_bytes);
    if (by_id.state == BMM_FILE_GOOD)
        *file = by_id;
}

bool bmm__module_file_has_code(const struct bmm__module_file *file)
{
    Elf_Scn *section = NULL;
    GElf_Shdr header;
    while (file->elf != NULL && (section = elf_nextscn(file->elf, section)) != NULL)
        if (gelf_getshdr(section, &header) != NULL && (header.sh_flags & SHF_EXECINSTR) && header.sh_type != SHT_NOBITS)
            return true;
    return false;
}

static bool has_debug_section(const struct bmm__module_file *file)
{
    Elf_Scn *section = NULL;
    GElf_Shdr head;
    size_t names;
    if (elf_getshdrstrndx(file->elf, &names) != 0)
        return false;
    while ((section = elf_nextscn(file->elf, section)) != NULL) {
        const char *name = gelf_getshdr(section, &head) != NULL ? elf_strptr(file->elf, names, head.sh_name) : NULL;
        if (name != NULL && (strcmp(name, ".debug_info") == 0 || strcmp(name, ".zdebug_info") == 0))
            return true;
    }
    return false;
}

bool bmm__module_file_may_have_debug(const struct bmm__module_file *file)
{
    const unsigned char *build_id = NULL;
    GElf_Addr where;
    GElf_Word crc;
    char by_id[128];
    if (file->elf == NULL)
        return false;
    if (file->path == NULL || has_debug_section(file) || bmm__module_file_asks_servers())
        return true;
    int bytes = dwfl_module_build_id(file->module, &build_id, &where);
    return bytes > 20 /* and who knows where that is looked for */ ||
           (debug_path_of(by_id, build_id, bytes) > 0 && access(by_id, R_OK) == 0) ||
           may_have_debug_file(file->path, dwelf_elf_gnu_debuglink(file->elf, &crc));
}

/* Not by the change time: that of a file that was moved aside changes, too. */
static bool has_changed(const struct stat *before, const struct stat *now)
{
    return now->st_dev != before->st_dev || now->st_ino != before->st_ino || now->st_size != before->st_size ||
           now->st_mtim.tv_sec != before->st_mtim.tv_sec || now->st_mtim.tv_nsec != before->st_mtim.tv_nsec;
}

void bmm__module_file_watch(struct bmm__module_file *file)
{
    struct stat now;
    if (file->path == NULL || file->watched >= 0)
        return;
    file->watched = open(file->path, O_PATH | O_CLOEXEC);
    file->is_watched_bad = file->watched < 0 || fstat(file->watched, &now) != 0 || has_changed(&file->status, &now);
}

bool bmm__module_file_end_watch(struct bmm__module_file *file)
{
    struct stat now;
    if (file->path != NULL && file->watched >= 0)
        file->is_watched_bad |= fstat(file->watched, &now) != 0 || has_changed(&file->status, &now);
    return file->is_watched_bad;
}

void bmm__module_file_close(struct bmm__module_file *file)
{
    if (file->dwfl != NULL)
        dwfl_end(file->dwfl);
    if (file->path != NULL && file->watched >= 0)
        close(file->watched);
    free(file->path);
    file->path = NULL;
    file->is_watched_bad = false;
    file->dwfl = NULL;
    file->module = NULL;
    file->elf = NULL;
}
