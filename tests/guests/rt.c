/* Purpose: console, firmware calls, device tree, PLIC and sv39 helpers. */
/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "rt.h"
#include <stdarg.h>

const void *rt_fdt;
u64 rt_hart, user_exit_va;
extern char user_exit[], user_back[];

void *memcpy(void *d, const void *s, u64 n)
{
    for (u64 i = 0; i < n; i++)
        ((u8 *)d)[i] = ((const u8 *)s)[i];
    return d;
}

void *memset(void *d, int c, u64 n)
{
    for (u64 i = 0; i < n; i++)
        ((u8 *)d)[i] = c;
    return d;
}

void uart_putc(int c)
{
    while (!(read8(UART + 5) & 0x20)) /* LSR.THRE */
        ;
    write8(UART, c);
}

static void number(u64 v, u64 base)
{
    char b[24];
    int n = 0;
    do
        b[n++] = "0123456789abcdef"[v % base];
    while (v /= base);
    while (n)
        uart_putc(b[--n]);
}

static void vsay(const char *f, va_list ap)
{
    for (; *f; f++) {
        if (*f != '%') {
            uart_putc(*f);
            continue;
        }
        u64 v = va_arg(ap, u64);
        if (*++f == 's')
            for (const char *s = (const char *)v; *s; s++)
                uart_putc(*s);
        else if (*f == 'c')
            uart_putc(v);
        else
            number(v, *f == 'x' ? 16 : 10);
    }
}

void say(const char *f, ...)
{
    va_list ap;
    va_start(ap, f);
    vsay(f, ap);
    va_end(ap);
}

long sbi(u64 ext, u64 fid, u64 x0, u64 x1, u64 x2)
{
    register u64 a0 asm("a0") = x0;
    register u64 a1 asm("a1") = x1;
    register u64 a2 asm("a2") = x2;
    register u64 a6 asm("a6") = fid;
    register u64 a7 asm("a7") = ext;
    asm volatile("ecall" : "+r"(a0), "+r"(a1) : "r"(a2), "r"(a6), "r"(a7) : "memory");
    return a0;
}

static void __attribute__((noreturn)) shutdown(u64 reason)
{
    while (!(read8(UART + 5) & 0x40)) /* LSR.TEMT: all has left */
        ;
    sbi(0x53525354, 0, 0, reason, 0);
    say("FAIL shutdown returned\n");
    csr_write(sie, 0);
    for (;;)
        wfi();
}

void pass(void)
{
    say("PASS\n");
    shutdown(0);
}

void fail(const char *f, ...)
{
    va_list ap;
    csr_clear(sstatus, SSTATUS_SIE);
    say("FAIL ");
    va_start(ap, f);
    vsay(f, ap);
    say("\n");
    shutdown(1);
}

static void unexpected(struct frame *f)
{
    fail("trap scause %x sepc %x stval %x sstatus %x", f->scause, f->sepc, f->stval, f->sstatus);
}
trap_fn *trap_handler = unexpected;

void rt_nested(void)
{
    fail("trap in a trap handler: scause %x sepc %x stval %x", csr_read(scause), csr_read(sepc),
         csr_read(stval));
}

void rt_start(u64 hart, const void *fdt)
{
    rt_hart = hart;
    rt_fdt = fdt;
    user_exit_va = USER_VA(user_exit);
    guest_main();
    pass();
}

void user_leave(struct frame *f, u64 value)
{
    f->sepc = (u64)user_back;
    f->x[10] = value;
    f->sstatus = (f->sstatus | SSTATUS_SPP) & ~SSTATUS_SPIE;
}

/* ---- device tree ---- */

static u32 be32(const void *p)
{
    const u8 *b = p;
    return (u32)b[0] << 24 | b[1] << 16 | b[2] << 8 | b[3];
}

static int same(const char *a, const char *b)
{
    while (*a && *a == *b)
        a++, b++;
    return *a == *b;
}

static int in_list(const char *list, u32 len, const char *s)
{
    for (u32 i = 0; i < len; i++)
        if ((i == 0 || !list[i - 1]) && same(list + i, s))
            return 1;
    return 0;
}

