/* Purpose: the small runtime shared by all test guests. */
/* SPDX-License-Identifier: GPL-2.0-or-later */
#ifndef RT_H
#define RT_H

typedef unsigned char u8;
typedef unsigned short u16;
typedef unsigned int u32;
typedef unsigned long u64;

#define csr_read(r) ({ u64 v_; asm volatile("csrr %0, " #r : "=r"(v_) :: "memory"); v_; })
#define csr_write(r, v) asm volatile("csrw " #r ", %0" :: "r"((u64)(v)) : "memory")
#define csr_set(r, v) asm volatile("csrs " #r ", %0" :: "r"((u64)(v)) : "memory")
#define csr_clear(r, v) asm volatile("csrc " #r ", %0" :: "r"((u64)(v)) : "memory")
#define wfi() asm volatile("wfi" ::: "memory")
#define fence_i() asm volatile("fence.i" ::: "memory")
#define sfence_vma() asm volatile("sfence.vma" ::: "memory")
#define rdtime() csr_read(time)

#define SSTATUS_SIE (1ul << 1)
#define SSTATUS_SPIE (1ul << 5)
#define SSTATUS_SPP (1ul << 8)
#define SSTATUS_FS (3ul << 13)
#define SSTATUS_SUM (1ul << 18)
#define SSTATUS_MXR (1ul << 19)
#define IRQ_S_SOFT 1
#define IRQ_S_TIMER 5
#define IRQ_S_EXT 9
#define INTR (1ul << 63) /* scause of an interrupt */

/* Registers at a trap; the handler may change them before it returns. */
struct frame {
    u64 x[32]; /* x[0] unused */
    u64 sepc, sstatus, scause, stval;
};
typedef void trap_fn(struct frame *);
extern trap_fn *trap_handler; /* at start: prints the trap and fails */

/* Written by each guest.  Returning from it means PASS. */
void guest_main(void);
extern const void *rt_fdt;
extern u64 rt_hart;

/* Console.  say() knows %d and %x (both u64), %s and %c. */
void say(const char *fmt, ...);
void uart_putc(int c);
#define UART 0x10000000ul
#define UART_IRQ 10
void pass(void) __attribute__((noreturn));
void fail(const char *fmt, ...) __attribute__((noreturn));

static inline u8 read8(u64 a) { return *(volatile u8 *)a; }
static inline u32 read32(u64 a) { return *(volatile u32 *)a; }
static inline u64 read64(u64 a) { return *(volatile u64 *)a; }
static inline void write8(u64 a, u8 v) { *(volatile u8 *)a = v; }
static inline void write16(u64 a, u16 v) { *(volatile u16 *)a = v; }
static inline void write32(u64 a, u32 v) { *(volatile u32 *)a = v; }
static inline void write64(u64 a, u64 v) { *(volatile u64 *)a = v; }

/* Firmware; the value is the SBI error code. */
long sbi(u64 ext, u64 fid, u64 a0, u64 a1, u64 a2);
#define sbi_set_timer(t) sbi(0x54494d45, 0, t, 0, 0)
#define sbi_send_ipi(mask, base) sbi(0x735049, 0, mask, base, 0)
#define TIMEBASE 10000000ul /* ticks per second */

/* First device tree node with this compatible string. */
struct dtnode {
    u64 base;
    u32 irq;           /* 0: it has none */
    const u32 *ie;     /* interrupts-extended, big endian */
    u32 ie_cells;
};
int fdt_find(const char *compatible, struct dtnode *out);

void plic_enable(u32 irq); /* and set sie.SEIE */
u32 plic_claim(void);
void plic_complete(u32 irq);

/* U-mode, see rt.S. */
u64 user_run(u64 pc, u64 sp, u64 a0, u64 a1);
void user_leave(struct frame *f, u64 value);

/* sv39.  Page tables and pages come from a pool which is never freed. */
#define PAGE 4096ul
#define PTE_V 1ul
#define PTE_R 2ul
#define PTE_W 4ul
#define PTE_X 8ul
#define PTE_U 16ul
#define PTE_A 64ul
#define PTE_D 128ul
#define PTE_RW (PTE_V | PTE_R | PTE_W | PTE_A | PTE_D)
#define PTE_RX (PTE_V | PTE_R | PTE_X | PTE_A)
#define PTE_RWX (PTE_RW | PTE_X)
#define PTE_OF(pa, flags) (((u64)(pa) >> 12) << 10 | (flags))
#define SATP_OF(root, asid) (8ul << 60 | (u64)(asid) << 44 | (u64)(root) >> 12)
/* All RAM is seen a second time, for U-mode, this much higher. */
#define USER_OFF 0x1000000000ul
#define USER_VA(p) ((u64)(p) + USER_OFF)
void *page_new(void);
u64 *root_new(void); /* devices and RAM mapped 1:1 for S, RAM at USER_OFF for U */
u64 *pte_at(u64 *root, u64 va);
void map(u64 *root, u64 va, u64 pa, u64 flags);
void mmu_on(u64 *root);
void mmu_off(void);

u64 lcg(u64 *state); /* 31 random bits */

#endif
