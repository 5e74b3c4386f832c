/* Purpose: every trap S-mode can see, with all that the hardware says about each. */
/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "rt.h"

/* A physical address where nothing answers, on QEMU's virt as well. */
#define NOWHERE 0x18000000ul
/* Virtual pages of the tests. */
#define V 0x2000000000ul
#define V_RW (V)
#define V_NONE (V + 0x1000)   /* follows V_RW, for the loop case */
#define V_RO (V + 0x2000)
#define V_XO (V + 0x3000)     /* X but not R */
#define V_URW (V + 0x4000)
#define V_URX (V + 0x5000)
#define FAR 0x0100000000000000ul
#define MIDDLE 0x8000000000000000ul
#define LAST (-8ul)
#define V_HOLE (V + 0x6000)   /* mapped, but to NOWHERE */
#define V_UHOLE (V + 0x7000)
#define V_UNONE (V + 0x8000)
#define V_WO (V + 0x9000)     /* W but not R: reserved */
#define V_WILD 0x4000000000ul /* no sign extension of bit 38 */

enum tval { ZERO, EXACT, INSN, PC }; /* INSN, PC: that, or 0 */
enum mode { S, U };
enum cause { FETCH_AF = 1, ILL, BRK, LOAD_MA, LOAD_AF, STORE_MA, STORE_AF, ECALL_U,
             FETCH_PF = 12, LOAD_PF, STORE_PF = 15, NONE = 99 };

static volatile struct got {
    u64 cause, sepc, stval, sstatus, a0, a1, a2, vec;
} got;
static volatile u64 hits;
static u8 ustack[PAGE] __attribute__((aligned(16)));
static u64 buf[8];

static void on_trap(struct frame *f)
{
    hits++;
    got = (struct got){f->scause, f->sepc, f->stval, f->sstatus,
                       f->x[10], f->x[11], f->x[12], ((u64 *)f)[36]};
    if (f->scause == (INTR | IRQ_S_SOFT))
        csr_clear(sip, 1 << IRQ_S_SOFT);
    if (f->scause == (INTR | IRQ_S_TIMER))
        sbi_set_timer(-1ul);
    if (!(f->sstatus & SSTATUS_SPP))
        user_leave(f, 0);
    else if (!(f->scause & INTR))
        f->sepc = f->x[1]; /* every case is a leaf function */
}

/*
 * One case, with interrupts enabled before the trap and without.
 * alt: a second cause that is let pass.  QEMU carries an AMO out as a load
 * and a store when it runs one hart, so it reports the load's cause.
 */
static void test(const char *name, enum mode mode, char *fn, char *at, u64 arg, u64 cause,
                 u64 alt, enum tval tv, u64 tval, u64 steps)
{
    u64 sepc = at ? (u64)at : arg, insn = 0, c = 0;

    if (tv == INSN) {
        insn = *(u16 *)at;
        if ((insn & 3) == 3)
            insn |= (u64) * (u16 *)(at + 2) << 16;
    }
    if (mode == U && at)
        sepc = USER_VA(at);
    for (u64 sie = 0; sie < 2; sie++) {
        got.cause = NONE;
        hits = 0;
        if (mode == U) {
            csr_clear(sstatus, SSTATUS_SPIE | SSTATUS_SIE);
            if (sie)
                csr_set(sstatus, SSTATUS_SPIE);
            user_run(USER_VA(fn), USER_VA(ustack) + sizeof ustack, arg, 41);
        } else {
            csr_clear(sstatus, SSTATUS_SIE);
            if (sie)
                csr_set(sstatus, SSTATUS_SIE);
            ((void (*)(u64, u64, u64))fn)(arg, 41, 77);
            csr_clear(sstatus, SSTATUS_SIE);
        }
        c = got.cause;
        if (hits != (c != NONE) || (c != cause && (!alt || c != alt)))
            fail("%s scause %x expected %d stval %x sepc %x hits %d", name, c, cause, got.stval,
                 got.sepc, hits);
        if (c == NONE)
            break;
        if (got.sepc != sepc)
            fail("%s sepc %x expected %x", name, got.sepc, sepc);
        if (!(tv == EXACT ? got.stval == tval
                          : got.stval == 0 || (tv == INSN && got.stval == insn) ||
                                (tv == PC && got.stval == sepc)))
            fail("%s stval %x expected %x", name, got.stval, tv == EXACT ? tval : insn);
        if ((got.sstatus & SSTATUS_SPP) != (mode == S ? SSTATUS_SPP : 0) ||
            (got.sstatus & SSTATUS_SPIE) != (sie ? SSTATUS_SPIE : 0) || got.sstatus & SSTATUS_SIE)
            fail("%s sstatus %x, SIE was %d", name, got.sstatus, sie);
        if (got.a0 != arg || got.a1 != 41 + steps || got.a2 != (mode == U ? arg : 77))
            fail("%s registers a0 %x a1 %d a2 %x", name, got.a0, got.a1, got.a2);
    }
    if (c == NONE)
        say("%s no trap ok\n", name);
    else
        say("%s scause %d ok%s\n", name, c, c == cause ? "" : " (as a load)");
}

