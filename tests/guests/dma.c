/* Purpose: code and data that a device changes by DMA, with polled and interrupt completion. */
/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "rt.h"

/*
 * The device copies guest memory: SRC, DST, LEN (64-bit registers at 0x00,
 * 0x08, 0x10), GO at 0x18 (write 1), STATUS at 0x20.  STATUS reads 1 once
 * when a copy is done; the read clears it and lowers the interrupt.
 */
static u64 dev;
static u32 dev_irq;
static volatile u64 irqs, status_in_irq;

#define BLOCK 65536
static u8 src[BLOCK] __attribute__((aligned(4096))), dst[BLOCK + 64] __attribute__((aligned(4096)));
static u8 code[2 * PAGE] __attribute__((aligned(4096)));

static void on_trap(struct frame *f)
{
    if (f->scause != (INTR | IRQ_S_EXT))
        fail("trap scause %x sepc %x stval %x", f->scause, f->sepc, f->stval);
    u32 irq = plic_claim();
    if (irq != dev_irq)
        fail("irq %d", (u64)irq);
    status_in_irq = read64(dev + 0x20);
    irqs++;
    plic_complete(irq);
}

static void copy(u64 to, const void *from, u64 len, int by_irq)
{
    u64 t = rdtime();

    csr_clear(sstatus, SSTATUS_SIE);
    csr_write(sie, by_irq ? 1 << IRQ_S_EXT : 0);
    u64 before = irqs;
    write64(dev, (u64)from);
    write64(dev + 8, to);
    write64(dev + 16, len);
    asm volatile("fence w, o" ::: "memory");
    write64(dev + 24, 1);
    if (by_irq) {
        while (irqs == before) {
            wfi();
            csr_set(sstatus, SSTATUS_SIE);
            csr_clear(sstatus, SSTATUS_SIE);
        }
        if (irqs != before + 1 || status_in_irq != 1)
            fail("%d interrupts, status %x", irqs - before, status_in_irq);
    } else {
        while (!(read64(dev + 0x20) & 1))
            if (rdtime() - t > 10 * TIMEBASE)
                fail("no end of a copy of %d bytes", len);
    }
    asm volatile("fence i, r" ::: "memory");
    if (read64(dev + 0x20) != 0)
        fail("STATUS not cleared by reading");
    /* A polled copy's interrupt is gone with the read of STATUS. */
    if (!by_irq) {
        csr_write(sie, 1 << IRQ_S_EXT);
        csr_set(sstatus, SSTATUS_SIE);
        csr_clear(sstatus, SSTATUS_SIE);
    }
}

static u64 run(u64 va)
{
    register u64 a0 asm("a0") = 1000;
    asm volatile("jalr %1" : "+r"(a0) : "r"(va) : "ra", "memory");
    return a0;
}

/* A routine that returns k by way of n instructions. */
static u64 routine(u8 *at, u64 k, u64 n)
{
    u32 *w = (u32 *)at;
    *w++ = 0x513; /* li a0, 0 */
    for (u64 i = 0; i < n; i++)
        *w++ = (u32)k << 20 | 0x50513; /* addi a0, a0, k */
    *w++ = 0x8067;
    return (u8 *)w - at;
}

static void code_test(const char *what, u64 at, u64 to, u64 rounds, int by_irq)
{
    for (u64 i = 0; i < rounds; i++) {
        u64 k = i * 7 % 2000, n = 1 + i % 50;
        copy(to, src, routine(src, k, n), by_irq);
        fence_i();
        for (u64 j = 0; j < 300; j++) {
            u64 got = run(at);
            if (got != k * n)
                fail("%s round %d: %d expected %d", what, i, got, k * n);
        }
    }
    say("%s ok\n", what);
}

static void data_test(int by_irq)
{
    u64 rnd = 5 + by_irq;

    for (u64 i = 0; i < 8; i++) {
        /* The whole block and odd sizes and places. */
        u64 len = i ? 1 + lcg(&rnd) % (BLOCK - 64) : BLOCK;
        u64 so = i ? lcg(&rnd) % 64 : 0, off = i ? lcg(&rnd) % 64 : 0;
        for (u64 j = 0; j < BLOCK; j++)
            src[j] = lcg(&rnd);
        for (u64 j = 0; j < sizeof dst; j++)
            dst[j] = 0xa5;
        copy((u64)dst + off, src + so, len, by_irq);
        for (u64 j = 0; j < sizeof dst; j++) {
            u8 want = j < off || j >= off + len ? 0xa5 : src[so + j - off];
            if (dst[j] != want)
                fail("data: byte %d is %x expected %x", j, (u64)dst[j], (u64)want);
        }
    }
    say("data by %s ok\n", by_irq ? "interrupt" : "polling");
}

void guest_main(void)
{
    struct dtnode n;

    if (!fdt_find("dejavm,dmacopy", &n)) {
        say("SKIP\n");
        return;
    }
    dev = n.base;
    dev_irq = n.irq ? n.irq : 12;
    trap_handler = on_trap;
    sbi_set_timer(-1ul);
    plic_enable(dev_irq);

    data_test(0);
    data_test(1);
    u64 p = (u64)code;
    code_test("code by polling", p, p, 200, 0);
    code_test("code by interrupt", p, p, 200, 1);
    code_test("code across a page boundary", p + PAGE - 6, p + PAGE - 6, 200, 0);

    u64 *root = root_new();
    map(root, 0x2000000000, p, PTE_RX);
    map(root, 0x2000001000, p + PAGE, PTE_RX);
    mmu_on(root);
    code_test("code run by an alias", 0x2000000000, p, 200, 1);
    code_test("code run by an alias, across a page boundary", 0x2000001000 - 6, p + PAGE - 6, 200, 0);
    say("interrupts %d\n", irqs);
}
