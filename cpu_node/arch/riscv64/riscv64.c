/* SPDX-License-Identifier: GPL-2.0-or-later */
/* RISC-V RV64GC for the engine: trap entry, counters, what ends a block.
 *
 * Sources: The RISC-V Instruction Set Manual, Volume I (20191213) chapters 10, 16 and 24 for
 * encodings, Volume II (20211203) chapters 3.1 and 4.1 for traps and CSRs.
 */
#include "riscv64.h"
#include <stdlib.h>
#include <string.h>

enum {
    CAUSE_FETCH_ACCESS = 1,
    CAUSE_ILLEGAL = 2,
    CAUSE_BREAKPOINT = 3,
    CAUSE_LOAD_ACCESS = 5,
    CAUSE_STORE_ACCESS = 7,
    CAUSE_ECALL_U = 8,
    CAUSE_FETCH_PAGE = 12,
    CAUSE_LOAD_PAGE = 13,
    CAUSE_STORE_PAGE = 15,
};
enum { PRIV_U = 0, PRIV_S = 1, PRIV_M = 3 };

#define SSTATUS_SIE (1ull << 1)
#define SSTATUS_SPIE (1ull << 5)
#define SSTATUS_SPP (1ull << 8)
#define TIMEBASE_NS 100u /* 10 MHz, as on QEMU's virt board */
/* Where the engine keeps the faulting address, from the first general register on: it has no
 * register number (measured on Unicorn 2.1.4; setup() finds the first general register). */
#define BADADDR_FROM_GPR 544
#define MAGIC 0x5a17c0de1badb0b1ull

struct state {
    uc_context *context;
    uint8_t *bytes;
    size_t badaddr_at;
    uc_hook hooks[4];
};

static void put(struct engine *e, int reg, uint64_t value)
{
    uc_reg_write(e->uc, reg, &value);
}

/* Write the pc from inside a hook.  uc_reg_write would do, but it makes the engine leave its loop, and
 * from then on hooks on register windows see the pc of their block's start (measured on Unicorn 2.1.4). */
static void put_pc(struct engine *e, uint64_t pc)
{
    struct state *s = e->arch_state;
    uc_context_save(e->uc, s->context);
    uc_context_reg_write(s->context, UC_RISCV_REG_PC, &pc);
    uc_context_restore(e->uc, s->context);
}

/* Enter the supervisor's handler (Volume II, 4.1.1 and 3.1.6.1). */
static void enter_trap(struct engine *e, uint64_t cause, uint64_t pc, uint64_t value)
{
    watches_close(e);
    uint64_t privilege = get(e, UC_RISCV_REG_PRIV);
    e->last_cause = (uint32_t)cause;
    put(e, UC_RISCV_REG_PRIV, PRIV_M); /* CSRs are checked against the current privilege */
    uint64_t status = get(e, UC_RISCV_REG_SSTATUS);
    uint64_t entered = status & ~(SSTATUS_SPIE | SSTATUS_SPP | SSTATUS_SIE);
    if (status & SSTATUS_SIE)
        entered |= SSTATUS_SPIE;
    if (privilege == PRIV_S)
        entered |= SSTATUS_SPP;
    put(e, UC_RISCV_REG_SSTATUS, entered);
    put(e, UC_RISCV_REG_SCAUSE, cause);
    put(e, UC_RISCV_REG_SEPC, pc);
    put(e, UC_RISCV_REG_STVAL, value);
    uint64_t vector = get(e, UC_RISCV_REG_STVEC) & ~3ull;
    put(e, UC_RISCV_REG_PRIV, PRIV_S);
    put_pc(e, vector);
    e->mark.fresh = true;
    e->mark.left = true;
    e->block.flags = 0;
    e->n_traps++;
    if (privilege == PRIV_S && pc == vector)
        request_stop(e, STOP_STUCK); /* nothing that it depends on will change */
    else if (e->partial)
        request_stop(e, STOP_TRAPPED);
}

static uint64_t faulting_address(struct engine *e)
{
    struct state *s = e->arch_state;
    uint64_t address;
    if (uc_context_save(e->uc, s->context) != UC_ERR_OK)
        return 0;
    memcpy(&address, (uint8_t *)s->context + s->badaddr_at, sizeof address);
    return address;
}

/* Read the instruction at pc; fewer bytes than four where the next page is not there. */
static uint32_t fetch(struct engine *e, uint64_t pc)
{
    uint8_t code[4] = {0};
    if ((pc & (PAGE_SIZE - 1)) <= PAGE_SIZE - 4 && read_code(e, pc, code, 4))
        return insn_size(code) == 4 ? word_at(code) : half_at(code);
    if (!read_code(e, pc, code, 2))
        return 0;
    if (insn_size(code) == 4 && !read_code(e, pc + 2, code + 2, 2))
        return 0;
    return insn_size(code) == 4 ? word_at(code) : half_at(code);
}

