// First instruction of every program: stack in the core's private memory, zeroed variables, no heap,
// no return.
.section .text.start, "ax"
.globl _start
_start:
  li    sp, STACK_TOP
  la    t0, __bss_start
  la    t1, __bss_end
1:bgeu  t0, t1, 2f
  sw    zero, 0(t0)
  addi  t0, t0, 4
  j     1b
2:call  kmain
3:j     3b
