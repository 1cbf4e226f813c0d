//! How deep the stack has been: cortex-m-rt paints it before anything runs.

/// What it is painted with.
const PAINT: u32 = 0xcccc_cccc;

unsafe extern "C" {
    /// The first word above the stack, and the lowest that it may reach: of the linker script.
    static _stack_start: u32;
    static _stack_end: u32;
}

/// Bytes between the top of the stack and the lowest word that is not as it was painted.
pub fn high_water_mark() -> u32 {
    let (top, bottom) = (&raw const _stack_start, &raw const _stack_end);
    let mut word = bottom;
    // SAFETY: all of it is RAM; nothing else reads or writes what is below this function's own part.
    while word < top && unsafe { word.read_volatile() } == PAINT {
        word = word.wrapping_add(1);
    }
    (top as u32).wrapping_sub(word as u32)
}