/* csrr rd, cycle/time/instret, from the instruction counter.  Writing forms are illegal: the
 * registers are read-only.  scounteren says whether user mode may (Volume II, 4.1.5). */
static bool emulate(struct engine *e, uint64_t pc, const uint8_t *p)
{
    uint32_t i = word_at(p);
    unsigned csr = i >> 20, funct3 = (i >> 12) & 7, source = (i >> 15) & 31, rd = (i >> 7) & 31;
    bool reads_only = (funct3 & 3) >= 2 && source == 0;
    bool allowed = reads_only;
    if (get(e, UC_RISCV_REG_PRIV) == PRIV_U) {
        put(e, UC_RISCV_REG_PRIV, PRIV_M);
        allowed = allowed && (get(e, UC_RISCV_REG_SCOUNTEREN) >> (csr & 31) & 1);
        put(e, UC_RISCV_REG_PRIV, PRIV_U);
    }
    if (!allowed) {
        enter_trap(e, CAUSE_ILLEGAL, pc, i);
        return false;
    }
    uint64_t value = csr == CSR_TIME ? virtual_ns(e, e->icount) / TIMEBASE_NS : e->icount;
    if (rd)
        put(e, UC_RISCV_REG_X0 + (int)rd, value);
    return true;
}

/* An illegal instruction may be a read of the time counter, which the engine does not have. */
static void illegal(struct engine *e, uint64_t pc)
{
    uint32_t i = fetch(e, pc);
    uint8_t code[4];
    memcpy(code, &i, 4);
    if ((i & 0x7f) == 0x73 && (i >> 12 & 3) && (i >> 20) == CSR_TIME) {
        if (!emulate(e, pc, code))
            return;
        put_pc(e, pc + 4);
        e->icount++;
        e->n_emulated++;
        e->mark.fresh = false;
        if (e->partial)
            request_stop(e, STOP_TRAPPED);
        return;
    }
    enter_trap(e, CAUSE_ILLEGAL, pc, i);
}

/* An atomic other than lr that may not read reports as a store (Volume II, 3.1.15); the engine says load. */
static uint64_t data_fault_cause(struct engine *e, uint32_t cause, uint64_t pc)
{
    if (cause != CAUSE_LOAD_PAGE && cause != CAUSE_LOAD_ACCESS)
        return cause;
    uint32_t i = fetch(e, pc);
    return (i & 0x7f) == 0x2f && (i >> 27) != 2 ? cause + 2 : cause;
}

/* The engine translates a block whole: where its last instruction reaches into a page that cannot be
 * fetched, it faults before the first one.  The ones in front are run on their own first. */
static bool faults_too_early(struct engine *e, uint64_t pc, uint64_t address)
{
    uint64_t crossing = pc;
    uint8_t code[2];
    if (address / PAGE_SIZE == pc / PAGE_SIZE)
        return false;
    while (crossing / PAGE_SIZE == pc / PAGE_SIZE && read_code(e, crossing, code, 2)) {
        uint64_t next = crossing + insn_size(code);
        if (next > (address & ~(uint64_t)(PAGE_SIZE - 1)))
            break;
        crossing = next;
    }
    if (crossing == pc)
        return false;
    e->part_from = pc;
    e->part_to = crossing;
    request_stop(e, STOP_PART);
    return true;
}

static void fetch_fault(struct engine *e, uint32_t cause, uint64_t pc)
{
    uint64_t address = faulting_address(e);
    if (!e->partial && faults_too_early(e, pc, address))
        return;
    enter_trap(e, cause, pc, address);
}

static void exception(struct engine *e, uint32_t cause)
{
    uint64_t pc = get(e, UC_RISCV_REG_PC) - 4; /* the engine has added four, to compressed ones too */
    e->last_cause = cause;
    if (cause == CAUSE_FETCH_ACCESS || cause == CAUSE_FETCH_PAGE) {
        fetch_fault(e, cause, pc);
        return;
    }
    settle_left_block(e, pc);
    switch (cause) {
    case CAUSE_ILLEGAL:
        illegal(e, pc);
        return;
    case CAUSE_ECALL_U: /* from every mode */
        if (get(e, UC_RISCV_REG_PRIV) == PRIV_U) {
            enter_trap(e, CAUSE_ECALL_U, pc, 0);
            return;
        }
        e->firmware_pc = pc;
        e->mark.fresh = true;
        e->mark.left = true;
        e->block.flags = 0;
        request_stop(e, STOP_FIRMWARE);
        return;
    default:
        enter_trap(e, data_fault_cause(e, cause, pc), pc, faulting_address(e));
    }
}

static bool invalid(struct engine *e)
{
    uint64_t pc = get(e, UC_RISCV_REG_PC);
    settle_left_block(e, pc);
    e->broke = true;
    enter_trap(e, CAUSE_BREAKPOINT, pc, pc);
    return true;
}

