/* The file of a module: found, proved to be the one that ran, opened for symbols.
 *
 * Looked for in this order: the path the process recorded, if its build-id is the recorded one or,
 * where none was recorded, it has none and its headers are the recorded ones; then, by build-id,
 * /usr/lib/debug; then on the servers of DEBUGINFOD_URLS. Separate debug information is found by libdwfl's standard rules
 * (build-id, .gnu_debuglink, .gnu_debugdata, DEBUGINFOD_URLS). The network is asked only if the user has set that variable.
 */
#ifndef BMM_REPORT_MODULE_FILE_H
#define BMM_REPORT_MODULE_FILE_H

#include <elfutils/libdwfl.h>
#include <stdbool.h>
#include <stdint.h>
#include <sys/stat.h>

enum bmm__file_state {
    BMM_FILE_GOOD,
    BMM_FILE_MISSING, /* no such file */
    BMM_FILE_OTHER,   /* there is a file, but not the one that ran */
    BMM_FILE_NO_ELF   /* not readable as ELF; the vdso, say, which has no file */
};

struct bmm__module_file {
    enum bmm__file_state state;
    Dwfl *dwfl; /* NULL unless GOOD */
    Dwfl_Module *module;
    Elf *elf;
    uint64_t elf_bias;   /* libdwfl's address = address in the file + elf_bias */
    struct stat status;  /* as it was opened */
    char *path;          /* of the file; NULL: a server's, or it is closed */
    int watched;         /* a descriptor, from the first watch on: by then another file may be there; -1: none */
    bool is_watched_bad; /* it is not the one that was opened any more */
};

/* build_id as in struct bmm_snapshot_module; NULL: any file will do. */
void bmm__module_file_open(struct bmm__module_file *file, const char *path, const uint8_t *build_id,
                           uint32_t build_id_bytes);
/* False for a file of debug information alone, whose sections of code are empty. */
bool bmm__module_file_has_code(const struct bmm__module_file *file);
/* Whether there is debug information, in the open file itself or, for all that their names say, in one beside it or on a server.
 * Nothing is opened for it. */
bool bmm__module_file_may_have_debug(const struct bmm__module_file *file);
void bmm__module_file_close(struct bmm__module_file *file);

/* From the one to the other, the file is not read. True: it has been written to or cut since it was opened, and must not be read any
 * more, for what lies behind its new end is gone under whoever has it mapped. Not: that it was removed, or another one put in its
 * place. */
void bmm__module_file_watch(struct bmm__module_file *file);
bool bmm__module_file_end_watch(struct bmm__module_file *file);

/* Of the symbol tables that the open file itself has. */
uint64_t bmm__module_file_symbol_bytes(const struct bmm__module_file *file);

/* Whether servers of debug information may be asked for what is not at hand, which takes its time. */
bool bmm__module_file_asks_servers(void);

#endif
