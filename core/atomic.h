/* Atomics by name of their order. Every atomic access of core and debug goes through here, so that a schedule
 * explorer or another compiler has one place to hook. Says nothing about what the values mean: that stands where
 * the field is declared, with its partner. */
#ifndef BMM_ATOMIC_H
#define BMM_ATOMIC_H

#include <stdbool.h>
#include <stdint.h>

#define bmm__load_relaxed(p) __atomic_load_n((p), __ATOMIC_RELAXED)
#define bmm__load_acquire(p) __atomic_load_n((p), __ATOMIC_ACQUIRE)
/* An acquire load that the compiler may make an operand of the instruction that needs it, which gcc never does with
 * __atomic: for the few loads of the fast path where that counts. (Every load of x86 acquires.) */
#if (defined(__x86_64__) || defined(__i386__)) && !defined(__SANITIZE_THREAD__)
#define bmm__load_operand(p) (*(p))
#else
#define bmm__load_operand(p) __atomic_load_n((p), __ATOMIC_ACQUIRE)
#endif
#define bmm__store_relaxed(p, v) __atomic_store_n((p), (v), __ATOMIC_RELAXED)
#define bmm__store_release(p, v) __atomic_store_n((p), (v), __ATOMIC_RELEASE)
#define bmm__load_seq_cst(p) __atomic_load_n((p), __ATOMIC_SEQ_CST)
#define bmm__exchange_seq_cst(p, v) __atomic_exchange_n((p), (v), __ATOMIC_SEQ_CST)
#define bmm__exchange_acq_rel(p, v) __atomic_exchange_n((p), (v), __ATOMIC_ACQ_REL)
#define bmm__add_relaxed(p, v) __atomic_fetch_add((p), (v), __ATOMIC_RELAXED)
#define bmm__sub_relaxed(p, v) __atomic_fetch_sub((p), (v), __ATOMIC_RELAXED)
#define bmm__add_seq_cst(p, v) __atomic_fetch_add((p), (v), __ATOMIC_SEQ_CST)
#define bmm__add_acq_rel(p, v) __atomic_fetch_add((p), (v), __ATOMIC_ACQ_REL)
#define bmm__sub_acq_rel(p, v) __atomic_fetch_sub((p), (v), __ATOMIC_ACQ_REL)
#define bmm__or_acq_rel(p, v) __atomic_fetch_or((p), (v), __ATOMIC_ACQ_REL)
#define bmm__and_acq_rel(p, v) __atomic_fetch_and((p), (v), __ATOMIC_ACQ_REL)

/* Loads before it come before loads after it. */
#define bmm__acquire_fence() __atomic_thread_fence(__ATOMIC_ACQUIRE)

/* What comes before it, stores too, comes before what comes after it. */
#define bmm__full_fence() __atomic_thread_fence(__ATOMIC_SEQ_CST)

/* Orders this thread's accesses against a signal handler on the same thread; no instruction. */
#define bmm__signal_fence() __atomic_signal_fence(__ATOMIC_SEQ_CST)

/* On failure *expected receives the value found (acquire), as everywhere in C11. */
#define bmm__cas_acq_rel(p, expected, desired) \
    __atomic_compare_exchange_n((p), (expected), (desired), false, __ATOMIC_ACQ_REL, __ATOMIC_ACQUIRE)
#define bmm__cas_weak_acq_rel(p, expected, desired) \
    __atomic_compare_exchange_n((p), (expected), (desired), true, __ATOMIC_ACQ_REL, __ATOMIC_ACQUIRE)
#define bmm__cas_weak_seq_cst(p, expected, desired) \
    __atomic_compare_exchange_n((p), (expected), (desired), true, __ATOMIC_SEQ_CST, __ATOMIC_ACQUIRE)

/* As bmm__cas_acq_rel, but for this thread and its signal handlers only: one plain instruction, which waits for nothing. */
#if defined(__x86_64__) && !defined(__SANITIZE_THREAD__)
#define BMM__HAS_UNLOCKED_CAS 1
static inline bool bmm__cas_unlocked(uint64_t *word, uint64_t expected, uint64_t desired)
{
    bool is_done;
    __asm__ volatile("cmpxchgq %3, %1" : "=@ccz"(is_done), "+m"(*word), "+a"(expected) : "r"(desired) : "memory");
    return is_done;
}
#else
#define BMM__HAS_UNLOCKED_CAS 0
#endif

/* Takes one off a counter that one thread writes and others may read (acquire: they see what it did before): one plain
 * instruction where the machine has one. True if the result is zero. */
static inline bool bmm__single_writer_decrement(uint32_t *counter)
{
#if (defined(__x86_64__) || defined(__i386__)) && !defined(__SANITIZE_THREAD__)
    bool is_zero;
    /* memory: stores before it stay before it, as others may count on */
    __asm__("subl $1, %0" : "+m"(*counter), "=@ccz"(is_zero) : : "memory");
    return is_zero;
#else
    uint32_t value = bmm__load_relaxed(counter) - 1;
    bmm__store_release(counter, value);
    return value == 0;
#endif
}

static inline void bmm__pause(void)
{
#if defined(__x86_64__) || defined(__i386__)
    __builtin_ia32_pause();
#elif defined(__aarch64__)
    __asm__ volatile("yield");
#endif
}

#endif
