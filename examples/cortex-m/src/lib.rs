//! What the firmware shares: output over semihosting, counts of instructions, the stack, the plain loops
//! that the library is measured against, and the training itself.
#![no_std]

pub mod counter;
#[path = "../naive/src/loops.rs"]
pub mod naive;
pub mod output;
pub mod report;
pub mod stack;
pub mod training;

use core::panic::PanicInfo;

unsafe extern "C" {
    /// Defined nowhere.
    fn this_firmware_can_panic() -> !;
}

/// Where a panic could be reached, linking fails: nothing defines the symbol.
#[panic_handler]
fn panic(_: &PanicInfo<'_>) -> ! {
    // SAFETY: never called: a program with a way here is not linked.
    unsafe { this_firmware_can_panic() }
}
