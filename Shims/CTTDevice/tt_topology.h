// Which processors of this machine are near a PCI device, by hwloc.
#pragma once
#include <errno.h>
#include <hwloc.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#pragma clang assume_nonnull begin

/// Reads the machine's topology with its PCI devices. Pair with `tt_topology_close`.
static inline int tt_topology_open(hwloc_topology_t _Nullable *_Nonnull topology) {
  hwloc_topology_t opened;
  *topology = 0;
  errno = 0;
  if (hwloc_topology_init(&opened) < 0) return errno > 0 ? -errno : -EIO;
  // By default hwloc leaves PCI devices out; "important" ones do not include every accelerator.
  if (hwloc_topology_set_type_filter(opened, HWLOC_OBJ_PCI_DEVICE, HWLOC_TYPE_FILTER_KEEP_ALL) < 0
      || hwloc_topology_load(opened) < 0) {
    int result = errno > 0 ? -errno : -EIO;
    hwloc_topology_destroy(opened);
    return result;
  }
  *topology = opened;
  return 0;
}

static inline void tt_topology_close(hwloc_topology_t topology) {
  hwloc_topology_destroy(topology);
}

static inline int tt_cpus_of_set(
    hwloc_const_cpuset_t _Nullable set, uint32_t *cpus, uint32_t capacity) {
  if (!set || hwloc_bitmap_iszero(set)) return -ENOENT;
  uint32_t count = 0;
  for (int cpu = hwloc_bitmap_first(set); cpu >= 0 && count < capacity;
       cpu = hwloc_bitmap_next(set, cpu))
    cpus[count++] = (uint32_t)cpu;
  return (int)count;
}

// Each writes the kernel's CPU numbers in rising order, at most `capacity` of them, and returns how
// many, or -ENOENT where hwloc knows no such thing. Processors forbidden to this process by its
// control group do not appear.

/// The processors nearest to a PCI device.
static inline int tt_cpus_near_pci_device(
    hwloc_topology_t topology, unsigned domain, unsigned bus, unsigned device, unsigned function,
    uint32_t *cpus, uint32_t capacity) {
  hwloc_obj_t object = hwloc_get_pcidev_by_busid(topology, domain, bus, device, function);
  if (object) object = hwloc_get_non_io_ancestor_obj(topology, object);
  return tt_cpus_of_set(object ? object->cpuset : 0, cpus, capacity);
}

/// The processors of a NUMA node.
static inline int tt_cpus_of_node(
    hwloc_topology_t topology, unsigned node, uint32_t *cpus, uint32_t capacity) {
  hwloc_obj_t object = hwloc_get_numanode_obj_by_os_index(topology, node);
  return tt_cpus_of_set(object ? object->cpuset : 0, cpus, capacity);
}

/// All processors of the machine.
static inline int tt_all_cpus(hwloc_topology_t topology, uint32_t *cpus, uint32_t capacity) {
  return tt_cpus_of_set(hwloc_topology_get_allowed_cpuset(topology), cpus, capacity);
}

// What hwloc knows about a kind of processors, or 0.
static inline int tt_kind_is(
    hwloc_topology_t topology, unsigned kind, const char *type, hwloc_bitmap_t set, long *speed) {
  struct hwloc_info_s *infos;
  unsigned count;
  int efficiency, matches = 0;
  *speed = 0;
  if (hwloc_cpukinds_get_info(topology, kind, set, &efficiency, &count, &infos, 0) < 0) return 0;
  for (unsigned i = 0; i < count; i++) {
    if (!strcmp(infos[i].name, "CoreType")) matches = !strcmp(infos[i].value, type);
    if (!strcmp(infos[i].name, "LinuxCapacity") || !strcmp(infos[i].name, "FrequencyMaxMHz"))
      *speed = strtol(infos[i].value, 0, 10);
  }
  return matches;
}

/// One processor a core that the calling thread may run on, without the cores of kinds that are
/// made to save power or run at less than three quarters of the fastest kind's speed.
static inline int tt_performance_cpus(
    hwloc_topology_t topology, uint32_t *cpus, uint32_t capacity) {
  hwloc_bitmap_t set = hwloc_bitmap_dup(hwloc_topology_get_allowed_cpuset(topology));
  hwloc_bitmap_t other = hwloc_bitmap_alloc();
  int result = -ENOMEM;
  if (set && other) {
    // Not so where the topology is another machine's.
    if (hwloc_get_cpubind(topology, other, HWLOC_CPUBIND_THREAD) == 0)
      hwloc_bitmap_and(set, set, other);
    int kinds = hwloc_cpukinds_get_nr(topology, 0);
    long speed, fastest = 0;
    for (int kind = 0; kind < kinds; kind++) {
      tt_kind_is(topology, (unsigned)kind, "", other, &speed);
      if (speed > fastest) fastest = speed;
    }
    for (int kind = 0; kind < kinds; kind++) {
      int saves = tt_kind_is(topology, (unsigned)kind, "IntelAtom", other, &speed);
      // All that may be used are of that kind: then they must do.
      if ((saves || (speed > 0 && speed < fastest / 4 * 3)) && !hwloc_bitmap_isincluded(set, other))
        hwloc_bitmap_andnot(set, set, other);
    }
    hwloc_bitmap_singlify_per_core(topology, set, 0);
    result = tt_cpus_of_set(set, cpus, capacity);
  }
  hwloc_bitmap_free(set);
  hwloc_bitmap_free(other);
  return result;
}

/// Binds the calling thread to these processors.
static inline int tt_bind_thread(
    hwloc_topology_t topology, const uint32_t *cpus, uint32_t count) {
  hwloc_bitmap_t set = hwloc_bitmap_alloc();
  if (!set) return -ENOMEM;
  for (uint32_t i = 0; i < count; i++) hwloc_bitmap_set(set, cpus[i]);
  errno = 0;
  int result = hwloc_set_cpubind(topology, set, HWLOC_CPUBIND_THREAD);
  if (result < 0) result = errno > 0 ? -errno : -EIO;
  hwloc_bitmap_free(set);
  return result;
}

/// The processors that the calling thread is bound to, as the functions above write them.
static inline int tt_bound_cpus(hwloc_topology_t topology, uint32_t *cpus, uint32_t capacity) {
  hwloc_bitmap_t set = hwloc_bitmap_alloc();
  if (!set) return -ENOMEM;
  int result = hwloc_get_cpubind(topology, set, HWLOC_CPUBIND_THREAD);
  result = result < 0 ? -EIO : tt_cpus_of_set(set, cpus, capacity);
  hwloc_bitmap_free(set);
  return result;
}

#pragma clang assume_nonnull end
