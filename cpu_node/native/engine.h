/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The engine: what runs per block, per trap and per register access of the guest.
 *
 * Lives here: the shapes that the files of this folder and the architectures share.
 * docs/adr/0002 says why this is native; cpu_node/engine.py is its only user.
 */
#ifndef DEJAVM_ENGINE_H
#define DEJAVM_ENGINE_H

#define PY_SSIZE_T_CLEAN
#include <Python.h>
#include <stdbool.h>
#include <stdint.h>
#include <unicorn/unicorn.h>

#define NEVER UINT64_MAX
#define PAGE_SIZE 4096u
/* The translator never puts more instructions into one block (TCG_MAX_INSNS). */
#define MAX_BLOCK_INSNS 512u
#define MAX_BLOCK_BYTES (MAX_BLOCK_INSNS * 4u)
#define MAX_WINDOWS 64
#define MAX_REGISTERS 255
#define MAX_POSTED 4096
#define MAX_BREAKS 1024
#define MAX_WATCHES 64
#define FIFO_BYTES 65536u
/* Rows for translations; all translations are dropped before they run out. */
#define TRANSLATIONS (1u << 20)
/* Odd, so that no block ever contains it (a block that does is translated with an extra instruction). */
#define NO_UNTIL 1u

/* Why run() came back. */
enum stop_reason {
    STOP_NONE = 0,
    STOP_SYNC,     /* a sync point, and something is due there */
    STOP_IDLE,     /* the guest waits for an interrupt */
    STOP_FIRMWARE, /* the guest called the firmware */
    STOP_EXACT,    /* the instruction asked for is the next one */
    STOP_STUCK,    /* the guest's trap handler traps at its first instruction: it would for ever */
    STOP_BREAK,    /* the instruction at a breakpoint is the next one */
    STOP_WATCH,    /* the instruction before has reached watched memory */
    STOP_DEVICE,   /* a device has written to watched memory while it was asked */
    STOP_STEP,     /* a step has come to another instruction without retiring one */
    STOP_PLACE,    /* the instruction at `place`, where a debugger has once changed something, is the next one */
    STOP_ERROR,    /* a Python exception is set, or the engine cannot go on */
    STOP_FLUSH,    /* internal: all translations are to be dropped */
    STOP_STALE,    /* internal: those of code that has changed must be dropped */
    STOP_EMULATE,  /* internal: the block holds an instruction the engine gets wrong */
    STOP_FAULT,    /* internal: an access to nothing; the trap is entered outside the engine's loop */
    STOP_RESTART,  /* internal: a test wants a stop for nothing */
    STOP_PART,     /* internal: run part_from up to part_to first */
    STOP_TO_BREAK, /* internal: run part_from up to the breakpoint at part_to first */
    STOP_TRAPPED,  /* internal: a trap was entered while only part of a block was to run */
};

/* What is special about a block, found when it is translated. */
enum block_flag {
    BLOCK_FENCE_I = 1,   /* ends in an instruction that makes code writes visible */
    BLOCK_EMULATE = 2,   /* holds an instruction that must be emulated from the instruction counter */
    BLOCK_CLEARS = 4,    /* may clear a page-table entry's accessed or dirty bit */
    BLOCK_BREAK = 8,    /* holds a breakpoint's address */
    BLOCK_LEAVES = 16,  /* ends in another mode or address space: behind it its code may not be there to be read */
};

/* A block of guest code.  The hook that runs before each compares and copies everything but the pc at once. */
struct block {
    uint64_t pc;
    union {
        struct {
            uint32_t size; /* bytes; 0: not known */
            uint16_t insns;
            uint16_t flags;
        };
        uint64_t word;
    };
};

#define WORD_SIZE(word) ((uint32_t)(word))
#define WORD_INSNS(word) ((uint16_t)((word) >> 32))
#define WORD_FLAGS(word) ((uint16_t)((word) >> 48))

/* What the current block says about the start of the next. */
struct mark {
    bool fresh; /* it starts at a sync point by itself: trap entry, power-on */
    bool left;  /* this block was left in the middle: it says nothing */
    uint8_t reading; /* bytes of a register window that the access being done still reads */
};

