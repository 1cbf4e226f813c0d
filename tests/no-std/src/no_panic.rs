//! Every method of an engine, on operands of which the compiler knows nothing, in a
//! program that cannot be linked if a panic is reachable: its panic handler calls a function that is not there.
//!
//! Build it with `lto = "fat"`, as `nothing_hidden` in `ci/trust` does: for a Cortex-M4F, where it holds. On a
//! processor with vectors it does not link yet: checks of bounds are left in `gemm`, `product` and `backward`.
#![no_std]
#![no_main]

#[cfg(not(target_os = "none"))]
use core::ffi::{c_char, c_int};
use core::hint::black_box;
use core::panic::PanicInfo;

use trine_core::{
    Activation, Backward, Element, Error, Forward, Gradients, LinearKernels, MatMut, MatRef, Step, Write,
};
use trine_kernels::{Engine, Isa, Line, Supported};

#[cfg(not(target_os = "none"))]
#[link(name = "c")]
unsafe extern "C" {}

unsafe extern "C" {
    fn trine_a_panic_is_reachable() -> !;
}

#[panic_handler]
fn panic(_: &PanicInfo<'_>) -> ! {
    // SAFETY: never called: with this call in it the program cannot be linked.
    unsafe { trine_a_panic_is_reachable() }
}

/// Operands and sides from outside: any of them may be wrong.
struct Given<'a, E> {
    memory: [&'a mut [E]; 7],
    sides: [usize; 12],
    activation: Activation,
    write: Write<E>,
}

/// Takes the next view that was asked for, with strides from outside.
fn view<'a, E>(data: &'a [E], sides: &[usize], i: usize) -> Result<MatRef<'a, E>, Error> {
    let side = |i: usize| sides.get(i).copied().unwrap_or(0);
    MatRef::with_strides(data, side(i), side(i + 1), side(i + 2), side(i + 3))
}

fn view_mut<'a, E>(data: &'a mut [E], sides: &[usize], i: usize) -> Result<MatMut<'a, E>, Error> {
    let side = |i: usize| sides.get(i).copied().unwrap_or(0);
    MatMut::with_strides(data, side(i), side(i + 1), side(i + 2), side(i + 3))
}

fn every_method<E: Element, K: LinearKernels<E>>(
    kernels: &mut K,
    given: &mut Given<'_, E>,
) -> Result<(), Error> {
    let Given { memory: [x, w, y, z, dx, dw, b], sides, activation, write } = given;
    let (activation, write, s) = (*activation, *write, &sides[..]);
    kernels.forward_with(Forward {
        x: view(x, s, 0)?,
        w: view(w, s, 1)?,
        bias: Some(b),
        activation,
        y: view_mut(y, s, 2)?,
        z: Some(view_mut(z, s, 2)?),
    })?;
    kernels.forward(view_mut(y, s, 3)?, view(x, s, 0)?, view(w, s, 1)?, None, activation)?;
    kernels.matmul(view_mut(y, s, 4)?, view(x, s, 5)?, view(w, s, 6)?.t(), write)?;
    kernels.grad_input(view_mut(dx, s, 4)?, view(y, s, 5)?, view(w, s, 6)?, write)?;
    kernels.grad_params(view_mut(dw, s, 4)?, Some(b), view(x, s, 5)?, view(y, s, 6)?, write)?;
    let wanted = Gradients {
        dx: Some(view_mut(dx, s, 7)?),
        dx_write: write,
        dw: Some(view_mut(dw, s, 8)?),
        db: Some(b),
        params_write: write,
    };
    let (dy, saved) = (view(y, s, 2)?, Some(view(z, s, 3)?));
    kernels.backward(Backward { x: view(x, s, 1)?, w: view(w, s, 2)?, dy, activation, saved }, wanted)?;
    kernels.backward_step(Step {
        x: view(x, s, 1)?,
        w: view_mut(w, s, 2)?,
        bias: Some(b),
        dy,
        activation,
        saved,
        dx: Some(view_mut(dx, s, 7)?),
        lr: write.alpha,
    })
}

fn on_all<E: Supported>(scratch: &mut [Line], given: &mut Given<'_, E>) -> Result<(), Error> {
    for isa in Isa::ALL {
        every_method(&mut Engine::with_scratch(isa, scratch)?, given)?;
    }
    Ok(())
}

fn run<E: Supported>(seed: usize) -> Result<(), Error> {
    let mut memory = black_box([[E::ONE; 64]; 7]);
    let mut scratch = black_box([Line::UNINIT; 256]);
    let sides = black_box([seed; 12]);
    let activation = match black_box(seed) % 7 {
        0 => Activation::Identity,
        1 => Activation::Relu,
        2 => Activation::LeakyRelu { slope: black_box(0.1) },
        3 => Activation::Sigmoid,
        4 => Activation::Tanh,
        5 => Activation::Gelu,
        _ => Activation::Silu,
    };
    let write = Write { add: black_box(true), alpha: black_box(E::ONE) };
    let [x, w, y, z, dx, dw, b] = &mut memory;
    let memory = [&mut x[..], &mut w[..], &mut y[..], &mut z[..], &mut dx[..], &mut dw[..], &mut b[..]];
    let mut given = Given { memory, sides, activation, write };
    let scratch_len = black_box(seed).min(scratch.len());
    let scratch = scratch.get_mut(..scratch_len).unwrap_or_default();
    on_all(scratch, &mut given)
}

/// Whether anything was refused. Of the seed the compiler knows nothing.
fn all(seed: usize) -> bool {
    black_box(run::<f32>(seed)).is_err() || black_box(run::<f64>(seed)).is_err()
}

/// On a Cortex-M.
#[cfg(target_os = "none")]
#[cortex_m_rt::entry]
fn main() -> ! {
    black_box(all(black_box(1)));
    loop {
        core::hint::spin_loop();
    }
}

/// What the C library calls.
#[cfg(not(target_os = "none"))]
// SAFETY: the one definition of this symbol, with the type that C gives it.
#[unsafe(no_mangle)]
extern "C" fn main(arguments: c_int, _: *const *const c_char) -> c_int {
    c_int::from(all(black_box(arguments) as usize))
}
