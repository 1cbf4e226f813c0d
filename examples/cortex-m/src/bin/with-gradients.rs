//! Trains with gradients in memory of their own.
#![no_std]
#![no_main]

use cortex_m_rt::entry;
use trine_cortex_m::output::Output;
use trine_cortex_m::report;
use trine_cortex_m::training::{Activations, Order, Params, TRAIN, WithGradients, train};

#[entry]
fn main() -> ! {
    static mut WEIGHTS: Params = Params::ZERO;
    static mut GRADIENTS: Params = Params::ZERO;
    static mut STATE: Params = Params::ZERO;
    static mut ACTIVATIONS: Activations = Activations::ZERO;
    static mut ORDER: Order = [0; TRAIN];
    let mut out = Output::new();
    let done =
        WithGradients::new(GRADIENTS, STATE).and_then(|method| train(method, WEIGHTS, ACTIVATIONS, ORDER));
    report::memory(&mut out, size_of::<Params>(), size_of::<Params>());
    report::outcome(&mut out, done, WEIGHTS.hash())
}
