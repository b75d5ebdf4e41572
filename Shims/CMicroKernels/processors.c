// The C library shows these calls, and the sets they take, to C alone.
#define _GNU_SOURCE
#include <sched.h>

#include "CMicroKernels.h"

void mk_pin_to(size_t processor) {
  cpu_set_t only;
  CPU_ZERO(&only);
  CPU_SET(processor, &only);
  sched_setaffinity(0, sizeof only, &only);
}
