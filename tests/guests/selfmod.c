/* Purpose: code that is changed after it has run, in every way a guest may do it. */
/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "rt.h"

#define WARM 400
#define PATCHES 600
#define RET 0x00008067u
#define ADDI(k) ((u32)(k) << 20 | 0x513) /* addi a0, zero, k */
#define ALIAS 0x2000000000ul

static u8 code[4 * PAGE] __attribute__((aligned(4096)));

static u64 call(u64 va)
{
    register u64 a0 asm("a0") = -1ul;
    asm volatile("jalr %1" : "+r"(a0) : "r"(va) : "ra", "memory");
    return a0;
}

static void check(const char *what, u64 va, u64 want)
{
    u64 got = call(va);
    if (got != want)
        fail("%s: %d expected %d", what, got, want);
}

/* How the patch is written: the memory paths of an emulator may differ. */
enum how { WORD, HALVES, BYTES, AMO, SCOND, DOUBLE, HOWS };

static void write_code(u64 va, u32 insn, enum how how)
{
    u64 fail;
    switch (how) {
    case WORD:
        write32(va, insn);
        break;
    case HALVES:
        write16(va, insn);
        write16(va + 2, insn >> 16);
        break;
    case BYTES:
        for (int i = 0; i < 4; i++)
            write8(va + i, insn >> 8 * i);
        break;
    case AMO:
        asm volatile("amoswap.w zero, %0, (%1)" ::"r"((u64)insn), "r"(va) : "memory");
        break;
    case SCOND:
        do
            asm volatile("lr.w t0, (%2)\n sc.w %0, %1, (%2)" : "=&r"(fail)
                         : "r"((u64)insn), "r"(va) : "t0", "memory");
        while (fail);
        break;
    default: /* with the return behind it, in one store */
        write64(va, (u64)RET << 32 | insn);
    }
}

/*
 * run: where the code is run; put: where it is written, perhaps another
 * name of the same memory.  Every write but the first finds the page
 * already written by that name and the code translated.
 */
static void patch_loop(const char *what, u64 run, u64 put)
{
    write_code(put, ADDI(1), WORD);
    write_code(put + 4, RET, WORD);
    fence_i();
    for (u64 i = 0; i < WARM; i++)
        check(what, run, 1);
    for (u64 i = 0; i < PATCHES; i++) {
        write_code(put, ADDI(i), i % HOWS);
        fence_i();
        check(what, run, i);
        if (i % 7 == 0) /* now and then hot again before the next patch */
            for (u64 j = 0; j < 50; j++)
                check(what, run, i);
    }
    say("%s ok\n", what);
}

/*
 * The patched instruction lies a few instructions behind the patching one,
 * in the same page and (but for the fence) in the same straight line.
 * (run: the line as it is mapped for execution; off: added to the address
 * the patch is written at.)
 */
extern char line_start[], line_end[];
asm(".text\n.balign 64\n"
    ".option push\n.option norvc\n"
    "line_start: auipc t0, 0\n" /* a1: the instruction, a2: offset of the writes */
    " add t0, t0, a2\n"
    " sw a1, 20(t0)\n"
    " fence.i\n"
    " addi a3, a3, 1\n"
    " addi a0, zero, 0\n" /* the target, at 20 */
    " ret\n"
    "line_end:\n.option pop\n");

static void same_line(const char *what, u64 run, u64 off)
{
    for (u64 i = 0; i < PATCHES; i++) {
        register u64 a0 asm("a0") = -1ul;
        register u64 a1 asm("a1") = ADDI(i);
        register u64 a2 asm("a2") = off;
        register u64 a3 asm("a3") = i;
        asm volatile("jalr %4" : "+r"(a0), "+r"(a3) : "r"(a1), "r"(a2), "r"(run)
                     : "ra", "t0", "memory");
        if (a0 != i || a3 != i + 1)
            fail("%s: %d expected %d", what, a0, i);
    }
    say("%s ok\n", what);
}

