/* Purpose: an instruction whose halves lie in two pages, the second remapped or absent. */
/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "rt.h"

#define P 0x2000000000ul /* first page; the second follows */
#define Q (P + PAGE)
#define ROUNDS 500
#define RET 0x8082 /* c.jr ra */

static u64 *root;
static u8 first[PAGE] __attribute__((aligned(4096)));
static u8 second[2][PAGE] __attribute__((aligned(4096)));
static u8 other_first[PAGE] __attribute__((aligned(4096)));
static u64 flags;   /* of the code pages */
static int user;

/* What the handler shall find, and what it did. */
static volatile u64 want_sepc, want_stval, repair_va, repair_pa, faults;

static void on_trap(struct frame *f)
{
    if (f->scause == 8) {
        user_leave(f, f->x[10]);
        return;
    }
    if (f->scause != 12 || f->sepc != want_sepc || f->stval != want_stval ||
        (f->sstatus & SSTATUS_SPP) != (user ? 0 : SSTATUS_SPP))
        fail("trap scause %x sepc %x stval %x, expected sepc %x stval %x", f->scause, f->sepc,
             f->stval, want_sepc, want_stval);
    faults++;
    map(root, repair_va, repair_pa, flags);
    asm volatile("sfence.vma %0" ::"r"(repair_va) : "memory");
}

static void put(u64 va, u8 *pa)
{
    if (pa)
        map(root, va, (u64)pa, flags);
    else
        *pte_at(root, va) = 0;
    asm volatile("sfence.vma %0" ::"r"(va) : "memory");
}

static void check(const char *what, u64 round, u64 entry, u64 a0, u64 want)
{
    u64 got;
    if (user) {
        got = user_run(entry, 0, a0, 0);
    } else {
        register u64 r asm("a0") = a0;
        asm volatile("jalr %1" : "+r"(r) : "r"(entry) : "ra", "memory");
        got = r;
    }
    if (got != want)
        fail("%s round %d: %d expected %d", what, round, got, want);
}

/* A check that must fault once, at sepc with stval, before it succeeds. */
static void faulting(const char *what, u64 round, u64 entry, u64 a0, u64 want, u64 sepc, u64 stval,
                     u8 *pa)
{
    u64 before = faults;
    want_sepc = sepc;
    want_stval = stval;
    repair_va = stval & -PAGE;
    repair_pa = (u64)pa;
    check(what, round, entry, a0, want);
    if (faults != before + 1)
        fail("%s round %d: %d faults", what, round, faults - before);
}

static void all(void)
{
    u16 *end = (u16 *)(first + PAGE), *oend = (u16 *)(other_first + PAGE);
    u16 *s0 = (u16 *)second[0], *s1 = (u16 *)second[1];
    const char *m = user ? "user" : "supervisor";

    /*
     * End of the first page: c.addi a0, 1; first half of addi a0, a0, K.
     * (addi a0, a0, K is K << 20 | 0x50513: its low half 0x0513 has no
     * bit of K.)  The second pages hold K = 100 and K = 200, and one more
     * c.addi in the second.
     */
    end[-2] = 0x0505;
    end[-1] = 0x0513;
    s0[0] = 100 << 4 | 5;
    s0[1] = RET;
    s1[0] = 200 << 4 | 5;
    s1[1] = 0x0505; /* c.addi a0, 1 */
    s1[2] = RET;
    oend[-2] = 0x0509; /* c.addi a0, 2 */
    oend[-1] = 0x2513; /* slti a0, a0, K */
    fence_i();
    u64 e = P + PAGE - 4, at = P + PAGE - 2;

    put(P, first);
    put(Q, second[0]);
    for (u64 i = 0; i < ROUNDS; i++)
        check("crossing", i, e, i, i + 101);
    say("%s crossing ok\n", m);

    for (u64 i = 0; i < ROUNDS; i++) {
        put(Q, second[i & 1]);
        check("second remapped", i, e, i, i & 1 ? i + 202 : i + 101);
    }
    say("%s second page remapped ok\n", m);

    put(Q, second[0]);
    for (u64 i = 0; i < ROUNDS; i++) {
        put(P, i & 1 ? other_first : first);
        check("first remapped", i, e, i, i & 1 ? i + 2 < 100 : i + 101);
    }
    say("%s first page remapped ok\n", m);

    put(P, first);
    for (u64 i = 0; i < ROUNDS; i++) {
        put(Q, 0);
        faulting("second absent", i, e, i, i & 1 ? i + 202 : i + 101, at, Q, second[i & 1]);
        check("second present again", i, e, i, i & 1 ? i + 202 : i + 101);
        /* And entered at the crossing instruction itself. */
        put(Q, 0);
        faulting("second absent, entry", i, at, i, i + 100, at, Q, second[0]);
    }
    say("%s second page absent ok\n", m);

    for (u64 i = 0; i < ROUNDS; i++) {
        put(P, 0);
        faulting("first absent", i, at, i, i + 100, at, at, first);
    }
    say("%s first page absent ok\n", m);

    /* Not executable is as good as absent. */
    for (u64 i = 0; i < ROUNDS; i++) {
        map(root, Q, (u64)second[0], flags & ~PTE_X);
        sfence_vma();
        faulting("second not X", i, e, i, i + 101, at, Q, second[0]);
    }
    say("%s second page not executable ok\n", m);

    /* A compressed instruction ends the page: execution falls through. */
    end[-1] = 0x0505;
    s0[0] = 0x050d; /* c.addi a0, 3 */
    s1[0] = 0x0511; /* c.addi a0, 4 */
    fence_i();
    put(Q, second[0]);
    for (u64 i = 0; i < ROUNDS; i++)
        check("fall through", i, e, i, i + 5);
    say("%s fall through ok\n", m);
    for (u64 i = 0; i < ROUNDS; i++) {
        put(Q, second[i & 1]);
        check("fall through, remapped", i, e, i, i & 1 ? i + 7 : i + 5);
    }
    say("%s fall through, second page remapped ok\n", m);
    for (u64 i = 0; i < ROUNDS; i++) {
        put(Q, 0);
        faulting("fall through, absent", i, e, i, i & 1 ? i + 7 : i + 5, Q, Q, second[i & 1]);
    }
    say("%s fall through, second page absent ok\n", m);

    /* A 4-byte instruction that ends with the page needs no second page. */
    end[-4] = 0x0513;
    end[-3] = 50 << 4 | 5;
    end[-2] = 0x0505;
    end[-1] = RET;
    fence_i();
    put(Q, 0);
    for (u64 i = 0; i < ROUNDS; i++)
        check("ends with the page", i, P + PAGE - 8, i, i + 51);
    say("%s ends with the page ok\n", m);
}

void guest_main(void)
{
    sbi_set_timer(-1ul);
    trap_handler = on_trap;
    root = root_new();
    mmu_on(root);
    flags = PTE_RX;
    all();
    user = 1;
    flags = PTE_RX | PTE_U;
    all();
    say("faults %d\n", faults);
}
