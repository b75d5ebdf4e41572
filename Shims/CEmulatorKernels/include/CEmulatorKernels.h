/// The emulator's inner loops.
#ifndef CEmulatorKernels_h
#define CEmulatorKernels_h

#include <stdint.h>

#include "ek_matrix.h"
#include "ek_memory.h"
#include "ek_riscv.h"
#include "ek_vector.h"

#endif