#define EXT(n) extern char c_##n[], f_##n[];
EXT(zero) EXT(resv4) EXT(resv2) EXT(mcsr) EXT(nocsr) EXT(rocsr) EXT(mret) EXT(fadd) EXT(fld)
EXT(ebreak) EXT(ld) EXT(lw) EXT(lbu) EXT(sd) EXT(sb) EXT(amo) EXT(lr) EXT(jr) EXT(ecall)
EXT(sret) EXT(wfi) EXT(scsr) EXT(sfence) EXT(cebreak) EXT(cld) EXT(clw) EXT(csd) EXT(cjr)
EXT(first) EXT(afterjump) EXT(loop) EXT(lastpg) EXT(clastpg) EXT(firstpg)

/* Names read MODE-CASE-WHERE. */
#define NAME(m, n, w) #m "-" #n w
#define ILLEGAL(m, n) test(NAME(m, n, ""), m, c_##n, f_##n, (u64)buf, ILL, 0, INSN, 0, 1)
#define BREAK(m, n) test(NAME(m, n, ""), m, c_##n, f_##n, 0, BRK, 0, PC, 0, 1)
#define MEM(m, n, w, addr, off, c, alt) \
    test(NAME(m, n, "-" w), m, c_##n, f_##n, addr, c, alt, EXACT, (addr) + (off), 1)
#define JUMP(m, n, w, addr, c) test(NAME(m, n, "-" w), m, c_##n, 0, addr, c, 0, EXACT, addr, 1)
#define FINE(m, n, w, addr) test(NAME(m, n, "-" w), m, c_##n, f_##n, addr, NONE, 0, ZERO, 0, 1)

/* All accesses to one bad address; la, sa: the causes. */
#define ALL_MEM(m, w, addr, la, sa) do { \
        MEM(m, ld, w, addr, 0, la, 0); MEM(m, cld, w, addr, 0, la, 0); \
        MEM(m, lw, w, addr, 4, la, 0); MEM(m, clw, w, addr, 4, la, 0); \
        MEM(m, lbu, w, addr, 7, la, 0); MEM(m, lr, w, addr, 0, la, 0); \
        MEM(m, sd, w, addr, 0, sa, 0); MEM(m, csd, w, addr, 0, sa, 0); \
        MEM(m, sb, w, addr, 7, sa, 0); MEM(m, amo, w, addr, 0, sa, la); \
    } while (0)

