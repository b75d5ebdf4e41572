// The kernel driver behind /dev/tenstorrent/N: request numbers, structures, one call a request.
//
// The driver reads its inputs from and writes its answers into the same structure; fields named
// `zero` go in as 0, fields named `reserved` come back meaningless. "Since" is the first driver
// version that knows the request; older ones answer -ENOTTY or -EINVAL.
#pragma once
#include <errno.h>
#include <fcntl.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>
#include <sys/ioctl.h>
#include <unistd.h>

#pragma clang assume_nonnull begin

#define TT_SIZE(type, size) _Static_assert(sizeof(type) == (size), #type " has another size")
#define TT_OFFSET(type, field, offset) \
  _Static_assert(offsetof(type, field) == (offset), #type "." #field " lies elsewhere")

/// A request number is 0xFA00 | n; it encodes neither size nor direction.
enum {
  TT_GET_DEVICE_INFO = 0xFA00,
  TT_QUERY_MAPPINGS = 0xFA02,
  TT_ALLOCATE_DMA_BUFFER = 0xFA03,
  TT_GET_DRIVER_INFO = 0xFA05,
  TT_RESET_DEVICE = 0xFA06,
  TT_PIN_PAGES = 0xFA07,
  TT_LOCK_CONTROL = 0xFA08,
  TT_UNPIN_PAGES = 0xFA0A,
  TT_ALLOCATE_TLB = 0xFA0B,
  TT_FREE_TLB = 0xFA0C,
  TT_CONFIGURE_TLB = 0xFA0D,
  TT_SET_NOC_CLEANUP = 0xFA0E,
  TT_SET_POWER_STATE = 0xFA0F,
};

/// The one place where a request reaches the kernel.
static inline int tt_request(int fd, unsigned long number, void *argument) {
  return ioctl(fd, number, argument) < 0 ? -errno : 0;
}

/// The descriptor of a card, or -errno. O_APPEND tells the driver that this program sets power
/// states itself: opening alone wakes nothing up. O_NONBLOCK: -EAGAIN instead of waiting for a
/// program that has the card to itself (O_EXCL).
static inline int tt_open(const char *path) {
  int fd = open(path, O_RDWR | O_CLOEXEC | O_APPEND | O_NONBLOCK);
  return fd < 0 ? -errno : fd;
}

/// Gives back everything the descriptor holds: windows, pins, buffers, locks. Unmap first: a
/// mapping keeps the card open.
static inline int tt_close(int fd) { return close(fd) < 0 ? -errno : 0; }

// GET_DEVICE_INFO: which PCI device this is.

typedef struct {
  uint32_t output_size;
  uint32_t answered_size;
  uint16_t vendor;
  uint16_t device;
  uint16_t subsystem_vendor;
  uint16_t subsystem;
  /// bus << 8 | device << 3 | function
  uint16_t bus_device_function;
  uint16_t max_dma_buffer_log2;
  /// Since 1.23; 0 before.
  uint16_t pci_domain;
  uint16_t reserved;
} tt_device_info;
TT_SIZE(tt_device_info, 24);
TT_OFFSET(tt_device_info, output_size, 0);
TT_OFFSET(tt_device_info, answered_size, 4);
TT_OFFSET(tt_device_info, vendor, 8);
TT_OFFSET(tt_device_info, device, 10);
TT_OFFSET(tt_device_info, subsystem_vendor, 12);
TT_OFFSET(tt_device_info, subsystem, 14);
TT_OFFSET(tt_device_info, bus_device_function, 16);
TT_OFFSET(tt_device_info, max_dma_buffer_log2, 18);
TT_OFFSET(tt_device_info, pci_domain, 20);
TT_OFFSET(tt_device_info, reserved, 22);

static inline int tt_get_device_info(int fd, tt_device_info *info) {
  *info = (tt_device_info){.output_size = 20};
  return tt_request(fd, TT_GET_DEVICE_INFO, info);
}

// GET_DRIVER_INFO: which driver this is.

typedef struct {
  uint32_t output_size;
  /// 12, or 8 from a driver 1.x, which does not say major, minor and patch.
  uint32_t answered_size;
  /// 1 for drivers 1.x, 2 for 2.x.
  uint32_t api;
  uint8_t major;
  uint8_t minor;
  uint8_t patch;
  uint8_t reserved;
} tt_driver_info;
TT_SIZE(tt_driver_info, 16);
TT_OFFSET(tt_driver_info, output_size, 0);
TT_OFFSET(tt_driver_info, answered_size, 4);
TT_OFFSET(tt_driver_info, api, 8);
TT_OFFSET(tt_driver_info, major, 12);
TT_OFFSET(tt_driver_info, minor, 13);
TT_OFFSET(tt_driver_info, patch, 14);
TT_OFFSET(tt_driver_info, reserved, 15);

static inline int tt_get_driver_info(int fd, tt_driver_info *info) {
  *info = (tt_driver_info){.output_size = 12};
  return tt_request(fd, TT_GET_DRIVER_INFO, info);
}

// QUERY_MAPPINGS: the parts of the card that mmap reaches.

typedef struct {
  /// 1, 2 BAR0 uncached, combined; 3, 4 BAR2; 5, 6 BAR4; 0 an unused entry.
  uint32_t id;
  uint32_t reserved;
  /// The offset for mmap.
  uint64_t base;
  uint64_t size;
} tt_mapping;
TT_SIZE(tt_mapping, 24);
TT_OFFSET(tt_mapping, id, 0);
TT_OFFSET(tt_mapping, reserved, 4);
TT_OFFSET(tt_mapping, base, 8);
TT_OFFSET(tt_mapping, size, 16);

/// As many mappings as one call returns; the driver has six.
enum { TT_MAPPING_CAPACITY = 8 };

typedef struct {
  uint32_t count;
  uint32_t zero;
  tt_mapping mappings[TT_MAPPING_CAPACITY];
} tt_mappings;
TT_SIZE(tt_mappings, 8 + 24 * TT_MAPPING_CAPACITY);
TT_OFFSET(tt_mappings, count, 0);
TT_OFFSET(tt_mappings, zero, 4);
TT_OFFSET(tt_mappings, mappings, 8);

/// Fills `count` mappings, at most TT_MAPPING_CAPACITY; spare ones become zero.
static inline int tt_query_mappings(int fd, tt_mapping *mappings, uint32_t count) {
  if (count > TT_MAPPING_CAPACITY) return -EINVAL;
  tt_mappings argument = {.count = count};
  int result = tt_request(fd, TT_QUERY_MAPPINGS, &argument);
  if (result == 0) memcpy(mappings, argument.mappings, count * sizeof *mappings);
  return result;
}

// ALLOCATE_DMA_BUFFER: contiguous host memory of the driver's own, freed when the card closes.

enum { TT_DMA_BUFFER_NOC = 2 };

typedef struct {
  uint32_t requested_size;
  uint8_t index;
  uint8_t flags;
  uint8_t zero0[2];
  uint64_t zero1[2];
  /// Or the IOMMU's address.
  uint64_t physical_address;
  uint64_t mapping_offset;
  uint32_t size;
  uint32_t reserved0;
  uint64_t noc_address;
  uint64_t reserved1;
} tt_dma_buffer;
TT_SIZE(tt_dma_buffer, 64);
TT_OFFSET(tt_dma_buffer, requested_size, 0);
TT_OFFSET(tt_dma_buffer, index, 4);
TT_OFFSET(tt_dma_buffer, flags, 5);
TT_OFFSET(tt_dma_buffer, zero0, 6);
TT_OFFSET(tt_dma_buffer, zero1, 8);
TT_OFFSET(tt_dma_buffer, physical_address, 24);
TT_OFFSET(tt_dma_buffer, mapping_offset, 32);
TT_OFFSET(tt_dma_buffer, size, 40);
TT_OFFSET(tt_dma_buffer, reserved0, 44);
TT_OFFSET(tt_dma_buffer, noc_address, 48);
TT_OFFSET(tt_dma_buffer, reserved1, 56);

/// -EINVAL where the index is in use, -ENOSPC at the 17th region. `flags` are since 2.0.
static inline int tt_allocate_dma_buffer(
    int fd, uint8_t index, uint32_t size, uint8_t flags, tt_dma_buffer *buffer) {
  *buffer = (tt_dma_buffer){.requested_size = size, .index = index, .flags = flags};
  return tt_request(fd, TT_ALLOCATE_DMA_BUFFER, buffer);
}

// RESET_DEVICE

enum {
  TT_RESET_RESTORE_STATE = 0,
  TT_RESET_PCIE_LINK = 1,
  TT_RESET_CONFIG_WRITE = 2,
  // Since 2.4.
  TT_RESET_USER = 3,
  TT_RESET_ASIC = 4,
  TT_RESET_ASIC_AND_DMC = 5,
  TT_RESET_POST = 6,
};

typedef struct {
  uint32_t output_size;
  uint32_t operation;
  uint32_t answered_size;
  /// 0 where the reset succeeded.
  uint32_t result;
} tt_reset;
TT_SIZE(tt_reset, 16);
TT_OFFSET(tt_reset, output_size, 0);
TT_OFFSET(tt_reset, operation, 4);
TT_OFFSET(tt_reset, answered_size, 8);
TT_OFFSET(tt_reset, result, 12);

/// Every other descriptor of the card answers -ENODEV afterwards, for ever.
static inline int tt_reset_device(int fd, uint32_t operation, tt_reset *reset) {
  *reset = (tt_reset){.output_size = 8, .operation = operation};
  return tt_request(fd, TT_RESET_DEVICE, reset);
}

// PIN_PAGES, UNPIN_PAGES: host memory that the card reaches.

enum {
  TT_PIN_CONTIGUOUS = 1,
  TT_PIN_NOC_DMA = 2,
  TT_PIN_NOC_TOP_DOWN = 4,
  /// Since 2.9, with an IOMMU only.
  TT_PIN_READ_ONLY = 8,
};

typedef struct {
  uint32_t output_size;
  uint32_t flags;
  uint64_t virtual_address;
  uint64_t size;
  /// Or the IOMMU's address.
  uint64_t physical_address;
  /// Where the tiles see the memory, with TT_PIN_NOC_DMA. Since 2.0.
  uint64_t noc_address;
} tt_pin;
TT_SIZE(tt_pin, 40);
TT_OFFSET(tt_pin, output_size, 0);
TT_OFFSET(tt_pin, flags, 4);
TT_OFFSET(tt_pin, virtual_address, 8);
TT_OFFSET(tt_pin, size, 16);
TT_OFFSET(tt_pin, physical_address, 24);
TT_OFFSET(tt_pin, noc_address, 32);

/// -ENOSPC at the 17th region, -EEXIST for the same range twice, -EINVAL where it is neither
/// contiguous nor behind an IOMMU.
static inline int tt_pin_pages(int fd, void *start, uint64_t size, uint32_t flags, tt_pin *pin) {
  *pin = (tt_pin){
      .output_size = 16, .flags = flags, .virtual_address = (uintptr_t)start, .size = size};
  return tt_request(fd, TT_PIN_PAGES, pin);
}

typedef struct {
  uint64_t virtual_address;
  uint64_t size;
  uint64_t zero;
} tt_unpin;
TT_SIZE(tt_unpin, 24);
TT_OFFSET(tt_unpin, virtual_address, 0);
TT_OFFSET(tt_unpin, size, 8);
TT_OFFSET(tt_unpin, zero, 16);

/// The whole range as it was pinned. Since 1.34.
static inline int tt_unpin_pages(int fd, void *start, uint64_t size) {
  tt_unpin argument = {.virtual_address = (uintptr_t)start, .size = size};
  return tt_request(fd, TT_UNPIN_PAGES, &argument);
}

// LOCK_CONTROL: 64 locks a card, for the programs that share it.

enum {
  /// Value 1: acquired. 0: held, perhaps by this very descriptor.
  TT_LOCK_ACQUIRE = 0,
  /// Value 1: released. 0: was not held here.
  TT_LOCK_RELEASE = 1,
  /// Value bit 0: held here. Bit 1: held by anyone.
  TT_LOCK_TEST = 2,
  /// Since 2.7.
  TT_LOCK_ACQUIRE_BLOCKING = 3,
};

typedef struct {
  uint32_t output_size;
  uint32_t operation;
  uint8_t index;
  uint8_t zero[3];
  uint8_t value;
  uint8_t reserved[3];
} tt_lock;
TT_SIZE(tt_lock, 16);
TT_OFFSET(tt_lock, output_size, 0);
TT_OFFSET(tt_lock, operation, 4);
TT_OFFSET(tt_lock, index, 8);
TT_OFFSET(tt_lock, zero, 9);
TT_OFFSET(tt_lock, value, 12);
TT_OFFSET(tt_lock, reserved, 13);

static inline int tt_lock_control(int fd, uint32_t operation, uint8_t index, uint8_t *value) {
  tt_lock argument = {.output_size = 4, .operation = operation, .index = index};
  int result = tt_request(fd, TT_LOCK_CONTROL, &argument);
  *value = argument.value;
  return result;
}

// ALLOCATE_TLB, FREE_TLB, CONFIGURE_TLB: windows through which the host reaches the NoC.

typedef struct {
  uint64_t size;
  uint64_t zero;
  uint32_t id;
  uint32_t reserved0;
  /// Offsets for mmap, uncached and write-combined.
  uint64_t uncached_offset;
  uint64_t combined_offset;
  uint64_t reserved1;
} tt_tlb;
TT_SIZE(tt_tlb, 48);
TT_OFFSET(tt_tlb, size, 0);
TT_OFFSET(tt_tlb, zero, 8);
TT_OFFSET(tt_tlb, id, 16);
TT_OFFSET(tt_tlb, reserved0, 20);
TT_OFFSET(tt_tlb, uncached_offset, 24);
TT_OFFSET(tt_tlb, combined_offset, 32);
TT_OFFSET(tt_tlb, reserved1, 40);

/// `size` is exactly 1, 2 or 16 MiB. -ENOMEM where none is left. Since 1.32.
static inline int tt_allocate_tlb(int fd, uint64_t size, tt_tlb *tlb) {
  *tlb = (tt_tlb){.size = size};
  return tt_request(fd, TT_ALLOCATE_TLB, tlb);
}

typedef struct {
  uint32_t id;
} tt_tlb_release;
TT_SIZE(tt_tlb_release, 4);
TT_OFFSET(tt_tlb_release, id, 0);

/// -EBUSY while the window is mapped, -EPERM where another descriptor owns it. Since 1.32.
static inline int tt_free_tlb(int fd, uint32_t id) {
  tt_tlb_release argument = {.id = id};
  return tt_request(fd, TT_FREE_TLB, &argument);
}

enum { TT_ORDERING_DEFAULT = 0, TT_ORDERING_STRICT = 1, TT_ORDERING_POSTED = 2 };

/// Where a window points. Start coordinates count for multicast alone and are 0 otherwise.
typedef struct {
  /// A multiple of the window's size, below 2^36.
  uint64_t address;
  uint16_t x_end;
  uint16_t y_end;
  uint16_t x_start;
  uint16_t y_start;
  uint8_t noc;
  uint8_t multicast;
  uint8_t ordering;
  uint8_t linked;
  uint8_t static_vc;
  uint8_t zero0[3];
  uint32_t zero1[2];
} tt_noc_target;
TT_SIZE(tt_noc_target, 32);
TT_OFFSET(tt_noc_target, address, 0);
TT_OFFSET(tt_noc_target, x_end, 8);
TT_OFFSET(tt_noc_target, y_end, 10);
TT_OFFSET(tt_noc_target, x_start, 12);
TT_OFFSET(tt_noc_target, y_start, 14);
TT_OFFSET(tt_noc_target, noc, 16);
TT_OFFSET(tt_noc_target, multicast, 17);
TT_OFFSET(tt_noc_target, ordering, 18);
TT_OFFSET(tt_noc_target, linked, 19);
TT_OFFSET(tt_noc_target, static_vc, 20);
TT_OFFSET(tt_noc_target, zero0, 21);
TT_OFFSET(tt_noc_target, zero1, 24);

typedef struct {
  uint32_t id;
  uint32_t zero;
  tt_noc_target target;
  uint64_t reserved;
} tt_tlb_configuration;
TT_SIZE(tt_tlb_configuration, 48);
TT_OFFSET(tt_tlb_configuration, id, 0);
TT_OFFSET(tt_tlb_configuration, zero, 4);
TT_OFFSET(tt_tlb_configuration, target, 8);
TT_OFFSET(tt_tlb_configuration, reserved, 40);

/// The driver checks the address (-EINVAL) and the owner (-EPERM), not the coordinates. Two
/// stores change the window: nobody may use it meanwhile. Since 1.32.
static inline int tt_configure_tlb(int fd, uint32_t id, const tt_noc_target *target) {
  tt_tlb_configuration argument = {.id = id, .target = *target};
  return tt_request(fd, TT_CONFIGURE_TLB, &argument);
}

// SET_NOC_CLEANUP: one 32-bit write that the kernel does when the descriptor closes, however it
// closes.

typedef struct {
  uint32_t argument_size;
  uint32_t zero0;
  uint8_t enabled;
  uint8_t x;
  uint8_t y;
  uint8_t noc;
  uint32_t zero1;
  uint64_t address;
  uint64_t data;
} tt_noc_cleanup;
TT_SIZE(tt_noc_cleanup, 32);
TT_OFFSET(tt_noc_cleanup, argument_size, 0);
TT_OFFSET(tt_noc_cleanup, zero0, 4);
TT_OFFSET(tt_noc_cleanup, enabled, 8);
TT_OFFSET(tt_noc_cleanup, x, 9);
TT_OFFSET(tt_noc_cleanup, y, 10);
TT_OFFSET(tt_noc_cleanup, noc, 11);
TT_OFFSET(tt_noc_cleanup, zero1, 12);
TT_OFFSET(tt_noc_cleanup, address, 16);
TT_OFFSET(tt_noc_cleanup, data, 24);

/// Since 2.2.
static inline int tt_set_noc_cleanup(
    int fd, uint8_t x, uint8_t y, uint8_t noc, uint64_t address, uint32_t data) {
  tt_noc_cleanup argument = {
      .argument_size = sizeof argument,
      .enabled = 1,
      .x = x,
      .y = y,
      .noc = noc,
      .address = address,
      .data = data};
  return tt_request(fd, TT_SET_NOC_CLEANUP, &argument);
}

/// Takes the write back. Since 2.2.
static inline int tt_clear_noc_cleanup(int fd) {
  tt_noc_cleanup argument = {.argument_size = sizeof argument};
  return tt_request(fd, TT_SET_NOC_CLEANUP, &argument);
}

// SET_POWER_STATE: what this descriptor wants awake. The card serves the union of all wishes.

enum {
  TT_POWER_MAX_AI_CLOCK = 1,
  TT_POWER_MRISC_PHY = 2,
  TT_POWER_TENSIX = 4,
  TT_POWER_L2CPU = 8,
};

typedef struct {
  uint32_t argument_size;
  uint32_t zero0;
  uint8_t zero1;
  /// Count of valid flags | count of valid settings << 4.
  uint8_t validity;
  uint16_t flags;
  uint16_t settings[14];
} tt_power_state;
TT_SIZE(tt_power_state, 40);
TT_OFFSET(tt_power_state, argument_size, 0);
TT_OFFSET(tt_power_state, zero0, 4);
TT_OFFSET(tt_power_state, zero1, 8);
TT_OFFSET(tt_power_state, validity, 9);
TT_OFFSET(tt_power_state, flags, 10);
TT_OFFSET(tt_power_state, settings, 12);

/// The lowest `count` (at most 15) of `flags` are meant. -EINVAL where the firmware has no message
/// queue. Since 2.6, on Wormhole 2.8.
static inline int tt_set_power_state(int fd, uint8_t count, uint16_t flags) {
  if (count > 15) return -EINVAL;
  tt_power_state argument = {.argument_size = sizeof argument, .validity = count, .flags = flags};
  return tt_request(fd, TT_SET_POWER_STATE, &argument);
}

#undef TT_SIZE
#undef TT_OFFSET

#pragma clang assume_nonnull end