struct engine;

/* One translation of a block: what the block hook gets when it runs.  Two fill a cache line. */
struct translation {
    _Alignas(32) struct engine *engine;
    struct block block;
};

struct translations {
    struct translation *rows; /* one behind the last stays empty, for all that come later */
    size_t used;
    struct translation **next; /* in the block hook: what the next translation hands over */
};

/* The bytes of every block translated since the last fence.i, to be compared with memory at the next. */
struct code_log {
    uint8_t *bytes; /* rows of {uint64_t offset in RAM, uint32_t size, size bytes} */
    size_t used, capacity;
};

enum { READ_CALL = 1, READ_SHADOW = 2, READ_FIFO = 3 };
enum { WRITE_CALL = 1, WRITE_POSTED = 2 };
enum { ACCESS_TELL = 0, ACCESS_WRITE = 1, ACCESS_READ = 2, ACCESS_POP = 3, ACCESS_RAISE = 4 };

struct reg {
    uint8_t read, write;
    uint16_t offset;
    uint64_t value, latch_mask, call_mask, fifo_mask, raise_mask;
};

struct access {
    uint8_t kind, size;
    uint32_t offset;
    uint64_t value;
};

/* One device's registers on the bus. */
struct window {
    struct engine *engine;
    int number;
    uint64_t base, size;
    uc_hook hook_access, hook_fetch;
    int registers;
    uint8_t index[PAGE_SIZE]; /* offset -> row in regs, 0 for none */
    struct reg regs[MAX_REGISTERS + 1];
    uint8_t *fifo;
    uint32_t fifo_head, fifo_used;
    struct access posted[MAX_POSTED];
    int posted_count;
    bool raised; /* the interrupt line, by a store the device has not been told of */
};

/* What has been met, and what a watchpoint minds.  HIT_ASKED: the device was being asked by the instruction. */
enum hit_kind { HIT_READ = 1, HIT_WRITE = 2, HIT_BREAK = 4, HIT_DEVICE = 8, HIT_ASKED = 16 };

struct watch {
    struct engine *engine;
    uint64_t first, last; /* physical addresses */
    unsigned kinds;
    uc_hook hook;
};

struct hit {
    unsigned kind; /* 0: none */
    uint64_t icount, pc; /* in front of the instruction */
    uint64_t address;
    uint32_t size;
    uint64_t from; /* the instructions from here to pc may still have to be counted */
};

/* Breakpoints, watchpoints, steps. */
struct points {
    uint64_t breaks[MAX_BREAKS]; /* virtual addresses */
    int break_count;
    struct watch watches[MAX_WATCHES];
    int watch_count;
    uc_hook each;
    bool passing; /* an access that has been met is being done */
    bool exact; /* the engine can be stopped in front of each instruction */
    bool met; /* a device has written to what is watched */
    bool stepping, noting; /* noting: what is met is written down, and the machine goes on */
    uint64_t here_icount, here_pc; /* where it was let go: nothing is met there */
    struct hit hit; /* the last one */
    bool open; /* it is not counted yet */
    struct hit crossing; /* an access to two pages that is still to be looked at; of no kind: there is none */
    uc_context *kept;
};

struct register_name {
    const char *name;
    int number;
};

