/* Purpose: reads a device's first register a few times and says what it got. */
/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "rt.h"

void guest_main(void)
{
    struct dtnode n;

    if (!fdt_find("dejavm,poke", &n))
        fail("no device to read");
    for (u64 i = 0; i < 4; i++)
        say("poke %x\n", (u64)read32(n.base));
}
