/* Freed blocks, kept back so that a write through a stale pointer hits poison and not the next owner's data.
 *
 *   oldest                        newest
 *     ├── slot ── slot ── slot ── slot ──┤      a ring of slot starts, one per thread, no lock
 *
 * Invariants
 *  Q1  A slot is in one ring at most, and its record says QUARANTINED as long as it is.
 *  Q2  bytes is the sum of the slots' bytes, and at most the limit after each keep.
 *  Q3  A ring belongs to one thread; a signal handler that interrupts it finds is_busy and keeps nothing.
 */
#ifndef BMM_QUARANTINE_H
#define BMM_QUARANTINE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define BMM__QUARANTINE_SLOTS 16384u /* a power of two; small blocks are bounded by it, large ones by bytes */

struct bmm__quarantine {
    uintptr_t *ring; /* BMM__QUARANTINE_SLOTS slot starts; NULL until the first */
    size_t bytes;
    uint32_t first, count; /* first: index of the oldest, wraps */
    bool is_busy;
};

/* Takes the slot (its record says QUARANTINED, poison is laid); gives back the oldest ones as needed. False: not
 * taken, the caller gives it back itself. */
bool bmm__quarantine_keep(struct bmm__quarantine *quarantine, uintptr_t slot_start, size_t slot_bytes);

/* Its thread ends: verifies and gives back all but the newest, a sixteenth of what it may keep. They stay for the thread that gets
 * the ring next: what freed them may have ended at once, like a request that was answered. */
void bmm__quarantine_thin(struct bmm__quarantine *quarantine);

#endif
