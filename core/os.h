/* The operating system, as a contract. One file of the family os_linux.c, os_windows.c, os_darwin.c fulfils it.
 *
 * Words: *OS page*: bmm__os_page_bytes(). *Granule*: BMM__GRANULE, the unit in which address space is reserved.
 * Common to all functions: callable before main, in any thread, in a forked child; none allocates from a heap of
 * ours, none is a cancellation point, errno is kept unless the function says that it reports through errno.
 * Ranges given to commit, decommit and protect are whole OS pages inside one reservation; release takes whole
 * reservations only (VirtualFree could do no better), and nothing relies on trimming heads or tails.
 */
#ifndef BMM_OS_H
#define BMM_OS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define BMM__GRANULE ((size_t)65536)
#define BMM__GRANULE_SHIFT 16

/* Mappings lie below 2 to this power, unless a place beyond is asked for. */
#if defined(__x86_64__)
#define BMM__ADDRESS_BITS 47
#else
#define BMM__ADDRESS_BITS 48
#endif

/* ---- memory ---- */

size_t bmm__os_page_bytes(void);

/* Address space of `bytes` (a multiple of BMM__GRANULE), its start a multiple of `align` (a power of two ≥ granule).
 * Nothing behind it yet: an access faults. NULL: none to be had (ENOMEM is not set here). */
void *bmm__os_reserve(size_t bytes, size_t align);

/* The same at exactly that place, a multiple of the granule; behind a reservation made so, it becomes one with it: from
 * then on ranges may span both, and they are released together. False: not to be had there. Optional: a system may
 * always say false. */
bool bmm__os_reserve_at(void *start, size_t bytes);
/* That and bmm__os_commit at once. *is_taken: not to be had because something lies there. */
bool bmm__os_map_at(void *start, size_t bytes, bool *is_taken);

/* A place below end, a multiple of `align`, with much unused address space behind it, where neither the system nor programs
 * are likely to put anything; another at each call. NULL: this system knows none. Nothing is reserved. */
void *bmm__os_quiet_place(size_t align, uint64_t end);

/* The same, for what grows by gigabytes at most: in none of the room behind those other places. */
void *bmm__os_quiet_corner(size_t align);

/* Makes reserved pages readable and writable; pages never touched or decommitted read as zero. False: out of memory. */
bool bmm__os_commit(void *start, size_t bytes);

/* Reserve and commit in one call; align may also be that of pages, which costs least. */
void *bmm__os_map(size_t bytes, size_t align);

/* Says that the range will be used densely: the system may put larger pages behind it than OS pages. */
void bmm__os_prefer_huge(void *start, size_t bytes);
/* Takes that back: no larger pages from now on. Those that are there stay. */
void bmm__os_prefer_small(void *start, size_t bytes);

/* Puts memory behind the pages that hold the range at once, as if something had been written to each, in place of a fault for
 * each, which takes twice as long or more. Optional: a system may do nothing, or a part. */
void bmm__os_populate(void *start, size_t bytes);
/* Whether that does anything from now on. Not, where the process will be allowed few system calls; a thread that is about to ask
 * may still do so. */
void bmm__os_populate_allow(bool is_allowed);

/* Gives the memory behind committed pages back; they stay usable and read as zero when touched again. False: the system
 * keeps it (locked pages, say); what is there may still be there. Locked pages only while that is wished: a program that locks
 * its memory wants no page faults later on. */
bool bmm__os_purge(void *start, size_t bytes);
void bmm__os_purge_locked(bool is_wished);
uint64_t bmm__os_purged_bytes(void);               /* that were given back so, and by bmm__os_purge_moved, until now */
bool bmm__os_purge_own(void *start, size_t bytes); /* the same of tables and descriptors; it is not counted */

/* Gives the memory back and makes the pages inaccessible; commit makes them usable again. */
void bmm__os_decommit(void *start, size_t bytes);

/* Gives a whole reservation back. False: the system keeps its addresses (it counts mappings, and would have one more); then it is
 * purged, if that can be, and else as it was. */
bool bmm__os_release(void *start, size_t bytes);

enum { BMM__OS_NONE = 0, BMM__OS_READ = 1, BMM__OS_WRITE = 2, BMM__OS_EXECUTE = 4 };
/* Changes access rights. False with errno of the system. */
bool bmm__os_protect(void *start, size_t bytes, unsigned rights);

/* Those of the page that address lies in, whoever's it is. -1 with errno: ENOMEM where nothing is, else what keeps the system
 * from saying it. */
int bmm__os_rights(uintptr_t address);

/* Grows or shrinks a whole committed reservation where it is. NO_ROOM, CANNOT: nothing changed; CANNOT: nor can it be
 * remapped (parts of it have different properties, say). Optional: a system may always say CANNOT. */
enum bmm__os_resized { BMM__OS_RESIZED, BMM__OS_NO_ROOM, BMM__OS_CANNOT };
enum bmm__os_resized bmm__os_resize(void *start, size_t old_bytes, size_t new_bytes);

