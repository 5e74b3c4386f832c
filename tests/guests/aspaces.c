/* Purpose: two address spaces with different code at one virtual address, switched often. */
/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "rt.h"

#define VA 0x3000000000ul
#define ROUNDS 3000

/*
 * The two routines.  Both take and return a0; LEN is what each executes,
 * its return included.  They differ in length, in the places of their
 * branches and in the mix of 2-byte and 4-byte instructions.
 */
extern char one[], two[];
asm(".text\n.balign 4096\n"
    ".option push\n.option rvc\n"
    "one: c.addi a0, 1\n"
    " addi a0, a0, 100\n"
    " c.addi a0, 2\n"
    " c.jr ra\n"                      /* 4 */
    ".balign 4096\n"
    "two: addi a0, a0, 1000\n"
    " c.li a1, 5\n"
    "1: c.addi a0, 3\n"
    " addi a1, a1, -1\n"
    " c.bnez a1, 1b\n"                /* 15 */
    " slli a0, a0, 1\n"
    " beq a0, zero, 2f\n"
    " c.addi a0, 7\n"
    "2: c.jr ra\n"                    /* 2 + 15 + 4 */
    ".balign 4096\n.option pop\n");
#define LEN_ONE 4ul
#define LEN_TWO 21ul
#define RES_ONE(x) ((x) + 103)
#define RES_TWO(x) (((x) + 1015) * 2 + 7)

#include "timed.h"

/* flush: sfence.vma after each switch.  Without, the ASIDs keep the two apart. */
static void run(const char *what, const u64 satp[2], int flush, int user)
{
    u64 sum[2] = {0, 0}, rnd = 1, runs[2] = {0, 0};

    for (u64 i = 0; i < 2 * ROUNDS; i++) {
        /* In turns, and then at random so that some switch to themselves. */
        u64 s = i < ROUNDS ? i & 1 : lcg(&rnd) & 1, got;
        csr_write(satp, satp[s]);
        if (flush)
            sfence_vma();
        if (user) {
            got = user_run(VA, 0, i, 0);
        } else {
            struct result r = timed_call(VA, i);
            got = r.a0;
            sum[s] += r.delta;
        }
        runs[s]++;
        u64 want = s ? RES_TWO(i) : RES_ONE(i);
        if (got != want)
            fail("%s round %d space %d: %d expected %d", what, i, s, got, want);
    }
    say("%s ok\n", what);
    if (!user) {
        say("instret-delta %d expect %d one\n", sum[0], runs[0] * (2 + LEN_ONE));
        say("instret-delta %d expect %d two\n", sum[1], runs[1] * (2 + LEN_TWO));
    }
}

static void on_trap(struct frame *f)
{
    if (f->scause != 8)
        fail("trap scause %x sepc %x stval %x", f->scause, f->sepc, f->stval);
    user_leave(f, f->x[10]);
}

void guest_main(void)
{
    u64 *r1 = root_new(), *r2 = root_new();
    u64 satp[2];

    sbi_set_timer(-1ul);
    trap_handler = on_trap;
    map(r1, VA, (u64)one, PTE_RX);
    map(r2, VA, (u64)two, PTE_RX);
    mmu_on(r1);

    csr_write(satp, SATP_OF(r1, 0xffff));
    u64 asids = csr_read(satp) >> 44 & 0xffff;
    say("ASID bits %x\n", asids);
    int need_flush = (asids & 3) != 3;

    satp[0] = SATP_OF(r1, 0);
    satp[1] = SATP_OF(r2, 0);
    run("ASID 0, sfence.vma", satp, 1, 0);
    satp[0] = SATP_OF(r1, need_flush ? 0 : 1);
    satp[1] = SATP_OF(r2, need_flush ? 0 : 2);
    sfence_vma();
    run("two ASIDs, no fence", satp, need_flush, 0);
    run("two ASIDs, sfence.vma", satp, 1, 0);

    /* The same from U-mode. */
    map(r1, VA, (u64)one, PTE_RX | PTE_U);
    map(r2, VA, (u64)two, PTE_RX | PTE_U);
    sfence_vma();
    run("user, two ASIDs, no fence", satp, need_flush, 1);
    satp[0] = SATP_OF(r1, 0);
    satp[1] = SATP_OF(r2, 0);
    run("user, ASID 0, sfence.vma", satp, 1, 1);

    /* One address space whose page table entry is changed instead. */
    csr_write(satp, satp[0]);
    u64 sum = 0, want = 0;
    for (u64 i = 0; i < 2 * ROUNDS; i++) {
        map(r1, VA, (u64)(i & 1 ? two : one), PTE_RX);
        asm volatile("sfence.vma %0" ::"r"(VA) : "memory");
        struct result r = timed_call(VA, i);
        if (r.a0 != (i & 1 ? RES_TWO(i) : RES_ONE(i)))
            fail("remap round %d: %d", i, r.a0);
        sum += r.delta;
        want += 2 + (i & 1 ? LEN_TWO : LEN_ONE);
    }
    say("remap ok\n");
    say("instret-delta %d expect %d remap\n", sum, want);
}
