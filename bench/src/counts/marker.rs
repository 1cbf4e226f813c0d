//! The one function in which callgrind counts, in a file of its own so that nothing is inlined with it.

use std::hint::black_box;

/// The name of [`counted_call`], as callgrind writes it.
pub const NAME: &str = concat!(module_path!(), "::counted_call");

/// Makes a call that is counted.
#[inline(never)]
pub fn counted_call(call: &mut dyn FnMut()) {
    call();
    // Keeps the call above from being the last thing, which would be a jump.
    black_box(());
}

/// So many instructions, and a few.
#[inline(never)]
pub fn idle(instructions: u64) {
    // Five a turn: an addition, a store and a load by the black box, a comparison, a jump.
    let mut turns = 0u64;
    while turns < instructions / 5 {
        turns = black_box(turns + 1);
    }
}
