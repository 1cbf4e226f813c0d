//! The reader of checkpoints: any bytes as they are, and with a beginning and a checksum that fit, so
//! that what lies behind them is reached.
#![no_main]

use libfuzzer_sys::fuzz_target;
use trine_bench::training::checkpoint::{Checkpoint, fnv};

/// What was read is written as it was read, and read again.
fn read(bytes: &[u8]) {
    let Ok(checkpoint) = Checkpoint::from_bytes(bytes) else { return };
    let written = checkpoint.to_bytes().expect("what was read can be written");
    let again = Checkpoint::from_bytes(&written).expect("what was written can be read");
    assert_eq!(again.to_bytes().expect("as before"), written);
}

fuzz_target!(|bytes: &[u8]| {
    read(bytes);
    let mut fitting = b"trineckp\x01\0\0\0".to_vec();
    fitting.extend_from_slice(bytes);
    fitting.extend_from_slice(&fnv(&fitting).to_le_bytes());
    read(&fitting);
});
