/* SPDX-License-Identifier: GPL-2.0-or-later */
/* RISC-V RV64GC for the engine: trap entry, counters, what ends a block.
 *
 * Sources: The RISC-V Instruction Set Manual, Volume I (20191213) chapters 10, 16 and 24 for
 * encodings, Volume II (20211203) chapters 3.1 and 4.1 for traps and CSRs.
 */
#include "../../native/engine.h"
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
enum { CSR_CYCLE = 0xc00, CSR_TIME = 0xc01, CSR_INSTRET = 0xc02 };

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

static uint32_t word_at(const uint8_t *p)
{
    return (uint32_t)p[0] | (uint32_t)p[1] << 8 | (uint32_t)p[2] << 16 | (uint32_t)p[3] << 24;
}

static uint16_t half_at(const uint8_t *p)
{
    return (uint16_t)(p[0] | p[1] << 8);
}

static unsigned insn_size(const uint8_t *p)
{
    return (p[0] & 3) == 3 ? 4 : 2;
}

/* Compressed: c.j, c.beqz, c.bnez; c.jr, c.jalr, c.ebreak. */
static bool compressed_ends_block(uint16_t i)
{
    unsigned quadrant = i & 3, funct3 = i >> 13;
    if (quadrant == 1)
        return funct3 == 5 || funct3 == 6 || funct3 == 7;
    return quadrant == 2 && funct3 == 4 && ((i >> 2) & 31) == 0;
}

static bool ends_block(const uint8_t *p)
{
    if (insn_size(p) == 2)
        return compressed_ends_block(half_at(p));
    switch (p[0] & 0x7f) {
    case 0x63: /* branch */
    case 0x67: /* jalr */
    case 0x6f: /* jal */
    case 0x73: /* system: ecall, sret, wfi, sfence.vma, CSR */
        return true;
    case 0x0f: /* fence.i, not fence */
        return ((word_at(p) >> 12) & 7) == 1;
    default:
        return false;
    }
}

/* rdcycle and rdinstret: the engine answers them from the host's time stamp counter. */
static bool must_emulate(const uint8_t *p)
{
    uint32_t i = word_at(p);
    unsigned csr = i >> 20, funct3 = (i >> 12) & 7;
    return (i & 0x7f) == 0x73 && (funct3 & 3) && (csr == CSR_CYCLE || csr == CSR_INSTRET);
}

/* amoand.d, in Linux test_and_clear_bit(): what takes the accessed (6) or dirty (7) bit out of a page-table
 * entry without a fence. */
#define ACCESSED_OR_DIRTY 0xc0

static bool is_amoand(uint32_t i)
{
    return (i & 0x7f) == 0x2f && ((i >> 12) & 7) == 3 && i >> 27 == 0x0c;
}

/* li rd, imm as addi rd, x0, imm: where the mask of an amoand comes from, if it is a constant. */
static bool is_load_immediate(uint32_t i)
{
    return (i & 0x7f) == 0x13 && ((i >> 12) & 7) == 0 && ((i >> 15) & 31) == 0;
}

static unsigned scan(const uint8_t *p, uint32_t size)
{
    unsigned flags = 0;
    for (uint32_t at = 0; at < size; at += insn_size(p + at)) {
        if (insn_size(p + at) == 2 || at + 4 > size)
            continue;
        uint32_t i = word_at(p + at);
        if (must_emulate(p + at))
            flags |= BLOCK_EMULATE;
        if ((i & 0x7f) == 0x0f && ((i >> 12) & 7) == 1)
            flags |= BLOCK_FENCE_I;
        if (is_amoand(i))
            flags |= BLOCK_CLEARS;
    }
    return flags;
}

static uint64_t get(struct engine *e, int reg)
{
    uint64_t value = 0;
    uc_reg_read(e->uc, reg, &value);
    return value;
}

static uint32_t compressed_writes(uint16_t i)
{
    unsigned funct3 = i >> 13;
    uint32_t rd = 1u << ((i >> 7) & 31), low = 1u << (8 + ((i >> 2) & 7)), high = 1u << (8 + ((i >> 7) & 7));
    switch (i & 3) {
    case 0: /* c.addi4spn, loads; then stores */
        return funct3 < 4 ? low : 0;
    case 1: /* arithmetic; c.j and branches */
        return funct3 < 4 ? rd : funct3 == 4 ? high : 0;
    default: /* c.slli, loads; c.mv, c.add, c.jalr; stores */
        return funct3 < 4 ? rd : funct3 == 4 ? rd | 2 : 0;
    }
}

/* General registers an instruction may write, floating-point ones counted with them. */
static uint32_t written_by(const uint8_t *p)
{
    if (insn_size(p) == 2)
        return compressed_writes(half_at(p));
    uint32_t i = word_at(p);
    switch (i & 0x7f) {
    case 0x23: /* store */
    case 0x27:
    case 0x63: /* branch */
    case 0x0f: /* fence */
        return 0;
    default:
        return 1u << ((i >> 7) & 31);
    }
}

/* What is known of one amoand after its block has run. */
struct clearing {
    uint32_t insn;
    uint32_t written_since; /* registers, by what follows it */
    bool constant;
    int64_t mask;
};

