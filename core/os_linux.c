/* The contract of os.h on Linux: memory, time, identity, waiting. Files and processes: os_linux_file.c. */
#define _GNU_SOURCE
#include "core/os.h"

#include "core/assert.h"
#include "core/atomic.h"

#include <errno.h>
#include <linux/futex.h>
#include <linux/membarrier.h>
#include <signal.h>
#include <string.h>
#include <sys/auxv.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/syscall.h>
#include <sys/sysinfo.h>
#include <time.h>
#include <unistd.h>

#ifndef MAP_FIXED_NOREPLACE
#define MAP_FIXED_NOREPLACE 0x100000
#endif

size_t bmm__os_page_bytes(void)
{
    static size_t page_bytes;
    if (page_bytes == 0)
        page_bytes = getauxval(AT_PAGESZ);
    return page_bytes;
}

/* At exactly that place, if nothing is there. False with errno of the system. */
static bool map_at(void *start, size_t bytes, int rights)
{
    int flags = MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE | MAP_FIXED_NOREPLACE;
    void *found = mmap(start, bytes, rights, flags, -1, 0);
    if (found != MAP_FAILED && found != start) { /* kernels before 4.17 take the place for a wish */
        munmap(found, bytes);
        errno = EEXIST;
    }
    return found == start;
}

/* Maps with the wanted alignment: first as it comes, which usually fits from the second time on; then a little lower, for the system puts
 * mappings below each other, mostly, and a limit may leave room for no more than that; then with room to spare, of which the
 * ends go back at once (before the range is known to anyone, so it stays one reservation). */
static void *map_aligned(size_t bytes, size_t align, int rights)
{
    int saved_errno = errno;
    int flags = MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE;
    char *start = mmap(NULL, bytes, rights, flags, -1, 0);
    size_t excess = (uintptr_t)start & (align - 1);
    if (start != MAP_FAILED && excess != 0) {
        munmap(start, bytes);
        start -= excess;
        if (start == NULL || !map_at(start, bytes, rights)) {
            start = bytes + align < bytes ? MAP_FAILED : mmap(NULL, bytes + align, rights, flags, -1, 0);
            if (start != MAP_FAILED) {
                size_t head = (align - ((uintptr_t)start & (align - 1))) & (align - 1);
                if (head != 0)
                    munmap(start, head);
                munmap(start + head + bytes, align - head);
                start += head;
            }
        }
    }
    errno = saved_errno;
    return start == MAP_FAILED ? NULL : start;
}

void *bmm__os_reserve(size_t bytes, size_t align)
{
    return map_aligned(bytes, align, PROT_NONE);
}

bool bmm__os_reserve_at(void *start, size_t bytes)
{
    int saved_errno = errno;
    bool is_done = map_at(start, bytes, PROT_NONE);
    errno = saved_errno;
    return is_done;
}

bool bmm__os_map_at(void *start, size_t bytes, bool *is_taken)
{
    int saved_errno = errno;
    bool is_done = map_at(start, bytes, PROT_READ | PROT_WRITE);
    *is_taken = !is_done && errno == EEXIST;
    errno = saved_errno;
    return is_done;
}

/* Linux puts mappings just below the stack, and programs and their heaps two thirds up, or, if they are not
 * position-independent, at the very start: what lies between 16 GiB and 16 TiB is used by Go (from three quarters of each
 * TiB on) and by sanitizers, whose shadows it must not meet. */
#define QUIET_START ((uint64_t)16 << 30)
#define QUIET_HALF ((uint64_t)1 << 39)

void *bmm__os_quiet_place(size_t align, uint64_t end)
{
#if defined(__SANITIZE_THREAD__) || defined(__SANITIZE_ADDRESS__) || UINTPTR_MAX < UINT64_MAX
    (void)align, (void)end;
    return NULL;
#else
    uint64_t half_end = end < QUIET_HALF ? end : QUIET_HALF, random = bmm__os_random();
    if (half_end <= QUIET_START)
        return NULL;
    uint64_t terabyte = end >> 40 == 0 ? 0 : random % (end >> 40);
    uint64_t offset = QUIET_START + (random >> 32) * align % (half_end - QUIET_START);
    return (void *)((terabyte << 40 | offset) & ~(uint64_t)(align - 1)); /* NOLINT */
#endif
}

