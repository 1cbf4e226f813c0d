//! Instructions per multiply-add of the three products: of an engine, of a layer of a fixed shape, of plain
//! loops compiled with the same flags, and of plain loops compiled for speed alone.
#![no_std]
#![no_main]

use core::hint::black_box;

use cortex_m_rt::entry;
use trine_core::{Error, LinearKernels, MatMut, MatRef, Write};
use trine_cortex_m::counter::Counter;
use trine_cortex_m::naive;
use trine_cortex_m::output::Output;
use trine_kernels::fixed::Layer;
use trine_kernels::{Activation, Engine, Isa};
use trine_naive::{Fast, Products};

/// Operands of a layer, all of them.
struct Operands<const N: usize, const D: usize, const M: usize> {
    x: [[f32; D]; N],
    layer: Layer<f32, D, M>,
    y: [[f32; M]; N],
    dz: [[f32; M]; N],
    dx: [[f32; D]; N],
    gradient: Layer<f32, D, M>,
}

/// Instructions of one product.
#[derive(Default)]
struct Counts {
    engine: u32,
    fixed: u32,
    naive: u32,
    fast: u32,
}

impl<const N: usize, const D: usize, const M: usize> Operands<N, D, M>
where
    Fast: Products<N, D, M>,
{
    const NEW: Self = Operands {
        x: [[0.5; D]; N],
        layer: Layer { w: [[0.25; M]; D], b: [0.5; M] },
        y: [[0.0; M]; N],
        dz: [[0.125; M]; N],
        dx: [[0.0; D]; N],
        gradient: Layer::ZERO,
    };

    /// With a bias, as every layer has one.
    fn forward(&mut self, counter: &Counter) -> Result<Counts, Error> {
        let (mut engine, mut done) = (Engine::with_scratch(Isa::Portable, &mut [])?, [Ok(()); 2]);
        let Operands { x, layer, y, .. } = black_box(self);
        let counts = Counts {
            engine: counter.of(|| {
                done[0] = (|| {
                    let x = MatRef::row_major(x.as_flattened(), N, D)?;
                    let w = MatRef::row_major(layer.w.as_flattened(), D, M)?;
                    let y = MatMut::row_major(y.as_flattened_mut(), N, M)?;
                    engine.forward(y, x, w, Some(&layer.b), Activation::Identity)
                })();
            }),
            fixed: counter.of(|| done[1] = layer.forward(x, Activation::Identity, y)),
            naive: counter.of(|| naive::forward(y, x, &layer.w)),
            fast: counter.of(|| Fast::forward(y, x, &layer.w)),
        };
        let [engine, fixed] = done;
        engine.and(fixed).and(Ok(counts))
    }

    fn grad_input(&mut self, counter: &Counter) -> Result<Counts, Error> {
        let (mut engine, mut done) = (Engine::with_scratch(Isa::Portable, &mut [])?, Ok(()));
        let Operands { layer, dz, dx, .. } = black_box(self);
        let counts = Counts {
            engine: counter.of(|| {
                done = (|| {
                    let dz = MatRef::row_major(dz.as_flattened(), N, M)?;
                    let w = MatRef::row_major(layer.w.as_flattened(), D, M)?;
                    engine.grad_input(MatMut::row_major(dx.as_flattened_mut(), N, D)?, dz, w, Write::REPLACE)
                })();
            }),
            fixed: counter.of(|| layer.grad_input(dz, dx)),
            naive: counter.of(|| naive::grad_input(dx, dz, &layer.w)),
            fast: counter.of(|| Fast::grad_input(dx, dz, &layer.w)),
        };
        done.and(Ok(counts))
    }

    /// ∇b is part of the fixed layer only.
    fn grad_params(&mut self, counter: &Counter) -> Result<Counts, Error> {
        let (mut engine, mut done) = (Engine::with_scratch(Isa::Portable, &mut [])?, Ok(()));
        let Operands { x, gradient, dz, .. } = black_box(self);
        let counts = Counts {
            engine: counter.of(|| {
                done = (|| {
                    let x = MatRef::row_major(x.as_flattened(), N, D)?;
                    let dz = MatRef::row_major(dz.as_flattened(), N, M)?;
                    let dw = MatMut::row_major(gradient.w.as_flattened_mut(), D, M)?;
                    engine.grad_params(dw, None, x, dz, Write::REPLACE)
                })();
            }),
            fixed: counter.of(|| gradient.add_gradient(x, dz, Write::REPLACE)),
            naive: counter.of(|| naive::grad_params(&mut gradient.w, x, dz)),
            fast: counter.of(|| Fast::grad_params(&mut gradient.w, x, dz)),
        };
        done.and(Ok(counts))
    }

    fn report(&mut self, counter: &Counter, out: &mut Output) -> Result<(), Error> {
        let all = [
            ("forward", self.forward(counter)?),
            ("∇X", self.grad_input(counter)?),
            ("∇W", self.grad_params(counter)?),
        ];
        let work = (N * D * M) as u32;
        for (name, Counts { engine, fixed, naive, fast }) in all {
            out.text("product ").text(name).number(N as u32, 4).number(D as u32, 4).number(M as u32, 4);
            for count in [engine, fixed, naive, fast] {
                out.ratio(count, work);
            }
            out.text("\n");
        }
        Ok(())
    }
}

#[entry]
fn main() -> ! {
    static mut SQUARE: Operands<32, 32, 32> = Operands::NEW;
    static mut LAYER: Operands<64, 64, 10> = Operands::NEW;
    let mut out = Output::new();
    let Some(counter) = Counter::new() else {
        out.text("this clock does not count instructions\n").end(false)
    };
    let done = SQUARE.report(&counter, &mut out).and_then(|()| LAYER.report(&counter, &mut out));
    out.end(done.is_ok())
}
