//! The backward sweep, and the same with a step.
#![no_main]

use libfuzzer_sys::fuzz_target;
use trine_fuzz::call_from_bytes;
use trine_tests::Op;

fuzz_target!(|bytes: &[u8]| {
    let _ = call_from_bytes(bytes, &[Op::Backward, Op::Step]);
});
