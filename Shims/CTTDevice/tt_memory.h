// Memory shared with a card: mappings of the card, host memory near it, accesses and fences.
#pragma once
#include <errno.h>
#include <numaif.h>
#include <stdint.h>
#include <string.h>
#include <sys/mman.h>

#pragma clang assume_nonnull begin

/// Maps `size` bytes of a card at an offset that the driver gave. Child processes do not inherit it:
/// theirs would keep the card open when this one dies. Map each window once, and as
/// either uncached or combined: the first mapping sets the kind of memory.
static inline int tt_map(int fd, uint64_t offset, uint64_t size, void *_Nullable *_Nonnull start) {
  void *address = mmap(0, size, PROT_READ | PROT_WRITE, MAP_SHARED, fd, (off_t)offset);
  *start = address == MAP_FAILED ? 0 : address;
  if (address == MAP_FAILED) return -errno;
  madvise(address, size, MADV_DONTFORK);
  return 0;
}

/// The whole of a mapping or of host memory, never a part.
static inline int tt_unmap(void *start, uint64_t size) {
  return munmap(start, size) < 0 ? -errno : 0;
}

/// Zeroed host memory, present, not inherited by child processes (whose copies could take the pages
/// that the card writes), preferably of one NUMA node (-1: any). `page_log2` is 12 for plain
/// pages, 21 or 30 for huge ones, of which `size` is a multiple. -ENOMEM where there are too few
/// huge pages, -EPERM where a container forbids choosing a node. Needs Linux 5.14.
static inline int tt_map_host_memory(
    uint64_t size, int page_log2, int node, void *_Nullable *_Nonnull start) {
  *start = 0;
  if (page_log2 != 12 && page_log2 != 21 && page_log2 != 30) return -EINVAL;
  if (node < -1 || node >= 1024) return -EINVAL;
  int flags = MAP_PRIVATE | MAP_ANONYMOUS;
  if (page_log2 > 12) flags |= MAP_HUGETLB | page_log2 << 26;
  void *address = mmap(0, size, PROT_READ | PROT_WRITE, flags, -1, 0);
  if (address == MAP_FAILED) return -errno;

  int result = 0;
  if (node >= 0) {
    enum { bits = 8 * sizeof(unsigned long) };
    unsigned long nodes[1024 / bits] = {0};
    nodes[node / bits] = 1ul << node % bits;
    // The kernel reads one bit less than it is told.
    if (mbind(address, size, MPOL_PREFERRED, nodes, 1024 + 1, 0) < 0) result = -errno;
  }
  // Not MAP_POPULATE, which would come before the binding and hides that pages are missing.
  enum { populate_write = 23 };
  if (result == 0 && madvise(address, size, populate_write) < 0) result = -errno;
  if (result == 0 && madvise(address, size, MADV_DONTFORK) < 0) result = -errno;
  if (result == 0)
    *start = address;
  else
    munmap(address, size);
  return result;
}

/// One 32-bit load that the compiler neither drops, repeats nor splits. `address` is aligned.
static inline uint32_t tt_read32(const void *address) {
  return *(const volatile uint32_t *)address;
}

/// One 32-bit store, the only width that registers of a tile take. `address` is aligned.
static inline void tt_write32(void *address, uint32_t value) {
  *(volatile uint32_t *)address = value;
}

/// Earlier stores, combined ones included, reach the card before later ones.
static inline void tt_store_fence(void) {
#if defined(__x86_64__)
  __asm__ volatile("sfence" ::: "memory");
#elif defined(__aarch64__)
  __asm__ volatile("dsb st" ::: "memory");
#else
#error "CTTDevice knows the fences of x86_64 and arm64"
#endif
}

/// Nothing is read from the card before earlier stores are out and earlier reads are in; combined
/// mappings are read ahead of time otherwise.
static inline void tt_full_fence(void) {
#if defined(__x86_64__)
  __asm__ volatile("mfence" ::: "memory");
#elif defined(__aarch64__)
  __asm__ volatile("dsb sy" ::: "memory");
#endif
}

/// What the card wrote into host memory before the word just read is read after it.
static inline void tt_load_fence(void) {
#if defined(__x86_64__)
  __asm__ volatile("" ::: "memory");  // the processor keeps loads of such memory in order
#elif defined(__aarch64__)
  __asm__ volatile("dmb oshld" ::: "memory");
#endif
}

// The library's memcpy may store bytes twice, unaligned and in any order. These two go upwards,
// each word once, 8 bytes at a time where the card's side is so aligned. The card's address and the
// count are multiples of 4, otherwise -EINVAL and nothing is copied.

static inline int tt_copy_to_card(void *card, const void *host, uint64_t count) {
  if (((uintptr_t)card | count) % 4 != 0) return -EINVAL;
  char *to = card;
  const char *from = host;
  while (count > 0) {
    if ((uintptr_t)to % 8 == 0 && count >= 8) {
      uint64_t value;
      memcpy(&value, from, 8);
      *(volatile uint64_t *)to = value;
      to += 8, from += 8, count -= 8;
    } else {
      uint32_t value;
      memcpy(&value, from, 4);
      *(volatile uint32_t *)to = value;
      to += 4, from += 4, count -= 4;
    }
  }
  return 0;
}

static inline int tt_copy_from_card(void *host, const void *card, uint64_t count) {
  if (((uintptr_t)card | count) % 4 != 0) return -EINVAL;
  char *to = host;
  const char *from = card;
  while (count > 0) {
    if ((uintptr_t)from % 8 == 0 && count >= 8) {
      uint64_t value = *(const volatile uint64_t *)from;
      memcpy(to, &value, 8);
      to += 8, from += 8, count -= 8;
    } else {
      uint32_t value = *(const volatile uint32_t *)from;
      memcpy(to, &value, 4);
      to += 4, from += 4, count -= 4;
    }
  }
  return 0;
}

#pragma clang assume_nonnull end
