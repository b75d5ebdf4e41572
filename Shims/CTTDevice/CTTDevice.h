// What Swift cannot say about a Tenstorrent card: the kernel driver's requests, device memory,
// and where in this machine the card sits. Every call that can fail returns 0 or -errno.
#pragma once

#if !__has_include(<numa.h>) || !__has_include(<hwloc.h>)
#error "PI0Kit needs libnuma and hwloc: sudo apt-get install libnuma-dev libhwloc-dev"
#else
#include "tt_driver.h"
#include "tt_guard.h"
#include "tt_memory.h"
#include "tt_topology.h"
#endif