/* The instruction's halves lie in two pages; only the second is written. */
static void second_half(const char *what, u64 run, u64 put)
{
    write16(put, ADDI(0));
    write16(put + 2, ADDI(3) >> 16);
    write16(put + 4, RET & 0xffff);
    write16(put + 6, RET >> 16);
    fence_i();
    for (u64 i = 0; i < WARM; i++)
        check(what, run, 3);
    for (u64 i = 0; i < PATCHES; i++) {
        write16(put + 2, ADDI(i) >> 16);
        fence_i();
        check(what, run, i);
    }
    /* And only the first: addi a0, zero, 9 or slti a0, zero, 9. */
    write16(put + 2, ADDI(9) >> 16);
    for (u64 i = 0; i < PATCHES; i++) {
        write16(put, ADDI(9) | (i & 1 ? 2 << 12 : 0));
        fence_i();
        check(what, run, i & 1 ? 1 : 9);
    }
    say("%s ok\n", what);
}

/* Writes beside the code, in its page, change nothing. */
static void beside(u64 run, u64 put)
{
    write_code(put, ADDI(77), WORD);
    write_code(put + 4, RET, WORD);
    fence_i();
    for (u64 i = 0; i < PATCHES; i++) {
        write64(put + 8 + i % 64 * 8, i);
        check("data beside code", run, 77);
    }
    say("data beside code ok\n");
}

/* Two routines in turn copied whole to one place (as a loader does). */
static void overwrite(u64 run, u64 put)
{
    for (u64 i = 0; i < PATCHES; i++) {
        u64 n = 1 + i % 40, at = put;
        write_code(at, ADDI(0), WORD);
        for (u64 j = 0; j < n; j++)
            write_code(at += 4, 0x00150513, WORD); /* addi a0, a0, 1 */
        write_code(at + 4, RET, WORD);
        fence_i();
        check("overwrite", run, n);
        check("overwrite", run, n);
    }
    say("overwrite ok\n");
}

void guest_main(void)
{
    u64 p = (u64)code;

    sbi_set_timer(-1ul);
    say("MMU off\n");
    patch_loop("same address", p, p);
    same_line("same line", (u64)line_start, 0);
    second_half("page crossing", p + PAGE - 2, p + PAGE - 2);
    beside(p, p);
    overwrite(p, p);

    u64 *root = root_new();
    for (u64 i = 0; i < 4; i++) {
        map(root, ALIAS + i * PAGE, p + i * PAGE, PTE_RW);            /* to write */
        map(root, ALIAS + (16 + i) * PAGE, p + i * PAGE, PTE_RX);     /* to run */
    }
    mmu_on(root);
    u64 wr = ALIAS, rx = ALIAS + 16 * PAGE;
    say("MMU on\n");
    patch_loop("same address", p, p);
    patch_loop("run 1:1, written by alias", p, wr);
    patch_loop("run by alias, written 1:1", rx, p);
    patch_loop("run by one alias, written by another", rx + PAGE, wr + PAGE);
    second_half("page crossing", p + PAGE - 2, p + PAGE - 2);
    second_half("page crossing by alias", rx + 2 * PAGE - 2, wr + 2 * PAGE - 2);
    beside(rx, wr);
    overwrite(rx, wr);
    same_line("same line", (u64)line_start, 0);
    /* The line itself runs by an alias and patches itself 1:1. */
    for (u64 i = 0; i < (u64)(line_end - line_start); i += 2)
        write16(p + i, *(u16 *)(line_start + i));
    fence_i();
    same_line("same line by alias", rx, p - rx);

    /* The alias's page is written, then other memory takes its place, then
       it comes back: what was known of the page must not be believed. */
    for (u64 i = 0; i < PATCHES; i++) {
        u64 back = p + (i & 1) * PAGE;
        map(root, wr, back, PTE_RW);
        sfence_vma();
        write_code(wr, ADDI(i), i % HOWS);
        write_code(wr + 4, RET, WORD);
        fence_i();
        check("remapped alias", rx + (i & 1) * PAGE, i);
        check("remapped alias", p + (i & 1) * PAGE, i);
    }
    say("remapped alias ok\n");
}
