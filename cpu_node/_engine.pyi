from collections.abc import Callable

STOP_SYNC: int
STOP_IDLE: int
STOP_FIRMWARE: int
STOP_EXACT: int
STOP_STUCK: int

UC_RISCV_REG_X1: int
UC_RISCV_REG_X10: int
UC_RISCV_REG_X11: int
UC_RISCV_REG_X15: int
UC_RISCV_REG_X16: int
UC_RISCV_REG_X17: int
UC_RISCV_REG_X31: int
UC_RISCV_REG_F0: int
UC_RISCV_REG_F31: int
UC_RISCV_REG_FCSR: int
UC_RISCV_REG_PC: int
UC_RISCV_REG_PRIV: int
UC_RISCV_REG_MSTATUS: int
UC_RISCV_REG_MEDELEG: int
UC_RISCV_REG_MIDELEG: int
UC_RISCV_REG_MIE: int
UC_RISCV_REG_MIP: int
UC_RISCV_REG_MCOUNTEREN: int
UC_RISCV_REG_STVEC: int
UC_RISCV_REG_SCOUNTEREN: int
UC_RISCV_REG_SSCRATCH: int
UC_RISCV_REG_SEPC: int
UC_RISCV_REG_SCAUSE: int
UC_RISCV_REG_STVAL: int
UC_RISCV_REG_SATP: int

class Core:
    def __init__(self, arch: str, translation_bytes: int) -> None: ...
    @property
    def handle(self) -> int: ...
    def map_memory(self, address: int, size: int, host_address: int, /) -> None: ...
    def remove_cache(self, address: int, end: int, /) -> None: ...
    def reg_read(self, number: int, /) -> int: ...
    def reg_write(self, number: int, value: int, /) -> None: ...
    def save(self) -> bytes: ...
    def restore(self, state: bytes, /) -> None: ...

class Engine:
    icount: int
    deadline: int
    target: int
    posted_at: int
    idle_ns: int
    wake_fd: int
    woken: bool
    most_translations: int
    chaos_state: int
    chaos_stop: int
    chaos_tb: int
    chaos_tlb: int
    @property
    def access_icount(self) -> int: ...
    @property
    def last_cause(self) -> int: ...
    @property
    def n_translated(self) -> int: ...
    @property
    def n_fences(self) -> int: ...
    @property
    def n_stops(self) -> int: ...
    @property
    def n_traps(self) -> int: ...
    @property
    def n_emulated(self) -> int: ...
    @property
    def n_flushes(self) -> int: ...
    @property
    def n_clears(self) -> int: ...
    @property
    def n_decoded(self) -> int: ...
    @property
    def n_shadow(self) -> int: ...
    @property
    def n_posted(self) -> int: ...
    @property
    def n_called(self) -> int: ...
    def __init__(
        self,
        core: Core,
        on_access: Callable[[int, int, int, int, int], int],
        shift: int,
        posted_distance: int,
        poll_every: int,
        ram: int,
        ram_base: int,
        ram_size: int,
    ) -> None: ...
    def run(self) -> int: ...
    def request_sync(self) -> None: ...
    def stop_now(self) -> None: ...
    def drop_code(self) -> None: ...
    def flush_tlb(self) -> None: ...
    def after_firmware(self) -> None: ...
    def add_window(self, base: int, size: int) -> int: ...
    def add_hole(self, base: int, size: int) -> None: ...
    def set_register(
        self,
        window: int,
        offset: int,
        read: int,
        write: int,
        value: int,
        latch_mask: int,
        call_mask: int,
        fifo_mask: int,
        raise_mask: int,
        /,
    ) -> None: ...
    def push_fifo(self, window: int, data: bytes, /) -> None: ...
    def post(self, window: int, offset: int, byte: int, /) -> bool: ...
    def take_posted(self, window: int, /) -> list[tuple[int, int, int, int, bytes]]: ...
    def window_state(
        self, window: int, /
    ) -> tuple[
        list[tuple[int, int, int, int, int, int, int, int]], bytes, list[tuple[int, int, int, int, bytes]], bool
    ]: ...
    def resume(self, icount: int, /) -> None: ...
    def restore_window(
        self, window: int, queue: bytes, gathered: list[tuple[int, int, int, int, bytes]], raised: bool, /
    ) -> None: ...

def watch_writes(address: int, size: int, granule: int, /) -> None: ...
def take_written() -> list[int]: ...
