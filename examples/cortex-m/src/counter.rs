//! Instructions, counted by the emulator: with `-icount shift=6` its clock goes on by 64 ns for each, and
//! the timer of the core counts 40 ns. So five eighths of the timer's ticks are instructions, exactly.

use cortex_m::Peripherals;
use cortex_m::peripheral::SYST;
use cortex_m::peripheral::syst::SystClkSource;

/// The timer has 24 bits.
const WRAP: u32 = 1 << 24;

/// A count of instructions.
#[derive(Debug)]
pub struct Counter {
    /// Of a measurement of nothing.
    empty: u32,
}

impl Counter {
    /// Starts the timer; `None` if somebody else has it, or if it does not count instructions.
    pub fn new() -> Option<Self> {
        let mut timer = Peripherals::take()?.SYST;
        timer.set_clock_source(SystClkSource::Core);
        timer.set_reload(WRAP - 1);
        timer.clear_current();
        timer.enable_counter();
        let mut counter = Counter { empty: 0 };
        // The timer takes up its range with the first tick.
        turns(10);
        counter.empty = counter.of(|| {});
        let known = counter.of(|| turns(1000));
        (known.abs_diff(2001) <= 2).then_some(counter)
    }

    /// Of `work`: up to ten million.
    #[inline(never)]
    pub fn of(&self, work: impl FnOnce()) -> u32 {
        let start = SYST::get_current();
        work();
        let ticks = start.wrapping_sub(SYST::get_current()) % WRAP;
        (ticks * 5 / 8).saturating_sub(self.empty)
    }
}

/// Two instructions each, and one before.
#[inline(always)]
fn turns(turns: u32) {
    // SAFETY: changes one register, which is named.
    unsafe {
        core::arch::asm!("2:", "subs {n}, {n}, #1", "bne 2b", n = inout(reg) turns => _, options(nomem, nostack));
    }
}