int fdt_find(const char *compatible, struct dtnode *out)
{
    const u8 *fdt = rt_fdt, *p;
    const char *names;
    int hit = 0;
    struct dtnode n = {0};

    if (!fdt || be32(fdt) != 0xd00dfeed)
        fail("a1 is no device tree");
    p = fdt + be32(fdt + 8);
    names = (const char *)fdt + be32(fdt + 12);
    for (;;) {
        u32 tok = be32(p);
        p += 4;
        if (tok == 3) { /* property: all of a node's come before its children */
            u32 len = be32(p);
            const char *name = names + be32(p + 4);
            p += 8;
            if (same(name, "compatible"))
                hit = in_list((const char *)p, len, compatible);
            else if (same(name, "reg") && len >= 8)
                n.base = (u64)be32(p) << 32 | be32(p + 4);
            else if (same(name, "interrupts"))
                n.irq = be32(p);
            else if (same(name, "interrupts-extended")) {
                n.ie = (const u32 *)p;
                n.ie_cells = len / 4;
                if (!n.irq && len >= 8)
                    n.irq = be32(p + 4);
            }
            p += (len + 3) & ~3u;
        } else if (tok == 1 || tok == 2 || tok == 9) { /* begin, end, end of all */
            if (hit) {
                *out = n;
                return 1;
            }
            if (tok == 9)
                return 0;
            n = (struct dtnode){0};
            if (tok == 1) {
                u32 l = 0;
                while (p[l])
                    l++;
                p += (l + 4) & ~3u;
            }
        } else if (tok != 4) {
            fail("device tree token %d", (u64)tok);
        }
    }
}

/* ---- PLIC ---- */

static u64 plic, plic_ctx;

static void plic_find(void)
{
    struct dtnode n;
    if (!fdt_find("riscv,plic0", &n) && !fdt_find("sifive,plic-1.0.0", &n))
        fail("no PLIC in the device tree");
    plic = n.base;
    /* A context for each entry; the S-mode one is wired to interrupt 9. */
    for (u32 i = 0; i + 1 < n.ie_cells; i += 2)
        if (be32(n.ie + i + 1) == IRQ_S_EXT) {
            plic_ctx = i / 2;
            return;
        }
    fail("no S-mode context at the PLIC");
}

void plic_enable(u32 irq)
{
    if (!plic)
        plic_find();
    u64 en = plic + 0x2000 + 0x80 * plic_ctx + irq / 32 * 4;
    write32(plic + 4 * irq, 1);
    write32(en, read32(en) | 1u << irq % 32);
    write32(plic + 0x200000 + 0x1000 * plic_ctx, 0);
    csr_set(sie, 1 << IRQ_S_EXT);
}

u32 plic_claim(void) { return read32(plic + 0x200004 + 0x1000 * plic_ctx); }
void plic_complete(u32 irq) { write32(plic + 0x200004 + 0x1000 * plic_ctx, irq); }

/* ---- sv39 ---- */

static u8 pool[256][PAGE] __attribute__((aligned(4096)));
static u64 pool_used;

void *page_new(void)
{
    if (pool_used == sizeof pool / PAGE)
        fail("page pool empty");
    return pool[pool_used++];
}

u64 *root_new(void)
{
    u64 *root = page_new();
    root[0] = PTE_OF(0, PTE_RW); /* devices */
    for (u64 i = 0; i < 2; i++) {
        u64 pa = 0x80000000 + (i << 30);
        root[pa >> 30] = PTE_OF(pa, PTE_RWX);
        root[(pa + USER_OFF) >> 30] = PTE_OF(pa, PTE_RWX | PTE_U);
    }
    return root;
}

u64 *pte_at(u64 *table, u64 va)
{
    for (int level = 2; level; level--) {
        u64 *e = &table[va >> (12 + 9 * level) & 511];
        if (!(*e & PTE_V))
            *e = PTE_OF(page_new(), PTE_V);
        table = (u64 *)(*e >> 10 << 12);
    }
    return &table[va >> 12 & 511];
}

void map(u64 *root, u64 va, u64 pa, u64 flags) { *pte_at(root, va) = PTE_OF(pa, flags); }

void mmu_on(u64 *root)
{
    sfence_vma();
    csr_write(satp, SATP_OF(root, 0));
    sfence_vma();
}

void mmu_off(void)
{
    csr_write(satp, 0);
    sfence_vma();
}

u64 lcg(u64 *s)
{
    *s = *s * 6364136223846793005ul + 1442695040888963407ul;
    return *s >> 33;
}