static bool reads_word(struct engine *e, uint64_t address, uint64_t *word)
{
    return uc_vmem_read(e->uc, address, UC_PROT_READ, word, sizeof *word) == UC_ERR_OK;
}

/* Whether it can have taken the bits out.  Its mask tells, if it was a constant or is still in its register;
 * else the old value in rd and the new one in memory, if rd and the address are still there. */
static bool can_have_cleared(struct engine *e, const struct clearing *c)
{
    unsigned rd = (c->insn >> 7) & 31, address = (c->insn >> 15) & 31, mask = (c->insn >> 20) & 31;
    uint32_t later = c->written_since, own = rd ? 1u << rd : 0;
    uint64_t now;
    if (c->constant)
        return ~(uint64_t)c->mask & ACCESSED_OR_DIRTY;
    if (!((later | own) >> mask & 1))
        return ~get(e, UC_RISCV_REG_X0 + (int)mask) & ACCESSED_OR_DIRTY;
    if (rd && rd != address && !(later >> rd & 1) && !(later >> address & 1) &&
        reads_word(e, get(e, UC_RISCV_REG_X0 + (int)address), &now))
        return get(e, UC_RISCV_REG_X0 + (int)rd) & ~now & ACCESSED_OR_DIRTY;
    return true;
}

static bool has_cleared(struct engine *e, const uint8_t *p, uint32_t size)
{
    uint32_t constants = 0;
    int64_t constant[32] = {0};
    for (uint32_t at = 0; at < size; at += insn_size(p + at)) {
        uint32_t i = insn_size(p + at) == 4 ? word_at(p + at) : 0;
        if (i && is_amoand(i)) {
            unsigned source = (i >> 20) & 31;
            struct clearing c = {i, 0, constants >> source & 1, constant[source]};
            for (uint32_t later = at + 4; later < size; later += insn_size(p + later))
                c.written_since |= written_by(p + later);
            if (can_have_cleared(e, &c))
                return true;
        }
        constants &= ~written_by(p + at);
        if (i && is_load_immediate(i)) {
            constants |= 1u << ((i >> 7) & 31);
            constant[(i >> 7) & 31] = (int32_t)i >> 20;
        }
    }
    return false;
}

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
    uint64_t privilege = get(e, UC_RISCV_REG_PRIV);
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
    e->fresh = true;
    e->left = true;
    e->block_flags = 0;
    e->n_traps++;
    if (e->partial)
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
        e->fresh = false;
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
        e->fresh = true;
        e->left = true;
        e->block_flags = 0;
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

static int64_t sign_extend(uint32_t value, unsigned bits)
{
    return (int64_t)((uint64_t)value << (64 - bits)) >> (64 - bits);
}

/* The address a load, store or atomic at pc refers to. */
static uint64_t effective_address(struct engine *e, uint32_t i)
{
    unsigned base = (i >> 15) & 31;
    int64_t offset = 0;
    if ((i & 3) != 3) {
        unsigned quadrant = i & 3, funct3 = i >> 13;
        bool eight = funct3 == 1 || funct3 == 3 || funct3 == 5 || funct3 == 7;
        if (quadrant == 0) {
            base = 8 + ((i >> 7) & 7);
            offset = (i >> 10 & 7) << 3;
            offset |= eight ? (i >> 5 & 3) << 6 : ((i >> 6 & 1) << 2 | (i >> 5 & 1) << 6);
        } else {
            base = 2;
            if (funct3 < 4) /* loads from the stack */
                offset = (i >> 12 & 1) << 5 | (eight ? ((i >> 5 & 3) << 3 | (i >> 2 & 7) << 6)
                                                     : ((i >> 4 & 7) << 2 | (i >> 2 & 3) << 6));
            else
                offset = eight ? ((i >> 10 & 7) << 3 | (i >> 7 & 7) << 6)
                               : ((i >> 9 & 15) << 2 | (i >> 7 & 3) << 6);
        }
    } else if ((i & 0x7f) == 0x03 || (i & 0x7f) == 0x07) {
        offset = sign_extend(i >> 20, 12);
    } else if ((i & 0x7f) == 0x23 || (i & 0x7f) == 0x27) {
        offset = sign_extend((i >> 25) << 5 | (i >> 7 & 31), 12);
    }
    return (base ? get(e, UC_RISCV_REG_X0 + (int)base) : 0) + (uint64_t)offset;
}

static void access_fault(struct engine *e, uint64_t pc, bool write, bool fetching)
{
    if (fetching) {
        enter_trap(e, CAUSE_FETCH_ACCESS, pc, pc);
        return;
    }
    uint32_t i = fetch(e, pc);
    bool atomic = (i & 0x7f) == 0x2f && (i >> 27) != 2; /* all but lr report as a store */
    enter_trap(e, write || atomic ? CAUSE_STORE_ACCESS : CAUSE_LOAD_ACCESS, pc, effective_address(e, i));
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

const struct arch arch_riscv64 = {
    .name = "riscv64",
    .reg_pc = UC_RISCV_REG_PC,
    .insn_size = insn_size,
    .ends_block = ends_block,
    .scan = scan,
    .has_cleared = has_cleared,
    .must_emulate = must_emulate,
    .emulate = emulate,
    .exception = exception,
    .invalid = invalid,
    .access_fault = access_fault,
    .setup = setup,
    .teardown = teardown,
};
