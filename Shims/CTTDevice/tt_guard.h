// Mappings of a card that may vanish. When somebody resets a card, the driver takes the windows of
// everybody else away, and the next access to one raises SIGBUS, which would end the process. Here
// the handler puts empty memory in the place of such a mapping and notes that it is lost; any other
// SIGBUS goes on to whoever handled it before.
#pragma once
#include <errno.h>
#include <signal.h>
#include <stdint.h>
#include <string.h>
#include <sys/mman.h>

#pragma clang assume_nonnull begin

/// More mappings than one process holds of all its cards.
enum { TT_GUARD_CAPACITY = 512 };

typedef struct {
  uintptr_t start;
  uintptr_t size;
  int lost;
} tt_guarded;

typedef struct {
  tt_guarded mappings[TT_GUARD_CAPACITY];
  struct sigaction previous;
} tt_guard;

/// Makes `handler`, which calls `tt_guard_handle`, that of SIGBUS.
static inline int tt_guard_install(
    tt_guard *guard,
    void (*handler)(int, siginfo_t *_Nullable, void *_Nullable)) {
  struct sigaction action;
  memset(&action, 0, sizeof action);
  action.sa_sigaction = handler;
  action.sa_flags = SA_SIGINFO | SA_ONSTACK;
  sigemptyset(&action.sa_mask);
  return sigaction(SIGBUS, &action, &guard->previous) < 0 ? -errno : 0;
}

/// Inside the handler: calls nothing that a handler may not.
static inline void tt_guard_handle(
    tt_guard *guard, int number, siginfo_t *_Nullable info, void *_Nullable context) {
  uintptr_t address = info && info->si_code > 0 ? (uintptr_t)info->si_addr : 0;
  for (int i = 0; address && i < TT_GUARD_CAPACITY; i++) {
    tt_guarded *mapping = &guard->mappings[i];
    uintptr_t start = __atomic_load_n(&mapping->start, __ATOMIC_ACQUIRE);
    if (!start || address - start >= mapping->size) continue;
    int saved = errno;
    // The whole mapping: the driver lets no window be split.
    void *memory = mmap(
        (void *)start, mapping->size, PROT_READ | PROT_WRITE,
        MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE | MAP_FIXED, -1, 0);
    errno = saved;
    if (memory == MAP_FAILED) break;
    __atomic_store_n(&mapping->lost, 1, __ATOMIC_RELEASE);
    return;
  }
  if (guard->previous.sa_flags & SA_SIGINFO) {
    guard->previous.sa_sigaction(number, info, context);
  } else if (guard->previous.sa_handler == SIG_DFL || guard->previous.sa_handler == SIG_IGN) {
    // What faulted faults again, and a signal that was sent is sent again: the process ends.
    signal(SIGBUS, SIG_DFL);
    if (!info || info->si_code <= 0) raise(SIGBUS);
  } else {
    guard->previous.sa_handler(number);
  }
}

/// The slot of a mapping from now on guarded, or -ENOSPC. Not from two threads at once.
static inline int tt_guard_add(tt_guard *guard, void *start, uint64_t size) {
  for (int i = 0; i < TT_GUARD_CAPACITY; i++) {
    tt_guarded *mapping = &guard->mappings[i];
    if (__atomic_load_n(&mapping->start, __ATOMIC_RELAXED)) continue;
    mapping->size = size;
    __atomic_store_n(&mapping->lost, 0, __ATOMIC_RELAXED);
    __atomic_store_n(&mapping->start, (uintptr_t)start, __ATOMIC_RELEASE);
    return i;
  }
  return -ENOSPC;
}

static inline void tt_guard_remove(tt_guard *guard, int slot) {
  if (slot < 0 || slot >= TT_GUARD_CAPACITY) return;
  __atomic_store_n(&guard->mappings[slot].start, 0, __ATOMIC_RELEASE);
}

/// Whether empty memory lies where the mapping was.
static inline int tt_guard_is_lost(tt_guard *guard, int slot) {
  if (slot < 0 || slot >= TT_GUARD_CAPACITY) return 0;
  return __atomic_load_n(&guard->mappings[slot].lost, __ATOMIC_ACQUIRE);
}

#pragma clang assume_nonnull end
