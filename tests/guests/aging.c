/* Purpose: accessed and dirty bits aged as an operating system does, without a fence. */
/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "rt.h"

/*
 * Which bits a touch sets again after they were cleared without
 * sfence.vma depends on what the TLB still holds, so the printed checksums
 * have no right value: two runs of one recording must agree on them, that is
 * all.  What must hold everywhere is checked: no store is lost, and after a
 * fence every touch leaves its mark.
 */
#define V 0x2000000000ul
#define PAGES 96
#define ROUNDS 2000

#define ALIAS (V + 0x40000000) /* the pages again, at the same places of a TLB indexed by low bits */
static u64 *root, *pte[PAGES], *alias[PAGES];
static u8 pages[PAGES][PAGE] __attribute__((aligned(4096)));
static u64 model[PAGES]; /* what word 0 of each page must hold */
static u8 ustack[PAGE] __attribute__((aligned(16)));
static u64 ad_faults;

/*
 * Touches the pages that a generator with this seed chooses: 2 bits for
 * each page, 1 a load, 2 a store, 3 a load and a store.  Used from both
 * modes, so it must be position independent and use no static data.
 */
__attribute__((noinline)) static u64 touch(u64 base, u64 seed)
{
    u64 sum = 0;
    for (u64 i = 0; i < PAGES; i++) {
        seed = seed * 6364136223846793005ul + 1442695040888963407ul;
        volatile u64 *p = (u64 *)(base + i * PAGE);
        u64 how = seed >> 62;
        if (how & 1)
            sum += p[0];
        if (how == 2)
            p[0] = seed;
        if (how == 3)
            p[0] = p[0] + seed;
    }
    return sum;
}

/* The same on the model. */
static u64 touch_model(u64 seed)
{
    u64 sum = 0;
    for (u64 i = 0; i < PAGES; i++) {
        u64 how = lcg(&seed) >> 29;
        if (how & 1)
            sum += model[i];
        if (how == 2)
            model[i] = seed;
        if (how == 3)
            model[i] += seed;
    }
    return sum;
}

static void on_trap(struct frame *f)
{
    if (f->scause == 8) {
        user_leave(f, f->x[10]);
        return;
    }
    /* A machine may leave A and D to software: then they are set here. */
    u64 second = f->stval >= ALIAS, i = (f->stval - (second ? ALIAS : V)) / PAGE;
    if ((f->scause != 13 && f->scause != 15) || i >= PAGES)
        fail("trap scause %x sepc %x stval %x", f->scause, f->sepc, f->stval);
    u64 bits = f->scause == 15 ? PTE_A | PTE_D : PTE_A;
    u64 *e = second ? alias[i] : pte[i];
    if (ad_faults > 10000000)
        fail("page faults without end at %x", f->stval);
    __atomic_fetch_or(e, bits, __ATOMIC_RELAXED);
    asm volatile("sfence.vma %0" ::"r"(f->stval) : "memory");
    ad_faults++;
}

static void touched(int user, u64 seed, u64 round)
{
    u64 got = user ? user_run(USER_VA(touch), USER_VA(ustack) + sizeof ustack, V, seed) : touch(V, seed);
    u64 want = touch_model(seed);
    if (got != want)
        fail("round %d: the loads give %x expected %x", round, got, want);
}

static void clear(u64 *e, u64 bits)
{
    /* amoand.d, as an operating system's test_and_clear_bit() */
    asm volatile("amoand.d zero, %0, (%1)" ::"r"(~bits), "r"(e) : "memory");
}

/* With a fence between: every touch must show. */
static void exact(int user, u64 seed, u64 round)
{
    for (u64 i = 0; i < PAGES; i++)
        clear(pte[i], PTE_A | PTE_D);
    sfence_vma();
    touched(user, seed, round);
    for (u64 i = 0; i < PAGES; i++) {
        u64 how = lcg(&seed) >> 29, e = *(volatile u64 *)pte[i];
        /* A may be set by speculation, D may not. */
        if ((how && !(e & PTE_A)) || !(how & 2) != !(e & PTE_D))
            fail("round %d page %d: touch %d left A %d D %d", round, i, how, e >> 6 & 1, e >> 7 & 1);
    }
}

/*
 * A long stretch in which few pages are in use between many fences: an
 * emulator that sizes its TLB by use makes it small now, and if it judges by
 * the host's clock, then not at the same point in each run.
 */
static void lull(void)
{
    for (u64 i = 0; i < 30000; i++) {
        sfence_vma();
        for (u64 j = 0; j < 4; j++)
            if (*(volatile u64 *)(ALIAS + j * PAGE) != model[j])
                fail("lull: page %d", j);
    }
}

static void run(const char *mode, int user)
{
    u64 rnd = 11 + user, hash = 0xcbf29ce484222325ul, set_a = 0, set_d = 0;

    for (u64 i = 0; i < PAGES; i++) {
        map(root, V + i * PAGE, (u64)pages[i], PTE_RW | (user ? PTE_U : 0));
        pte[i] = pte_at(root, V + i * PAGE);
        map(root, ALIAS + i * PAGE, (u64)pages[i], PTE_RX & ~PTE_X);
        alias[i] = pte_at(root, ALIAS + i * PAGE);
    }
    sfence_vma();
    for (u64 r = 0; r < ROUNDS; r++) {
        touched(user, lcg(&rnd) << 20, r);
        for (u64 i = 0; i < PAGES; i++) {
            u64 c = lcg(&rnd) >> 20;
            if (c & 1)
                clear(pte[i], PTE_A);
            if ((c & 14) == 0)
                clear(pte[i], PTE_D);
        }
        /* Some entries leave the TLB: pushed out by others (or not, as the
           TLB is built), fenced one by one, and at times all at once. */
        for (u64 i = 0; i < 12; i++) {
            u64 c = lcg(&rnd) >> 10, p = (c >> 3) % PAGES;
            if (c & 4 && r % 8 == 3)
                asm volatile("sfence.vma %0" ::"r"(V + p * PAGE) : "memory");
            else if (c & 2 && *(volatile u64 *)(ALIAS + p * PAGE) != model[p])
                fail("round %d: page %d read by its alias", r, p);
            else if (c & 1)
                clear(alias[p], PTE_A);
        }
        if (lcg(&rnd) >> 27 == 0) /* one round in 16 */
            sfence_vma();
        touched(user, lcg(&rnd) << 20, r);
        for (u64 i = 0; i < PAGES; i++) {
            hash = (hash ^ (*(volatile u64 *)alias[i] & PTE_A)) * 0x100000001b3ul;
            u64 e = *(volatile u64 *)pte[i];
            hash = (hash ^ (e >> 6 & 3)) * 0x100000001b3ul;
            set_a += e >> 6 & 1;
            set_d += e >> 7 & 1;
        }
        if (r % 400 == 399)
            lull();
        if (r % 50 == 49)
            exact(user, lcg(&rnd) << 20, r);
    }
    for (u64 i = 0; i < PAGES; i++)
        if (*(volatile u64 *)pages[i] != model[i])
            fail("page %d holds %x expected %x", i, *(u64 *)pages[i], model[i]);
    say("checksum %s %x (A set %d, D set %d, of %d)\n", mode, hash, set_a, set_d,
        (u64)(ROUNDS * PAGES));
}

void guest_main(void)
{
    sbi_set_timer(-1ul);
    trap_handler = on_trap;
    root = root_new();
    mmu_on(root);
    run("supervisor", 0);
    run("user", 1);
    say("A/D faults %d\n", ad_faults);
}