void *bmm__os_quiet_corner(size_t align)
{
    /* Between 32 and 48 TiB: no bound of anything, and where address space is smaller nothing can be put. */
    uintptr_t place = (uintptr_t)bmm__os_quiet_place(align, (uint64_t)1 << 44);
    return place == 0 ? NULL : (void *)(place + ((uintptr_t)1 << 45)); /* NOLINT */
}

void *bmm__os_map(size_t bytes, size_t align)
{
    return map_aligned(bytes, align, PROT_READ | PROT_WRITE);
}

bool bmm__os_commit(void *start, size_t bytes)
{
    int saved_errno = errno;
    bool is_done = mprotect(start, bytes, PROT_READ | PROT_WRITE) == 0;
    errno = saved_errno;
    return is_done;
}

void bmm__os_prefer_huge(void *start, size_t bytes)
{
    int saved_errno = errno;
    madvise(start, bytes, MADV_HUGEPAGE);
    errno = saved_errno;
}

void bmm__os_prefer_small(void *start, size_t bytes)
{
    int saved_errno = errno;
    madvise(start, bytes, MADV_NOHUGEPAGE);
    errno = saved_errno;
}

static bool populates_not; /* relaxed */

void bmm__os_populate(void *start, size_t bytes)
{
#ifndef MADV_POPULATE_WRITE
#define MADV_POPULATE_WRITE 23 /* from 5.14 on */
#endif
    if (bmm__load_relaxed(&populates_not))
        return;
    int saved_errno = errno;
    uintptr_t before = (uintptr_t)start & (bmm__os_page_bytes() - 1);
    if (madvise((char *)start - before, before + bytes, MADV_POPULATE_WRITE) != 0 &&
        (errno == EINVAL || errno == EPERM || errno == EACCES || errno == ENOSYS))
        bmm__os_populate_allow(false); /* the system does not know it, or a filter forbids it */
    errno = saved_errno;
}

void bmm__os_populate_allow(bool is_allowed)
{
    (void)bmm__exchange_seq_cst(&populates_not, (bool)!is_allowed);
}

static uint64_t purged_bytes; /* relaxed */

static bool purges_locked; /* relaxed */

void bmm__os_purge_locked(bool is_wished)
{
    bmm__store_relaxed(&purges_locked, is_wished);
}

static bool dont_need(void *start, size_t bytes, bool is_locked_too)
{
#ifndef MADV_DONTNEED_LOCKED
#define MADV_DONTNEED_LOCKED 24 /* from 5.18 on */
#endif
    int saved_errno = errno;
    bool is_done = madvise(start, bytes, MADV_DONTNEED) == 0 ||
                   (is_locked_too && madvise(start, bytes, MADV_DONTNEED_LOCKED) == 0);
    errno = saved_errno;
    return is_done;
}

bool bmm__os_purge_own(void *start, size_t bytes)
{
    return dont_need(start, bytes, true);
}

bool bmm__os_purge(void *start, size_t bytes)
{
    bool is_done = dont_need(start, bytes, bmm__load_relaxed(&purges_locked));
    if (is_done)
        bmm__add_relaxed(&purged_bytes, (uint64_t)bytes);
    return is_done;
}

uint64_t bmm__os_purged_bytes(void)
{
    return bmm__load_relaxed(&purged_bytes);
}

void bmm__os_decommit(void *start, size_t bytes)
{
    int saved_errno = errno;
    madvise(start, bytes, MADV_DONTNEED);
    mprotect(start, bytes, PROT_NONE);
    errno = saved_errno;
}

bool bmm__os_release(void *start, size_t bytes)
{
    int saved_errno = errno;
    bool is_done = munmap(start, bytes) == 0;
    if (!is_done)
        dont_need(start, bytes, true);
    errno = saved_errno;
    return is_done;
}

