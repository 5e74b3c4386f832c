/* Purpose: rdtime, rdcycle and rdinstret, and how exactly instret counts. */
/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "rt.h"

/*
 * The instret-delta lines are for the reader: a machine which counts
 * retired instructions prints two equal numbers on each, one which takes
 * instret from a host clock does not.  PASS needs monotone counters only.
 */
#define SEQS(X) X(empty) X(wide) X(compressed) X(mixed) X(memory) X(taken) X(nottaken) X(jumps) \
                X(call) X(csr) X(pages) X(crossing)
#define DECLARE(n) u64 seq_##n(void *); extern char n_##n[];
SEQS(DECLARE)

static u64 scratch[8], traps, cause, value;
static u8 ustack[PAGE] __attribute__((aligned(16)));
static volatile u64 last_stval;

static void on_trap(struct frame *f)
{
    if (f->sstatus & SSTATUS_SPP)
        fail("trap scause %x sepc %x stval %x", f->scause, f->sepc, f->stval);
    traps++;
    cause = f->scause;
    value = f->x[10];
    last_stval = f->stval;
    user_leave(f, value);
}

static u64 in_user(void *fn, u64 arg)
{
    return user_run(USER_VA(fn), USER_VA(ustack) + sizeof ustack, arg, 0);
}

/* For U-mode: each reads one counter and returns it. */
#define READER(n) \
    asm(".text\n.balign 4\nread_" #n ": rd" #n " a0\n ret\n"); \
    u64 read_##n(void);
READER(time) READER(cycle) READER(instret)

static void monotone(const char *name, u64 (*read)(void), int may_stand)
{
    u64 first = read(), a = first;
    for (u64 i = 0; i < 100000; i++) {
        u64 b = read();
        if (b < a || (b == a && !may_stand))
            fail("%s went from %d to %d", name, a, b);
        a = b;
    }
    if (a == first)
        fail("%s stands still", name);
    say("%s monotone ok\n", name);
}

static void user_reader(const char *name, void *read, u64 bit)
{
    csr_write(scounteren, 7);
    u64 a = in_user(read, 0);
    if (cause != 8)
        fail("%s in U-mode, allowed: scause %x", name, cause);
    u64 b = in_user(read, 0);
    if (cause != 8 || b < a)
        fail("%s in U-mode: scause %x, from %d to %d", name, cause, a, b);

    csr_write(scounteren, 7 & ~bit);
    if (csr_read(scounteren) != (7 & ~bit))
        fail("scounteren %x", csr_read(scounteren));
    in_user(read, 0);
    if (cause == 8 && bit == 2) /* OpenSBI gives the time to all who ask */
        say("forbidden time in U-mode: the firmware emulates it\n");
    else if (cause != 2)
        fail("%s in U-mode, forbidden: scause %x", name, cause);
    csr_write(scounteren, bit);
    in_user(read, 0);
    if (cause != 8)
        fail("%s in U-mode, alone allowed: scause %x", name, cause);
    csr_write(scounteren, 0);
    ((u64(*)(void))read)(); /* scounteren does not concern S-mode */
    say("%s in U-mode ok\n", name);
}

void guest_main(void)
{
    trap_handler = on_trap;
    sbi_set_timer(-1ul);

    monotone("time", read_time, 1);
    monotone("cycle", read_cycle, 1);
    monotone("instret", read_instret, 1);

    /* Twice: the second time everything is translated already. */
    for (u64 round = 1; round <= 2; round++) {
        say("S-mode, round %d\n", round);
#define RUN(n) say("instret-delta %d expect %d S-" #n "\n", seq_##n(scratch), (u64)n_##n);
        SEQS(RUN)
    }

    u64 *root = root_new();
    mmu_on(root);
    say("S-mode, MMU on\n");
    SEQS(RUN)

    user_reader("time", read_time, 2);
    user_reader("cycle", read_cycle, 1);
    user_reader("instret", read_instret, 4);

    csr_write(scounteren, 7);
    say("U-mode\n");
#define RUN_U(n) \
    say("instret-delta %d expect %d U-" #n "\n", in_user(seq_##n, USER_VA(scratch)), (u64)n_##n); \
    if (cause != 8) \
        fail("U-" #n " scause %x stval %x", cause, last_stval);
    SEQS(RUN_U)

    /* instret and time are in step with each other over a longer stretch. */
    u64 t = rdtime(), n = csr_read(instret), c = csr_read(cycle);
    for (volatile u64 i = 0; i < 1000000; i++)
        ;
    t = rdtime() - t;
    n = csr_read(instret) - n;
    c = csr_read(cycle) - c;
    say("long loop: time %d cycle %d instret %d\n", t, c, n);
}
