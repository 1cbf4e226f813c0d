//! What a training prints: lines of a name and a value, for `run` to read.

use trine_core::Error;

use crate::output::Output;
use crate::stack::high_water_mark;
use crate::training::{Activations, Order, Params, tests};

/// Static memory by kind, and the stack.
pub fn memory(out: &mut Output, gradients: usize, state: usize) {
    let kinds = [
        ("weights", size_of::<Params>()),
        ("gradients", gradients),
        ("activations", size_of::<Activations>()),
        // Layers of a fixed shape need none.
        ("scratch", 0),
        ("optimizer", state),
        ("order", size_of::<Order>()),
    ];
    for (name, bytes) in kinds {
        out.text(name).number(bytes as u32, 7).text("\n");
    }
    out.text("stack").number(high_water_mark(), 7).text("\n");
}

/// Accuracy and hash, and the end.
pub fn outcome(out: &mut Output, right: Result<u32, Error>, hash: u64) -> ! {
    let Ok(right) = right else { out.text("refused\n").end(false) };
    out.text("accuracy").number(right, 5).text(" of").number(tests(), 4).text("\n");
    out.text("hash ").hash(hash).text("\n");
    out.end(true)
}