/* Moves a whole committed reservation to `place`, a reservation of new_bytes ≥ old_bytes with nothing behind it, by
 * changing page addresses; what is new reads as zero, and the old reservation is gone. False: `start` is untouched, the
 * place is not the caller's any more. Optional: a system may always say false, after releasing the place. */
bool bmm__os_remap(void *start, size_t old_bytes, void *place, size_t new_bytes);

/* Moves the memory behind `from` to `to`, both committed, not overlapping. MOVED: `from` reads as zero afterwards, what
 * was behind `to` is gone. KEPT: this system cannot; `from` is untouched, `to` reads as zero if it did. LOST: nor could
 * what was behind `to` be put back: it must not be touched any more, nor given back. Optional: a system may always say
 * KEPT. */
enum bmm__os_moved { BMM__OS_KEPT, BMM__OS_MOVED, BMM__OS_LOST };
enum bmm__os_moved bmm__os_move(void *from, size_t bytes, void *to);

/* As purge, for pages that something was moved to: they become again what their neighbours are. */
bool bmm__os_purge_moved(void *start, size_t bytes);

/* True if the bytes (1 to 8, within one aligned word) can be read. One system call, which changes nothing; callable
 * in signal handlers and with any stack. */
bool bmm__os_can_read(const void *start, size_t bytes);

uint64_t bmm__os_memory_bytes(void); /* of the machine; 0: unknown. The system is asked once */
size_t bmm__os_resident_bytes(void); /* of the process; 0: unknown */

/* A committed OS page that reads as zero in a forked child. NULL where the system has no such thing. */
void *bmm__os_page_wiped_on_fork(void);

/* ---- code that is written at run time: os_linux_code.c ---- */

/* A file of so many zero bytes (whole granules) that has no name and lives as long as a view of it, for two views of the same
 * memory. -1 with errno of the system. Closed by bmm__os_file_close. */
int bmm__os_code_file(size_t bytes);

/* Writes what is at from to the file, within its bytes; no view of it is needed. False with errno of the system. */
bool bmm__os_code_file_write(int file, uint64_t offset, const void *from, size_t bytes);

/* Puts the file's views into two whole reservations of that many bytes, or over two views of another file: one to be read and
 * written, one to be read and executed. No page of either was ever both. False with errno of the system, nothing or one view
 * in place: the reservations are only to be released. */
bool bmm__os_code_views(int file, size_t bytes, void *writable, void *executable);

/* No processor that runs a thread of this process goes on with instructions that it fetched before: what another machine than
 * x86 needs when code was written where other code may have been. Costs an interrupt on each. */
void bmm__os_code_refetch(void);

/* ---- time, identity, waiting ---- */

uint64_t bmm__os_clock_mono_ns(void);
uint64_t bmm__os_clock_coarse_ms(void); /* monotonic, cheap, to about 10 ms */
uint64_t bmm__os_clock_real_ns(void);
uint64_t bmm__os_random(void); /* a word of the system's entropy; never fails, may be weak at early boot */
void bmm__os_image_random(uint64_t words[2]); /* other ones for each image of a process; 0, 0: the system gave none */
uint32_t bmm__os_process_id(void);            /* always asks the system: right in a raw clone, too */
uint32_t bmm__os_parent_id(void);
uint32_t bmm__os_thread_id(void);
uintptr_t bmm__os_thread_key(void);      /* not 0, no system call; no two living threads have the same */
void bmm__os_thread_name(char name[16]); /* of the calling thread, NUL-padded */
uint64_t bmm__os_process_birth(void);    /* stays over exec and tells two users of one process id apart; 0: unknown */
/* Most bytes of address space that the process may have (RLIMIT_AS), and of private memory that can be written (RLIMIT_DATA);
 * UINT64_MAX: any. */
uint64_t bmm__os_address_limit(void);
uint64_t bmm__os_data_limit(void);
/* Private memory counts as used as soon as it is mapped (vm.overcommit_memory is 2): what one process maps ahead the others lack. */
bool bmm__os_counts_mapped(void);
bool bmm__os_is_secure(void); /* set-uid or alike: the environment must not be believed (AT_SECURE) */
/* No signal handler runs on this thread until the mask is given back. */
uint64_t bmm__os_block_signals(void);
void bmm__os_restore_signals(uint64_t mask);
void bmm__os_wait(uint32_t *word, uint32_t value); /* sleeps while *word == value; may wake for no reason */
void bmm__os_wake(uint32_t *word, int count);
void bmm__os_wake_shared(uint32_t *word); /* all that sleep on the word's memory, in whatever process */
/* Every other thread of the process that runs has passed a full barrier, as has this one. False: the system has no such call. */
bool bmm__os_barrier_others(void);
/* Says that it will be called: at once while there is one thread; later the first call may take ten milliseconds. */
void bmm__os_barrier_prepare(void);
void bmm__os_nap(void); /* about a millisecond; by the same system call as wait, which sandboxes allow */

/* The program's own ELF headers, as the system found them; NULL: it does not say. */
const void *bmm__os_program_headers(uint32_t *count);
bool bmm__os_has_loader(void); /* false: nobody else loads and starts the program: it is static, most likely */

