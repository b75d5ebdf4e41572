// The C library shows these calls, and the sets they take, to C alone.
#define _GNU_SOURCE
#include <sched.h>

#include "CMicroKernels.h"

size_t mk_processor_limit(void) { return CPU_SETSIZE; }

bool mk_may_run_on(size_t processor) {
  cpu_set_t allowed;
  return sched_getaffinity(0, sizeof allowed, &allowed) == 0 && CPU_ISSET(processor, &allowed);
}

void mk_pin_to(size_t processor) {
  cpu_set_t only;
  CPU_ZERO(&only);
  CPU_SET(processor, &only);
  sched_setaffinity(0, sizeof only, &only);
}