static void misaligned(void)
{
#define MIS(n) { extern char m_##n[]; name = #n; fn = (u64(*)(u64, u64))m_##n; }
    static const u64 pat = 0x8899aabbccddeeff;
    for (int i = 0; i < 12; i++) {
        const char *name;
        u64 (*fn)(u64, u64);
        u64 size = i < 2 || i == 5 ? 2 : i == 2 || i == 3 || i == 6 || i == 8 || i == 10 ? 4 : 8;
        switch (i) {
        case 0: MIS(lh) break;
        case 1: MIS(lhu) break;
        case 2: MIS(lw) break;
        case 3: MIS(lwu) break;
        case 4: MIS(ld) break;
        case 5: MIS(sh) break;
        case 6: MIS(sw) break;
        case 7: MIS(sd) break;
        case 8: MIS(amow) break;
        case 9: MIS(amod) break;
        case 10: MIS(lrw) break;
        default: MIS(lrd) break;
        }
        u64 load = i < 5 || i >= 10, atomic = i >= 8, trapped = 0;
        for (u64 off = 1; off < size; off++) {
            u64 p = (u64)buf + off, want = 0, have = 0;
            buf[0] = pat;
            buf[1] = ~pat;
            got.cause = NONE;
            u64 r = fn(p, pat);
            if (got.cause != NONE) {
                u64 c = got.cause;
                if (!(c == (load ? LOAD_MA : STORE_MA) || (atomic && c == (load ? LOAD_AF : STORE_AF)) ||
                      (atomic && c == LOAD_MA)))
                    fail("misaligned %s+%d scause %x", name, off, c);
                if (got.stval != p || got.sepc != (u64)fn)
                    fail("misaligned %s+%d stval %x sepc %x", name, off, got.stval, got.sepc);
                trapped = c;
                continue;
            }
            if (atomic)
                fail("misaligned %s+%d did not trap", name, off);
            for (u64 b = 0; b < size; b++) /* byte by byte: never misaligned */
                have |= (u64)read8(p + b) << 8 * b;
            if (load) {
                want = r & (size == 8 ? -1ul : (1ul << 8 * size) - 1);
                u64 top = have >> (8 * size - 1) & 1 && (i == 0 || i == 2) ? -1ul : 0;
                if (size < 8 && r >> 8 * size != top >> 8 * size)
                    fail("misaligned %s+%d extension %x", name, off, r);
            } else {
                want = size == 8 ? pat : pat & ((1ul << 8 * size) - 1);
            }
            if (want != have)
                fail("misaligned %s+%d gives %x expected %x", name, off, want, have);
        }
        if (trapped)
            say("misaligned-%s scause %d ok\n", name, trapped);
        else
            say("misaligned-%s handled ok\n", name);
    }
}

static void interrupt(const char *name, u64 irq, u64 vec, int user)
{
    extern char u_spin[];

    got.cause = NONE;
    hits = 0;
    csr_write(sie, 1 << irq);
    if (irq == IRQ_S_TIMER)
        sbi_set_timer(rdtime() + 1000);
    else if (vec & 1) /* by turns by the CSR and by the firmware */
        csr_set(sip, 1 << IRQ_S_SOFT);
    else
        sbi_send_ipi(1, rt_hart);
    if (user) {
        /* Interrupts of S-mode are always enabled while in U-mode. */
        csr_clear(sstatus, SSTATUS_SPIE);
        user_run(USER_VA(u_spin), 0, 0, 0);
        if (got.sepc != USER_VA(u_spin))
            fail("%s sepc %x", name, got.sepc);
    } else {
        csr_set(sstatus, SSTATUS_SIE);
        for (u64 t = rdtime(); !hits && rdtime() - t < TIMEBASE;)
            ;
        csr_clear(sstatus, SSTATUS_SIE);
    }
    csr_write(sie, 0);
    if (hits != 1 || got.cause != (INTR | irq) || got.stval)
        fail("%s hits %d scause %x stval %x", name, hits, got.cause, got.stval);
    if (csr_read(stvec) & 1 && got.vec != irq)
        fail("%s came by vector %d", name, got.vec);
    if ((got.sstatus & (SSTATUS_SPP | SSTATUS_SPIE)) != (user ? 0 : SSTATUS_SPP | SSTATUS_SPIE))
        fail("%s sstatus %x", name, got.sstatus);
    say("%s scause %d ok\n", name, irq);
}

