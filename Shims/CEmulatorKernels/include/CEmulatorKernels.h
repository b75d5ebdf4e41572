/// The emulator's inner loops.
#ifndef CEmulatorKernels_h
#define CEmulatorKernels_h

#include <stdint.h>

#endif