/* What the engine must know of an instruction set; one row a guest architecture. */
struct arch {
    const char *name;
    uc_arch uc_arch;
    uc_mode uc_mode;
    int uc_cpu; /* its model */
    int reg_pc;
    /* Bytes of the instruction at p. */
    unsigned (*insn_size)(const uint8_t *p);
    /* Whether the instruction ends a block in every run, whatever the translator does. */
    bool (*ends_block)(const uint8_t *p);
    /* Whether the guest waits for an interrupt by it. */
    bool (*waits)(const uint8_t *p);
    /* block_flag bits of a block's bytes. */
    unsigned (*scan)(const uint8_t *p, uint32_t size);
    /* A BLOCK_CLEARS block has run: whether it can have cleared an accessed or dirty bit. */
    bool (*has_cleared)(struct engine *e, const uint8_t *p, uint32_t size);
    /* Whether this instruction is one of those BLOCK_EMULATE stands for. */
    bool (*must_emulate)(const uint8_t *p);
    /* Do what it does, from the instruction counter; false: the guest gets an illegal instruction. */
    bool (*emulate)(struct engine *e, uint64_t pc, const uint8_t *p);
    /* The virtual address that the instruction at pc, which is the next one, loads from or stores to. */
    uint64_t (*reaches)(struct engine *e, uint64_t pc);
    /* The engine reports an exception.  Enters the guest's handler, or sets e->stop. */
    void (*exception)(struct engine *e, uint32_t cause);
    /* The engine reports ebreak and its like. */
    bool (*invalid)(struct engine *e);
    /* Drop the translations of a guest physical range, and disturb nothing else. */
    void (*drop_code)(struct engine *e, uint64_t address, uint64_t size);
    /* Leave translated code if a stop has been requested; does not return then.  Translated code itself does not
     * look.  The pc stays as it was last written down: before a block hook, a hook on a register window or memory. */
    void (*leave)(struct engine *e);
    /* An access to nothing by the instruction at pc: enters the guest's handler. */
    void (*access_fault)(struct engine *e, uint64_t pc, bool write, bool fetch);
    int (*setup)(struct engine *e);
    void (*teardown)(struct engine *e);
    /* Registers' numbers, for Python; the last row has no name. */
    const struct register_name *registers;
};

/* Unicorn's engine as Python has it. */
struct core {
    PyObject_HEAD
    uc_engine *uc;
    const struct arch *arch;
};

struct engine {
    PyObject_HEAD
    struct core *core;
    uc_engine *uc; /* the core's */
    const struct arch *arch;
    void *arch_state;
    struct cover *cover; /* NULL: nobody wants to know what is executed */
    PyObject *on_access; /* on_access(window, kind, offset, size, value) -> int */

    uint64_t icount;      /* retired, the whole current block included while it runs */
    uint64_t check_at;    /* the block hook looks closer from this count on */
    uint64_t deadline;    /* stop at the first sync point from this count on */
    uint64_t target;      /* stop exactly here */
    uint64_t place;       /* the engine stands at the wanted count: stop where this address is next; NEVER: nowhere */
    uint64_t poll_at;     /* look at wake_fd then */
    uint64_t poll_every;
    uint64_t entered_at;  /* where run() was last entered; nobody's wish is served there */
    uint64_t posted_at;   /* gathered stores must be told from this count on */
    uint64_t posted_distance;
    uint64_t access_icount; /* instruction count of the register access being served */
    int wake_fd;
    bool woken;

    uint64_t idle_ns;
    unsigned shift;

    uint64_t pc_at_access;
    uint64_t part_from, part_to;
    struct mark mark;
    struct block block; /* the current one */
    enum stop_reason stop;
    bool fault_write, fault_fetch;
    bool broke;      /* the guest has executed a breakpoint instruction */
    bool partial;    /* only part of a block is being run */
    bool last;       /* the register access being served is the last thing that runs */
    uc_err error;
    uint32_t last_cause;
    uint64_t firmware_pc;

    /* Counters for tests, benchmarks and the curious. */
    uint64_t n_translated, n_fences, n_stops, n_traps, n_emulated, n_flushes, n_stale, n_clears, n_decoded, n_shadow, n_posted, n_called;
    /* For tests: no more rows than that. */
    uint64_t most_translations;
    /* Perturbations: once in so many instructions, where the next one of each is due, and the first of these. */
    uint64_t chaos_state, chaos_stop, chaos_tb, chaos_tlb;
    uint64_t chaos_stop_at, chaos_tb_at, chaos_tlb_at, chaos_at;

    uint8_t *ram;
    unsigned long long ram_base, ram_size;
    struct translations translations;
    struct code_log code;
    struct window *windows[MAX_WINDOWS];
    int window_count;
    struct points points;
};

/* core.c */
extern PyTypeObject core_type;
int core_add_registers(PyObject *module);

/* count.c */
int counting_setup(struct engine *e);
void counting_teardown(struct engine *e);

