//! One layer, forward and backward: what of the library is linked for it. The feature says what.
#![no_std]
#![no_main]

use core::hint::black_box;

use cortex_m_rt::entry;
use trine_cortex_m::output::Output;

#[cfg(any(feature = "layer-engine", feature = "layer-f64"))]
fn layer<E: trine_kernels::Supported>() -> Result<(), trine_core::Error> {
    use trine_core::{Backward, Gradients, LinearKernels, MatMut, MatRef, Write};
    use trine_kernels::{Activation, Engine, Isa, Line, Op, scratch_len};

    const fn lines<E: trine_kernels::Element>() -> usize {
        scratch_len::<E>(Isa::Portable, Op::Backward, 16, 64, 32)
    }
    let mut scratch = [Line::UNINIT; lines::<f64>()];
    let (x, w, b) = (black_box([E::ONE; 16 * 64]), black_box([E::ONE; 64 * 32]), black_box([E::ONE; 32]));
    let (mut y, dy) = ([E::ZERO; 16 * 32], black_box([E::ONE; 16 * 32]));
    let (mut dx, mut dw, mut db) = ([E::ZERO; 16 * 64], [E::ZERO; 64 * 32], [E::ZERO; 32]);
    let activation = black_box(Activation::Relu);
    let mut engine = Engine::with_scratch(Isa::Portable, &mut scratch)?;
    let (x, w) = (MatRef::row_major(&x, 16, 64)?, MatRef::row_major(&w, 64, 32)?);
    engine.forward(MatMut::row_major(&mut y, 16, 32)?, x, w, Some(&b), activation)?;
    let saved = Some(MatRef::row_major(&y, 16, 32)?);
    let given = Backward { x, w, dy: MatRef::row_major(&dy, 16, 32)?, activation, saved };
    let wanted = Gradients {
        dx: Some(MatMut::row_major(&mut dx, 16, 64)?),
        dx_write: Write::REPLACE,
        dw: Some(MatMut::row_major(&mut dw, 64, 32)?),
        db: Some(&mut db),
        params_write: Write::REPLACE,
    };
    engine.backward(given, wanted)?;
    black_box((&y, &dx, &dw, &db));
    Ok(())
}

#[cfg(feature = "layer-fixed")]
fn fixed() -> Result<(), trine_core::Error> {
    use trine_kernels::fixed::Layer;
    use trine_kernels::{Activation, Write};

    let layer = black_box(Layer::<f32, 64, 32> { w: [[1.0; 32]; 64], b: [1.0; 32] });
    let (x, mut y) = (black_box([[1.0; 64]; 16]), [[0.0; 32]; 16]);
    layer.forward(&x, Activation::Relu, &mut y)?;
    let (mut dy, mut dx, mut gradient) = (black_box([[1.0; 32]; 16]), [[0.0; 64]; 16], Layer::ZERO);
    layer.backward(&x, &y, &mut dy, Activation::Relu, Some(&mut dx), &mut gradient, Write::REPLACE)?;
    black_box((&y, &dx, &gradient));
    Ok(())
}

#[cfg(feature = "layer-naive")]
fn naive() {
    use trine_cortex_m::naive;
    let (x, w, mut y) = (black_box([[1.0; 64]; 16]), black_box([[1.0; 32]; 64]), [[0.0; 32]; 16]);
    naive::forward(&mut y, &x, &w);
    let (dz, mut dx, mut dw) = (black_box([[1.0; 32]; 16]), [[0.0; 64]; 16], [[0.0; 32]; 64]);
    naive::grad_input(&mut dx, &dz, &w);
    naive::grad_params(&mut dw, &x, &dz);
    black_box((&y, &dx, &dw));
}

/// A whole step: loss and optimizer as well.
#[cfg(feature = "layer-loss")]
fn loss() -> Result<(), trine_core::Error> {
    use trine_core::loss::{Loss, Target};
    use trine_core::{MatMut, MatRef};
    use trine_kernels::{Engine, Isa};

    let (y, mut dy) = (black_box([0.5f32; 160]), [0.0; 160]);
    let (mut engine, to) =
        (Engine::with_scratch(Isa::Portable, &mut [])?, Some(MatMut::row_major(&mut dy, 16, 10)?));
    let target = Target::Classes(black_box(&[0; 16]));
    let loss =
        Loss::SoftmaxCrossEntropy.evaluate(&mut engine, MatRef::row_major(&y, 16, 10)?, target, 16, to)?;
    black_box((loss, &dy));
    Ok(())
}

/// The step from gradients to parameters.
#[cfg(feature = "layer-optimizer")]
fn optimizer() -> Result<(), trine_core::Error> {
    use trine_core::{Optimizer, Rule};
    use trine_kernels::{Engine, Isa};

    let (mut params, grads, mut state) = (black_box([0.5f32; 100]), black_box([0.5; 100]), [0.0; 200]);
    let mut optimizer = Optimizer::new(black_box(Rule::SGD), 0.1)?;
    optimizer.step(&mut Engine::with_scratch(Isa::Portable, &mut [])?, &mut params, &grads, &mut state)?;
    black_box((&params, &state));
    Ok(())
}

#[entry]
fn main() -> ! {
    #[allow(unused_mut, reason = "without a feature there is nothing to do")]
    let mut good = true;
    #[cfg(feature = "layer-engine")]
    {
        good &= layer::<f32>().is_ok();
    }
    #[cfg(feature = "layer-f64")]
    {
        good &= layer::<f64>().is_ok();
    }
    #[cfg(feature = "layer-fixed")]
    {
        good &= fixed().is_ok();
    }
    #[cfg(feature = "layer-naive")]
    naive();
    #[cfg(feature = "layer-loss")]
    {
        good &= loss().is_ok();
    }
    #[cfg(feature = "layer-optimizer")]
    {
        good &= optimizer().is_ok();
    }
    Output::new().end(black_box(good))
}