static uint64_t reaches(struct engine *e, uint64_t pc)
{
    return riscv_effective_address(e, fetch(e, pc));
}

static void access_fault(struct engine *e, uint64_t pc, bool write, bool fetching)
{
    if (fetching) {
        enter_trap(e, CAUSE_FETCH_ACCESS, pc, pc);
        return;
    }
    uint32_t i = fetch(e, pc);
    bool atomic = (i & 0x7f) == 0x2f && (i >> 27) != 2; /* all but lr report as a store */
    enter_trap(e, write || atomic ? CAUSE_STORE_ACCESS : CAUSE_LOAD_ACCESS, pc, riscv_effective_address(e, i));
}

/* The engine takes addresses as the CPU sees them; in machine mode those are physical.  A change of privilege clears a
 * load reservation, so everything is put back. */
static void drop_code(struct engine *e, uint64_t address, uint64_t size)
{
    struct state *s = e->arch_state;
    uc_context_save(e->uc, s->context);
    put(e, UC_RISCV_REG_PRIV, PRIV_M);
    uc_ctl_remove_cache(e->uc, address, address + size);
    uc_context_restore(e->uc, s->context);
}

/* Unicorn's own, exported: what its translated code would call all the time (exits.c). */
void helper_check_exit_request_riscv64(uc_engine *uc, uint32_t never);

static void leave(struct engine *e)
{
    helper_check_exit_request_riscv64(e->uc, 0);
}

static void on_interrupt(uc_engine *uc, uint32_t cause, void *user)
{
    (void)uc;
    exception(user, cause);
}

static bool on_invalid(uc_engine *uc, void *user)
{
    (void)uc;
    return invalid(user);
}

static void teardown(struct engine *e)
{
    struct state *s = e->arch_state;
    if (s) {
        uc_context_free(s->context);
        free(s);
    }
    e->arch_state = NULL;
}

static int setup(struct engine *e)
{
    struct state *s = calloc(1, sizeof *s);
    if (!s || uc_context_alloc(e->uc, &s->context) != UC_ERR_OK)
        return -1;
    e->arch_state = s;
    uint64_t old = get(e, UC_RISCV_REG_X1), magic = MAGIC;
    put(e, UC_RISCV_REG_X1, magic);
    uc_context_save(e->uc, s->context);
    put(e, UC_RISCV_REG_X1, old);
    size_t size = uc_context_size(e->uc);
    uint8_t *found = memmem(s->context, size, &magic, sizeof magic);
    if (!found)
        return -1;
    s->badaddr_at = (size_t)(found - (uint8_t *)s->context) - 8 + BADADDR_FROM_GPR;
    if (s->badaddr_at + 8 > size)
        return -1;
    if (uc_hook_add(e->uc, &s->hooks[0], UC_HOOK_INTR, (void *)on_interrupt, e, 1, 0) != UC_ERR_OK)
        return -1;
    if (uc_hook_add(e->uc, &s->hooks[1], UC_HOOK_INSN_INVALID, (void *)on_invalid, e, 1, 0) != UC_ERR_OK)
        return -1;
    return 0;
}

#define NAMED(name) {"UC_RISCV_REG_" #name, UC_RISCV_REG_##name}
/* Those that Python uses; x and f registers have numbers in a row. */
static const struct register_name REGISTERS[] = {
    NAMED(X1),
    NAMED(X10),
    NAMED(X11),
    NAMED(X15),
    NAMED(X16),
    NAMED(X17),
    NAMED(X31),
    NAMED(F0),
    NAMED(F31),
    NAMED(FCSR),
    NAMED(PC),
    NAMED(PRIV),
    NAMED(MSTATUS),
    NAMED(MEDELEG),
    NAMED(MIDELEG),
    NAMED(MIE),
    NAMED(MIP),
    NAMED(MCOUNTEREN),
    NAMED(STVEC),
    NAMED(SCOUNTEREN),
    NAMED(SSCRATCH),
    NAMED(SEPC),
    NAMED(SCAUSE),
    NAMED(STVAL),
    NAMED(SATP),
    {NULL, 0},
};

const struct arch arch_riscv64 = {
    .name = "riscv64",
    .uc_arch = UC_ARCH_RISCV,
    .uc_mode = UC_MODE_RISCV64,
    .uc_cpu = UC_CPU_RISCV64_SIFIVE_U54, /* the `any` model has no supervisor mode */
    .registers = REGISTERS,
    .reg_pc = UC_RISCV_REG_PC,
    .insn_size = insn_size,
    .ends_block = riscv_ends_block,
    .waits = riscv_waits,
    .scan = riscv_scan,
    .has_cleared = riscv_has_cleared,
    .must_emulate = riscv_must_emulate,
    .emulate = emulate,
    .reaches = reaches,
    .exception = exception,
    .invalid = invalid,
    .drop_code = drop_code,
    .leave = leave,
    .access_fault = access_fault,
    .setup = setup,
    .teardown = teardown,
};