bool bmm__os_protect(void *start, size_t bytes, unsigned rights)
{
    int protection = (rights & BMM__OS_READ ? PROT_READ : 0) | (rights & BMM__OS_WRITE ? PROT_WRITE : 0) |
                     (rights & BMM__OS_EXECUTE ? PROT_EXEC : 0);
    return mprotect(start, bytes, protection) == 0;
}

enum bmm__os_resized bmm__os_resize(void *start, size_t old_bytes, size_t new_bytes)
{
    int saved_errno = errno;
    enum bmm__os_resized resized = BMM__OS_RESIZED;
    if (mremap(start, old_bytes, new_bytes, 0) != start)
        resized = errno == EFAULT ? BMM__OS_CANNOT : BMM__OS_NO_ROOM; /* EFAULT: several mappings */
    errno = saved_errno;
    return resized;
}

/* A failed mremap to a given place has often unmapped that place before it looked at the source: kernels up to 6.16
 * refuse one of several mappings then, all of them one that would be beyond RLIMIT_AS. The place may then be another
 * thread's, and who finds something there cannot tell. So such a place is given up, and not a second one: */
static bool has_lost_a_place;

bool bmm__os_remap(void *start, size_t old_bytes, void *place, size_t new_bytes)
{
    int saved_errno = errno;
    bool is_ours = bmm__load_relaxed(&has_lost_a_place); /* still, as nothing is tried */
    bool is_done = !is_ours && mremap(start, old_bytes, new_bytes, MREMAP_MAYMOVE | MREMAP_FIXED, place) == place;
    if (!is_done) {
        if (is_ours || map_at(place, new_bytes, PROT_NONE))
            munmap(place, new_bytes);
        else
            bmm__store_relaxed(&has_lost_a_place, true);
    }
    errno = saved_errno;
    return is_done;
}

/* mremap refuses to grow several mappings before it looks for room. Where it does grow, that is taken back. */
static bool is_one_mapping(void *start, size_t bytes)
{
    size_t more = bytes + bmm__os_page_bytes();
    if (mremap(start, bytes, more, 0) == start)
        return mremap(start, more, bytes, 0) == start;
    return errno != EFAULT;
}

enum bmm__os_moved bmm__os_move(void *from, size_t bytes, void *to)
{
#ifndef MREMAP_DONTUNMAP
#define MREMAP_DONTUNMAP 4 /* from 5.7 on: before, EINVAL and nothing touched */
#endif
    int saved_errno = errno;
    enum bmm__os_moved moved = BMM__OS_KEPT;
    if (!bmm__load_relaxed(&has_lost_a_place) && is_one_mapping(from, bytes)) {
        if (mremap(from, bytes, bytes, MREMAP_MAYMOVE | MREMAP_FIXED | MREMAP_DONTUNMAP, to) == to) {
            moved = BMM__OS_MOVED;
        } else if (errno != EINVAL && errno != ENOSYS && errno != EPERM && !map_at(to, bytes, PROT_READ | PROT_WRITE)) {
            bmm__store_relaxed(&has_lost_a_place, true);
            moved = BMM__OS_LOST;
        }
    }
    errno = saved_errno;
    return moved;
}

bool bmm__os_purge_moved(void *start, size_t bytes)
{
    /* A moved mapping keeps its old file offset and so can never merge with its neighbours: a fresh one can. */
    int saved_errno = errno;
    int flags = MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE | MAP_FIXED;
    bool is_fresh = mmap(start, bytes, PROT_READ | PROT_WRITE, flags, -1, 0) != MAP_FAILED;
    if (is_fresh)
        bmm__add_relaxed(&purged_bytes, (uint64_t)bytes);
    bool is_done = is_fresh || bmm__os_purge(start, bytes);
    errno = saved_errno;
    return is_done;
}

/* rt_sigprocmask with a senseless `how` copies the set in first, and so says EFAULT for what cannot be read. Chosen
 * because every sandbox allows it, it touches no descriptor and changes nothing. */
