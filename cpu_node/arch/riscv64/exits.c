/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Translated code that does not ask all the time whether it is to stop.
 *
 * Theory of operation.  Unicorn's translator puts a call in front of every block and behind every load, which asks
 * whether uc_emu_stop() has been called.  Over a call translated code keeps nothing in registers: all these calls
 * together cost a fifth of a run.  Nobody but our hooks stops the engine while it executes, and they leave translated
 * code by themselves (arch.leave).  So the calls are left out.  This library is loaded before Unicorn's and for
 * everybody; the function that Unicorn emits calls with is an exported one, so it is found here first (ld.so(8), symbol
 * lookup), and here it passes on all calls but those.
 *
 * Where Unicorn's library had been loaded before, the calls are emitted: slower, and just as right.
 */
#include <stdint.h>

typedef void emit_call(void *context, void *function, void *result, int count, void **arguments);
#define EXPORTED __attribute__((visibility("default")))

static emit_call *emit;
static void *asking;
static uint64_t left_out;

/* Unicorn's own functions: the one with which it emits a call, and the one whose calls are left out. */
EXPORTED void exits_setup(emit_call *with, void *whose)
{
    emit = with;
    asking = whose;
}

/* For tests: how many calls have been left out in this process. */
EXPORTED uint64_t exits_left_out(void)
{
    return left_out;
}

/* In place of Unicorn's function of this name. */
EXPORTED void tcg_gen_callN_riscv64(void *context, void *function, void *result, int count, void **arguments)
{
    if (function == asking)
        left_out++;
    else
        emit(context, function, result, count, arguments);
}
