/// The emulator's inner loops.
#ifndef CEmulatorKernels_h
#define CEmulatorKernels_h

#include <stdint.h>

#if __has_include("ek_matrix.h")
#include "ek_matrix.h"
#endif
#include "ek_memory.h"
#include "ek_riscv.h"

#endif