bool bmm__os_can_read(const void *start, size_t bytes)
{
    (void)bytes; /* they share a page with the word that is asked for, which is not NULL: that would mean no set */
    int saved_errno = errno;
    const void *word = (const void *)(((uintptr_t)start | 8) & ~(uintptr_t)7);
    bool is_readable = syscall(SYS_rt_sigprocmask, -1, word, NULL, 8) != -1 || errno != EFAULT;
    errno = saved_errno;
    return is_readable;
}

uint64_t bmm__os_memory_bytes(void)
{
    static uint64_t memory_bytes;
    uint64_t bytes = bmm__load_relaxed(&memory_bytes);
    if (bytes != 0)
        return bytes;
    struct sysinfo facts;
    int saved_errno = errno;
    if (sysinfo(&facts) == 0)
        bytes = (uint64_t)facts.totalram * facts.mem_unit;
    errno = saved_errno;
    bmm__store_relaxed(&memory_bytes, bytes);
    return bytes;
}

void *bmm__os_page_wiped_on_fork(void)
{
    int saved_errno = errno;
    size_t bytes = bmm__os_page_bytes();
    void *page = mmap(NULL, bytes, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    if (page != MAP_FAILED && madvise(page, bytes, MADV_WIPEONFORK) != 0) {
        munmap(page, bytes);
        page = MAP_FAILED;
    }
    errno = saved_errno;
    return page == MAP_FAILED ? NULL : page;
}

static uint64_t clock_ns(clockid_t clock)
{
    struct timespec now = { 0, 0 };
    clock_gettime(clock, &now);
    return (uint64_t)now.tv_sec * 1000000000u + (uint64_t)now.tv_nsec;
}

uint64_t bmm__os_clock_mono_ns(void)
{
    return clock_ns(CLOCK_MONOTONIC);
}

uint64_t bmm__os_clock_coarse_ms(void)
{
    return clock_ns(CLOCK_MONOTONIC_COARSE) / 1000000u;
}

uint64_t bmm__os_clock_real_ns(void)
{
    return clock_ns(CLOCK_REALTIME);
}

void bmm__os_image_random(uint64_t words[2])
{
    const void *from_kernel = (const void *)getauxval(AT_RANDOM);
    words[0] = words[1] = 0;
    if (from_kernel != NULL)
        memcpy(words, from_kernel, 2 * sizeof *words);
}

bool bmm__os_has_loader(void)
{
    return getauxval(AT_BASE) != 0;
}

const void *bmm__os_program_headers(uint32_t *count)
{
    const void *headers = (const void *)getauxval(AT_PHDR);
    *count = headers != NULL ? (uint32_t)getauxval(AT_PHNUM) : 0;
    return headers;
}

uint64_t bmm__os_random(void)
{
    int saved_errno = errno;
    uint64_t word = 0;
    if (syscall(SYS_getrandom, &word, sizeof word, 1 /* GRND_NONBLOCK */) != (long)sizeof word) {
        uint64_t given[2];
        bmm__os_image_random(given);
        word = given[0] ^ given[1] * 0x9e3779b97f4a7c15u ^ bmm__os_clock_mono_ns();
    }
    errno = saved_errno;
    return word;
}

uint32_t bmm__os_process_id(void)
{
    return (uint32_t)syscall(SYS_getpid);
}

uint32_t bmm__os_parent_id(void)
{
    return (uint32_t)syscall(SYS_getppid);
}

uint32_t bmm__os_thread_id(void)
{
    return (uint32_t)syscall(SYS_gettid);
}

uintptr_t bmm__os_thread_key(void)
{
    return (uintptr_t)&errno;
}

void bmm__os_thread_name(char name[16])
{
    memset(name, 0, 16);
    prctl(PR_GET_NAME, name);
}

static uint64_t limit_of(int resource)
{
    struct rlimit limit;
    return getrlimit(resource, &limit) != 0 || limit.rlim_cur == RLIM_INFINITY ? UINT64_MAX : limit.rlim_cur;
}

uint64_t bmm__os_address_limit(void)
{
    return limit_of(RLIMIT_AS);
}

uint64_t bmm__os_data_limit(void)
{
    return limit_of(RLIMIT_DATA);
}

bool bmm__os_is_secure(void)
{
    return getauxval(AT_SECURE) != 0;
}

uint64_t bmm__os_block_signals(void)
{
    uint64_t all = UINT64_MAX, before = 0;
    syscall(SYS_rt_sigprocmask, SIG_SETMASK, &all, &before, sizeof before);
    return before;
}

void bmm__os_restore_signals(uint64_t mask)
{
    syscall(SYS_rt_sigprocmask, SIG_SETMASK, &mask, NULL, sizeof mask);
}

void bmm__os_wait(uint32_t *word, uint32_t value)
{
    int saved_errno = errno;
    syscall(SYS_futex, word, FUTEX_WAIT_PRIVATE, value, NULL, NULL, 0);
    errno = saved_errno;
}

void bmm__os_wake(uint32_t *word, int count)
{
    int saved_errno = errno;
    syscall(SYS_futex, word, FUTEX_WAKE_PRIVATE, count, NULL, NULL, 0);
    errno = saved_errno;
}

void bmm__os_wake_shared(uint32_t *word)
{
    int saved_errno = errno;
    syscall(SYS_futex, word, FUTEX_WAKE, INT32_MAX, NULL, NULL, 0);
    errno = saved_errno;
}

void bmm__os_barrier_prepare(void)
{
    int saved_errno = errno;
    syscall(SYS_membarrier, MEMBARRIER_CMD_REGISTER_PRIVATE_EXPEDITED, 0, 0);
    errno = saved_errno;
}

bool bmm__os_barrier_others(void)
{
    int saved_errno = errno;
    bool is_done = syscall(SYS_membarrier, MEMBARRIER_CMD_PRIVATE_EXPEDITED, 0, 0) == 0;
    if (!is_done && errno == EPERM) {
        bmm__os_barrier_prepare();
        is_done = syscall(SYS_membarrier, MEMBARRIER_CMD_PRIVATE_EXPEDITED, 0, 0) == 0;
    }
    errno = saved_errno;
    return is_done;
}

void bmm__os_nap(void)
{
    static const struct timespec millisecond = { 0, 1000000 };
    uint32_t word = 0;
    int saved_errno = errno;
    syscall(SYS_futex, &word, FUTEX_WAIT_PRIVATE, word, &millisecond, NULL, 0);
    errno = saved_errno;
}

_Noreturn void bmm__os_abort(void)
{
    /* Not abort(): its handlers are code of the program, and the heap may be in any state. */
    struct sigaction by_default = { .sa_handler = SIG_DFL };
    sigaction(SIGABRT, &by_default, NULL);
    sigset_t only_abort;
    sigemptyset(&only_abort);
    sigaddset(&only_abort, SIGABRT);
    sigprocmask(SIG_UNBLOCK, &only_abort, NULL);
    for (;;)
        syscall(SYS_tgkill, syscall(SYS_getpid), syscall(SYS_gettid), SIGABRT);
}

static size_t append(char *line, size_t used, size_t room, const char *text)
{
    while (*text != '\0' && used < room)
        line[used++] = *text++;
    return used;
}

_Noreturn void bmm__assert_failed(const char *what, const char *file, int line)
{
    char text[256], digits[12];
    size_t used = append(text, 0, sizeof text, "brainmm: assertion failed: ");
    size_t digit = sizeof digits;
    digits[--digit] = '\0';
    do
        digits[--digit] = (char)('0' + line % 10);
    while ((line /= 10) != 0);
    used = append(text, used, sizeof text, what);
    used = append(text, used, sizeof text, " at ");
    used = append(text, used, sizeof text, file);
    used = append(text, used, sizeof text, ":");
    used = append(text, used, sizeof text, digits + digit);
    used = append(text, used, sizeof text, "\n");
    bmm__os_write_error(text, used);
    bmm__os_abort();
}
