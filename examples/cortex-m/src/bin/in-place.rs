//! Trains straight into the weights.
#![no_std]
#![no_main]

use cortex_m_rt::entry;
use trine_cortex_m::output::Output;
use trine_cortex_m::report;
use trine_cortex_m::training::{Activations, InPlace, Order, Params, TRAIN, train};

#[entry]
fn main() -> ! {
    static mut WEIGHTS: Params = Params::ZERO;
    static mut ACTIVATIONS: Activations = Activations::ZERO;
    static mut ORDER: Order = [0; TRAIN];
    let mut out = Output::new();
    let done = train(InPlace, WEIGHTS, ACTIVATIONS, ORDER);
    report::memory(&mut out, 0, 0);
    report::outcome(&mut out, done, WEIGHTS.hash())
}