/* cover.c */
void cover_block(struct engine *e, uint64_t pc, uint32_t size);
PyObject *engine_cover(PyObject *self, PyObject *none);
PyObject *engine_covered(PyObject *self, PyObject *none);
void translations_forget(struct engine *e);
bool translations_are_many(const struct engine *e);
unsigned count_between(struct engine *e, uint64_t from, uint64_t to);
void on_block(uc_engine *uc, uint64_t pc, uint32_t size, void *user);
void on_translated(uc_engine *uc, uc_tb *cur, uc_tb *prev, void *user);

/* code.c */
bool read_code(struct engine *e, uint64_t pc, uint8_t *out, uint32_t size);
bool code_remember(struct engine *e, uint64_t pc, uint32_t size, uint8_t *out);
bool code_unchanged(struct engine *e);
void code_drop_stale(struct engine *e);
void code_forget(struct engine *e);

/* run.c */
void settle_left_block(struct engine *e, uint64_t pc);
bool slow_path(struct engine *e, uint64_t pc, uint32_t size);
void update_check(struct engine *e);
void request_stop(struct engine *e, enum stop_reason reason);
enum stop_reason engine_run(struct engine *e);

void drop_all_translations(struct engine *e);

/* watchpoints.c */
int watches_set(struct engine *e, PyObject *ranges, bool exact);
bool watches_settle(struct engine *e, bool *met);
void watches_close(struct engine *e);
bool watches_device_wrote(struct engine *e, uint64_t address, uint64_t size, bool in_access);

/* points.c */
bool points_touch(const struct engine *e, uint64_t pc, uint32_t size);
bool points_attentive(const struct engine *e);
bool points_stepped(struct engine *e, uint64_t pc);
bool points_placed(const struct engine *e, uint64_t pc);
bool points_due(struct engine *e, uint64_t pc, uint32_t size);
bool points_reached(struct engine *e, uint64_t pc);
void points_teardown(struct engine *e);
PyObject *points_set(struct engine *e, PyObject *args);
PyObject *points_begin(struct engine *e, PyObject *args);
PyObject *points_wrote(struct engine *e, PyObject *args);
PyObject *points_hit(struct engine *e, void *closure);
PyObject *points_keep(struct engine *e, PyObject *none);
PyObject *points_put_back(struct engine *e, PyObject *none);

/* bus.c */
int window_add(struct engine *e, uint64_t base, uint64_t size);
int window_set(struct window *w, const struct reg *row);
int window_push(struct window *w, const uint8_t *data, size_t size);
bool window_post(struct window *w, uint64_t offset, uint64_t value);
void window_free(struct window *w);
int hole_add(struct engine *e, uint64_t base, uint64_t size);
PyObject *window_posted(const struct window *w);
PyObject *window_take_posted(struct window *w);

/* engine.c */
struct window *window_at(struct engine *e, int number);

/* state.c */
PyObject *context_save(uc_engine *uc);
int context_restore(uc_engine *uc, const uint8_t *data, size_t size);
PyObject *engine_resume(struct engine *e, PyObject *icount);
PyObject *engine_restore_window(struct engine *e, PyObject *args);

/* watch.c */
PyObject *watch_writes(PyObject *module, PyObject *args);
PyObject *unwatch(PyObject *module, PyObject *none);
PyObject *take_written(PyObject *module, PyObject *none);
PyObject *set_guards(PyObject *module, PyObject *ranges);
PyObject *guards_touched(PyObject *module, PyObject *none);

/* arch/ */
extern const struct arch arch_riscv64;

static inline uint64_t engine_pc(struct engine *e)
{
    uint64_t pc = 0;
    uc_reg_read(e->uc, e->arch->reg_pc, &pc);
    return pc;
}

/* Instructions retired before the current block; only while it has not been left. */
static inline uint64_t block_start(const struct engine *e)
{
    return e->icount - e->block.insns;
}

/* Whether an address lies in the current block, which may end where addresses end. */
static inline bool in_block(const struct engine *e, uint64_t pc)
{
    return pc - e->block.pc < e->block.size;
}

static inline uint64_t virtual_ns(const struct engine *e, uint64_t icount)
{
    return (icount << e->shift) + e->idle_ns;
}

#endif
