//! Forward, the product alone, and the two products of a backward pass, each on its own.
#![no_main]

use libfuzzer_sys::fuzz_target;
use trine_fuzz::call_from_bytes;
use trine_tests::Op;

fuzz_target!(|bytes: &[u8]| {
    let _ = call_from_bytes(bytes, &[Op::Forward, Op::Matmul, Op::GradInput, Op::GradParams]);
});