/* Calls visit with the contents of every ELF note of that name in every module that is loaded, until it says false. */
void bmm__os_notes(const char *name, bool (*visit)(const void *contents, size_t bytes, void *context), void *context);
/* The module that address lies in is not to be unloaded any more. Where libc is usable. */
void bmm__os_keep_loaded(const void *address);

/* Value of an environment variable, NULL if absent; right also before libc has started. Not copied. */
const char *bmm__os_environment(const char *name);
/* Makes entry ("NAME=value", not copied) part of libc's environment, in the place of one of that name or at the end of a
 * longer list, for which alloc gives memory. False: it gave none. */
bool bmm__os_environment_put(char *entry, void *(*alloc)(size_t bytes));
/* Writes the program's arguments, each NUL-terminated, to buffer; returns bytes written (cut at capacity). */
size_t bmm__os_command_line(char *buffer, size_t capacity);

/* ---- files: only what the recorder and messages need; -1 or false with errno on failure ---- */

void bmm__os_write_error(const char *text, size_t bytes); /* to stderr, whole, whatever it takes; failures ignored */
int bmm__os_file_create(const char *path);                /* new, 0600, never through a link */
int bmm__os_file_open(const char *path);                  /* for reading */
long bmm__os_file_read(int file, void *buffer, size_t bytes);
long bmm__os_file_read_at(int file, uint64_t offset, void *buffer, size_t bytes);
bool bmm__os_file_append(const char *path, const void *data, size_t bytes); /* one write, O_APPEND, creates 0600 */
/* Real space, so that a later store cannot SIGBUS; what is there stays. */
bool bmm__os_file_allocate(int file, uint64_t offset, uint64_t bytes);
void *bmm__os_file_map(int file, uint64_t offset, size_t bytes, void *at); /* shared, read-write, over `at` */
void bmm__os_file_close(int file);
bool bmm__os_file_remove(const char *path);
uint64_t bmm__os_directory_free(const char *path);         /* bytes free there; 0: no such writable directory */
bool bmm__os_directory_is_writable(const char *path);      /* for the process as it is now */
bool bmm__os_directory_now(char *buffer, size_t capacity); /* the working directory's absolute path; false: none */
bool bmm__os_is_missing(const char *path);                 /* for certain: there is no such file or directory */
bool bmm__os_is_file(const char *path);                    /* a regular file, or a link to one */
long bmm__os_link_read(const char *path, char *buffer, size_t capacity); /* NUL-terminated; -1 */

/* Needed by debug/recorder.c. file_allocate must ask RLIMIT_FSIZE first (going past it is a signal, not an error). */
int bmm__os_file_reopen(const char *path); /* an existing file, for reading and writing, never through a link */
struct bmm__os_file_facts {
    uint64_t volume, number; /* the same file has the same two, whatever it is called */
    bool is_regular;
    bool raises_rights; /* executing it makes the process secure: set-uid/-gid to someone else, file capabilities */
};
bool bmm__os_file_facts(int file, struct bmm__os_file_facts *facts);
/* Needed by debug/exit.c: many programs close stderr in their last atexit handler. keep copies the descriptor to a high
 * number that exec closes, and remembers what it is; restore makes it stderr again if nothing is open there now (and
 * the copy is still the same file), else opens /dev/null there, lest a message end in a file that got the number.
 * forget closes the copy, if it is the same file still: a forked child that becomes a daemon must not hold its parent's
 * stderr open, for whose end somebody may wait. */
void bmm__os_error_keep(void);
void bmm__os_error_restore(void);
void bmm__os_error_forget(void);
/* True if the file, opened with reopen, is this user's own and no process has it open or mapped but by this descriptor. */
bool bmm__os_file_is_abandoned(int file);
/* Calls visit for the name of each entry; allocates nothing. */
void bmm__os_directory_list(const char *path, void (*visit)(const char *name, void *context), void *context);
/* Private, zeroed, readable and writable pages over a range that bmm__os_file_map had mapped (or that is reserved). */
bool bmm__os_private_map(void *at, size_t bytes);
/* Pages that bmm__os_file_map had mapped, at another place besides. NULL: not possible. */
void *bmm__os_map_again(void *start, size_t bytes);

/* Needed by debug/exec.c: replaces the process image by one raw system call, no search, no allocation; callable in a
 * child of vfork. Returns -1 with errno. */
int bmm__os_exec(const char *path, char *const arguments[], char *const environment[]);
int bmm__os_exec_file(int file, char *const arguments[], char *const environment[]);

/* Starts `path` with arguments and the environment less LD_PRELOAD and BRAINMM_OPTIONS, waits for its end.
 * Returns its wait status (0 if the program has the system throw it away), -1 when it could not be started. Signals are blocked for the duration, and the program's
 * SIGCHLD disposition, children and descriptors are not disturbed. */
int bmm__os_run_and_wait(const char *path, const char *const *arguments);

/* Stops the process at once, as abort() does, without running any of its code. */
_Noreturn void bmm__os_abort(void);

#endif