static void interrupts(const char *how)
{
    say("%s\n", how);
    interrupt("int-ssip", IRQ_S_SOFT, 1, 0);
    interrupt("int-ipi", IRQ_S_SOFT, 2, 0);
    interrupt("int-timer", IRQ_S_TIMER, 0, 0);
    interrupt("int-ssip-user", IRQ_S_SOFT, 1, 1);
    interrupt("int-ipi-user", IRQ_S_SOFT, 2, 1);
    BREAK(S, ebreak);
    BREAK(U, ebreak);
    if (csr_read(stvec) & 1 && got.vec != 0)
        fail("exception came by vector %d", got.vec);
}

/* What does not depend on translation, in S-mode. */
static void common(void)
{
    ILLEGAL(S, zero); ILLEGAL(S, resv4); ILLEGAL(S, resv2); ILLEGAL(S, mcsr); ILLEGAL(S, nocsr);
    ILLEGAL(S, rocsr); ILLEGAL(S, mret); ILLEGAL(S, fadd); ILLEGAL(S, fld);
    BREAK(S, ebreak); BREAK(S, cebreak);
    ALL_MEM(S, "nowhere", NOWHERE, LOAD_AF, STORE_AF);
    misaligned();
}

void guest_main(void)
{
    extern char trap_entry[], vec_table[];
    u64 *root = root_new(), *page = page_new();

    trap_handler = on_trap;
    sbi_set_timer(-1ul);
    csr_clear(sstatus, SSTATUS_FS);

    say("MMU off\n");
    common();
    JUMP(S, jr, "nowhere", NOWHERE, FETCH_AF);
    JUMP(S, cjr, "nowhere", NOWHERE + 2, FETCH_AF);
    /* Untranslated, a pointer of 64 bits reaches far beyond what translation can. */
    ALL_MEM(S, "far", FAR, LOAD_AF, STORE_AF);
    ALL_MEM(S, "middle", MIDDLE, LOAD_AF, STORE_AF);
    ALL_MEM(S, "last", LAST, LOAD_AF, STORE_AF);
    JUMP(S, jr, "far", FAR, FETCH_AF);

    for (u64 i = 0; i < PAGE / 2; i++)
        ((u16 *)page)[i] = 0x8082; /* ret */
    fence_i();
    map(root, V_RW, (u64)page, PTE_RW);
    map(root, V_RO, (u64)page, PTE_V | PTE_R | PTE_A);
    map(root, V_XO, (u64)page, PTE_V | PTE_X | PTE_A);
    map(root, V_URW, (u64)page, PTE_RW | PTE_U);
    map(root, V_URX, (u64)page, PTE_RX | PTE_U);
    map(root, V_HOLE, NOWHERE, PTE_RWX);
    map(root, V_UHOLE, NOWHERE, PTE_RWX | PTE_U);
    map(root, V_WO, (u64)page, PTE_V | PTE_W | PTE_A | PTE_D);
    mmu_on(root);
    say("MMU on, S-mode\n");
    common();
    ALL_MEM(S, "hole", V_HOLE, LOAD_AF, STORE_AF);
    JUMP(S, jr, "hole", V_HOLE, FETCH_AF);
    ALL_MEM(S, "unmapped", V_NONE, LOAD_PF, STORE_PF);
    JUMP(S, jr, "unmapped", V_NONE, FETCH_PF);
    JUMP(S, cjr, "unmapped", V_NONE + 0xffe, FETCH_PF);
    ALL_MEM(S, "wild", V_WILD, LOAD_PF, STORE_PF);
    JUMP(S, jr, "wild", V_WILD, FETCH_PF);
    ALL_MEM(S, "wo", V_WO, LOAD_PF, STORE_PF);
    FINE(S, ld, "ro", V_RO);
    MEM(S, sd, "ro", V_RO, 0, STORE_PF, 0);
    MEM(S, csd, "ro", V_RO, 0, STORE_PF, 0);
    MEM(S, amo, "ro", V_RO, 0, STORE_PF, 0);
    MEM(S, ld, "xo", V_XO, 0, LOAD_PF, 0);
    MEM(S, cld, "xo", V_XO, 0, LOAD_PF, 0);
    csr_set(sstatus, SSTATUS_MXR);
    FINE(S, ld, "xo-mxr", V_XO);
    MEM(S, sd, "xo-mxr", V_XO, 0, STORE_PF, 0);
    csr_clear(sstatus, SSTATUS_MXR);
    MEM(S, ld, "xo", V_XO, 0, LOAD_PF, 0);
    FINE(S, jr, "xo", V_XO);
    JUMP(S, jr, "rw", V_RW, FETCH_PF);
    ALL_MEM(S, "upage", V_URW, LOAD_PF, STORE_PF);
    csr_set(sstatus, SSTATUS_SUM);
    FINE(S, ld, "upage-sum", V_URW);
    FINE(S, sd, "upage-sum", V_URW);
    JUMP(S, jr, "upage-sum", V_URX, FETCH_PF);
    csr_clear(sstatus, SSTATUS_SUM);
    MEM(S, ld, "upage", V_URW, 0, LOAD_PF, 0);
    JUMP(S, jr, "upage", V_URX, FETCH_PF);
#define PLACE(n, c, addr, steps) test("S-" #n, S, c_##n, f_##n, addr, c, 0, EXACT, addr, steps)
    PLACE(first, LOAD_PF, V_NONE, 0);
    PLACE(afterjump, STORE_PF, V_NONE, 1);
    PLACE(lastpg, LOAD_PF, V_NONE, 1);
    PLACE(clastpg, LOAD_PF, V_NONE, 1);
    PLACE(firstpg, LOAD_PF, V_NONE, 1);
    test("S-loop", S, c_loop, f_loop, V_RW, LOAD_PF, 0, EXACT, V_NONE, PAGE / 8 + 1);

    say("U-mode\n");
    test("U-ecall", U, c_ecall, f_ecall, 0, ECALL_U, 0, ZERO, 0, 1);
    ILLEGAL(U, zero); ILLEGAL(U, resv4); ILLEGAL(U, resv2); ILLEGAL(U, mcsr); ILLEGAL(U, rocsr);
    ILLEGAL(U, mret); ILLEGAL(U, sret); ILLEGAL(U, scsr); ILLEGAL(U, sfence); ILLEGAL(U, fadd);
    /* A U-mode wfi that really waits is ended by the timer, and fails. */
    csr_write(sie, 1 << IRQ_S_TIMER);
    sbi_set_timer(rdtime() + TIMEBASE / 20);
    ILLEGAL(U, wfi);
    sbi_set_timer(-1ul);
    csr_write(sie, 0);
    BREAK(U, ebreak); BREAK(U, cebreak);
    ALL_MEM(U, "hole", V_UHOLE, LOAD_AF, STORE_AF);
    JUMP(U, jr, "hole", V_UHOLE, FETCH_AF);
    ALL_MEM(U, "unmapped", V_UNONE, LOAD_PF, STORE_PF);
    JUMP(U, jr, "unmapped", V_UNONE, FETCH_PF);
    ALL_MEM(U, "spage", V_RW, LOAD_PF, STORE_PF);
    JUMP(U, jr, "spage", V_XO, FETCH_PF);
    MEM(U, sd, "ro", V_URX, 0, STORE_PF, 0);
    JUMP(U, cjr, "rw", V_URW, FETCH_PF);
    test("U-lastpg", U, c_lastpg, f_lastpg, V_NONE, LOAD_PF, 0, EXACT, V_NONE, 1);
    test("U-loop", U, c_loop, f_loop, V_URX, LOAD_PF, 0, EXACT, V_HOLE, PAGE / 8 + 1);

    interrupts("direct");
    csr_write(stvec, (u64)vec_table | 1);
    if (csr_read(stvec) != ((u64)vec_table | 1))
        fail("stvec has no vectored mode");
    interrupts("vectored");
    csr_write(stvec, trap_entry);
}
