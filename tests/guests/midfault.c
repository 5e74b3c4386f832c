/* Purpose: a fault in the middle of a straight line: all before it happens exactly once. */
/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "rt.h"

#define V 0x2000000000ul
#define ROUNDS 400

struct result {
    u64 delta, sum;
};
typedef struct result line(u64 addr, u64 *counters);
extern char mf_trap[], mf_len[];
/* As the assembly knows it. */
extern struct {
    u64 t4, t5, scause, sepc, stval, count;
    u64 *pte;
    u64 value, limit;
} mf_state;

static u64 *root, counters[2];
static u8 page[2][PAGE] __attribute__((aligned(4096)));
static const char *now;

void mf_give_up(void)
{
    fail("%s: more faults than expected, scause %x sepc %x stval %x", now, mf_state.scause,
         mf_state.sepc, mf_state.stval);
}

enum { LOAD = 13, STORE = 15 };

/*
 * off: of the access from V.  Which page is absent: 0, 1, or 2 for none
 * (to have the same line run without a fault).  written: the bytes there
 * afterwards, little endian, when it stores.
 */
static void test(const char *name, line *fn, char *at, u64 n, u64 off, u64 absent, u64 cause,
                 u64 alt, u64 size, u64 written)
{
    u64 sum = 0, want = 0, addr = V + off;

    now = name;
    for (u64 i = 0; i < ROUNDS; i++) {
        /* Present and absent in turns, so that the line is also run whole. */
        u64 fault = absent < 2 && i % 4 != 3;
        for (u64 b = 0; b < 8; b++)
            page[0][(off + b) % (2 * PAGE)] = 0x11 * b; /* the two pages are one array */
        map(root, V, (u64)page[0], PTE_RW);
        map(root, V + PAGE, (u64)page[1], PTE_RW);
        if (fault) {
            mf_state.pte = pte_at(root, V + absent * PAGE);
            mf_state.value = *mf_state.pte;
            /* Absent altogether, or (for a store) only read-only. */
            *mf_state.pte = cause == STORE && i & 1 ? *mf_state.pte & ~PTE_W : 0;
        }
        sfence_vma();
        counters[0] = counters[1] = 1000 * i;
        mf_state.count = 0;
        mf_state.limit = 1;
        u64 sie = csr_read(sstatus) & SSTATUS_SIE;
        struct result r = fn(addr, counters);
        if (r.sum != 12)
            fail("%s round %d: register counters %d", name, i, r.sum);
        if (counters[0] != 1000 * i + 4 || counters[1] != 1000 * i + 1)
            fail("%s round %d: memory counters %d %d", name, i, counters[0], counters[1]);
        if (mf_state.count != fault)
            fail("%s round %d: %d faults", name, i, mf_state.count);
        if (fault) {
            u64 where = absent && off < PAGE ? V + PAGE : addr;
            if (mf_state.scause != cause && !(alt && mf_state.scause == alt))
                fail("%s round %d: scause %x", name, i, mf_state.scause);
            if (mf_state.sepc != (u64)at || mf_state.stval != where)
                fail("%s round %d: sepc %x stval %x", name, i, mf_state.sepc, mf_state.stval);
        }
        if ((csr_read(sstatus) & SSTATUS_SIE) != sie)
            fail("%s round %d: sstatus", name, i);
        u64 have = 0;
        for (u64 b = 0; b < size; b++)
            have |= (u64)page[0][off + b] << 8 * b;
        u64 expect = written ? written : 0x7766554433221100 & (size == 8 ? -1ul : (1ul << 8 * size) - 1);
        if (have != expect)
            fail("%s round %d: memory %x expected %x", name, i, have, expect);
        sum += r.delta;
        want += n + (fault ? (u64)mf_len : 0);
    }
    say("%s%s ok\n", name, absent == 2 ? " (no fault)" : "");
    say("instret-delta %d expect %d %s\n", sum, want, name);
}

#define EXT(n) extern char n##_at[], n##_n[]; line n;
EXT(mf_sd) EXT(mf_ld) EXT(mf_amo) EXT(mf_sh) EXT(mf_lw) EXT(mf_lr) EXT(mf_fld) EXT(mf_fsd)
EXT(mf_cld) EXT(mf_csd)
#define T(name, n, off, absent, cause, alt, size, written) \
    test(name, n, n##_at, (u64)n##_n, off, absent, cause, alt, size, written)

void guest_main(void)
{
    sbi_set_timer(-1ul);
    csr_set(sstatus, SSTATUS_FS);
    asm volatile("fmv.d.x fa0, %0" ::"r"(0x123456789abcdef0));
    root = root_new();
    mmu_on(root);
    csr_write(sscratch, &mf_state);
    csr_write(stvec, mf_trap);

    T("store", mf_sd, 64, 2, STORE, 0, 8, 0x3333);
    T("store", mf_sd, 64, 0, STORE, 0, 8, 0x3333);
    T("store-half", mf_sh, 4094, 0, STORE, 0, 2, 0x3333);
    T("store-compressed", mf_csd, 64, 0, STORE, 0, 8, 0x5a5);
    T("store-fp", mf_fsd, 64, 0, STORE, 0, 8, 0x123456789abcdef0);
    T("load", mf_ld, 64, 2, LOAD, 0, 8, 0);
    T("load", mf_ld, 64, 0, LOAD, 0, 8, 0);
    T("load-word", mf_lw, 4092, 0, LOAD, 0, 4, 0);
    T("load-compressed", mf_cld, 64, 0, LOAD, 0, 8, 0);
    T("load-reserved", mf_lr, 64, 0, LOAD, 0, 8, 0);
    T("amo", mf_amo, 64, 2, STORE, LOAD, 8, 0x3333);
    T("amo", mf_amo, 64, 0, STORE, LOAD, 8, 0x3333);
    /* fld last of all: it changes fa0. */
    T("load-fp", mf_fld, 64, 0, LOAD, 0, 8, 0);
    asm volatile("fmv.d.x fa0, %0" ::"r"(0x123456789abcdef0));

    /* Misaligned, across the boundary; either page absent. */
    T("store-crossing", mf_sd, 4093, 2, STORE, 0, 8, 0x3333);
    T("store-crossing-second", mf_sd, 4093, 1, STORE, 0, 8, 0x3333);
    T("store-crossing-first", mf_sd, 4093, 0, STORE, 0, 8, 0x3333);
    T("store-half-crossing-second", mf_sh, 4095, 1, STORE, 0, 2, 0x3333);
    T("store-fp-crossing-second", mf_fsd, 4090, 1, STORE, 0, 8, 0x123456789abcdef0);
    T("load-crossing", mf_ld, 4093, 2, LOAD, 0, 8, 0);
    T("load-crossing-second", mf_ld, 4093, 1, LOAD, 0, 8, 0);
    T("load-crossing-first", mf_ld, 4093, 0, LOAD, 0, 8, 0);
    T("load-word-crossing-second", mf_lw, 4094, 1, LOAD, 0, 4, 0);
}
