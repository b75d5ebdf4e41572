// The C library shows these calls, and the sets they take, to C alone.
#define _GNU_SOURCE
#include <sched.h>

#include "CMicroKernels.h"

void mk_stay_on(const size_t *processors, size_t count) {
  cpu_set_t set;
  CPU_ZERO(&set);
  for (size_t i = 0; i < count; i++) CPU_SET(processors[i], &set);
  sched_setaffinity(0, sizeof set, &set);
}
