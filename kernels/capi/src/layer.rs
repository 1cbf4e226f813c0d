//! The layer: forward, backward, a step, and the product underneath, each for f32 and f64.

use trine_core::{Activation, Shape, Write, linear};
use trine_kernels::{Supported, raw};

use crate::engine::{trine_engine, used};
use crate::operand::{Operand, all_apart, trine_in, trine_out};
use crate::status::{Failure, guarded, trine_status};

/// What stands between `Z = X·W + b` and `Y = act(Z)`, and what backward needs of forward (`saved`).
#[repr(i32)]
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum trine_activation {
    /// Y = Z; saved: nothing.
    IDENTITY = 0,
    /// max(z, 0); saved: Y.
    RELU = 1,
    /// z if positive, else slope·z; saved: Y.
    LEAKY_RELU = 2,
    /// 1/(1 + e^−z); saved: Y.
    SIGMOID = 3,
    /// Hyperbolic tangent; saved: Y.
    TANH = 4,
    /// z/2·(1 + tanh(√(2/π)·(z + 0.044715·z³))); saved: Z.
    GELU = 5,
    /// z·sigmoid(z); saved: Z.
    SILU = 6,
}

/// How a result meets what is already there.
#[repr(i32)]
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum trine_write {
    /// It takes its place; what was there is never read.
    REPLACE = 0,
    /// It is added: gradient accumulation.
    ADD = 1,
}

fn activation(kind: i32, slope: f32) -> Result<Activation, Failure> {
    Ok(match kind {
        0 => Activation::Identity,
        1 => Activation::Relu,
        2 => Activation::LeakyRelu { slope },
        3 => Activation::Sigmoid,
        4 => Activation::Tanh,
        5 => Activation::Gelu,
        6 => Activation::Silu,
        found => return Err(Failure::Constant { operand: "activation", found }),
    })
}

fn write<E: Supported>(operand: &'static str, write: i32) -> Result<Write<E>, Failure> {
    match write {
        0 => Ok(Write::REPLACE),
        1 => Ok(Write::ADD),
        found => Err(Failure::Constant { operand, found }),
    }
}

/// Operands of a forward pass: `Y = act(X·W + b)`.
#[repr(C)]
#[derive(Clone, Copy, Debug)]
pub struct trine_forward_args<E> {
    /// Input, n×d.
    pub x: trine_in<E>,
    /// Weights, d×m.
    pub w: trine_in<E>,
    /// Bias, or null.
    pub bias: *const E,
    /// Values of the bias: m, or 0.
    pub bias_len: usize,
    /// A trine_activation.
    pub activation: i32,
    /// Of TRINE_ACTIVATION_LEAKY_RELU, positive and finite.
    pub slope: f32,
    /// Output, n×m.
    pub y: trine_out<E>,
    /// Where Z goes, n×m, if backward will need it; may be left out.
    pub z: trine_out<E>,
}

/// Operands of a backward pass: ∇X = ∇Z·Wᵀ, ∇W = Xᵀ·∇Z, ∇b = 1ᵀ·∇Z with ∇Z = ∇Y ⊙ act'.
#[repr(C)]
#[derive(Clone, Copy, Debug)]
pub struct trine_backward_args<E> {
    /// Input of the layer, n×d.
    pub x: trine_in<E>,
    /// Weights, d×m.
    pub w: trine_in<E>,
    /// Gradient of the output, n×m.
    pub dy: trine_in<E>,
    /// Y or Z of the forward pass, n×m, as trine_activation says; left out for the identity.
    pub saved: trine_in<E>,
    /// A trine_activation, that of the forward pass.
    pub activation: i32,
    /// Of TRINE_ACTIVATION_LEAKY_RELU.
    pub slope: f32,
    /// ∇X, n×d; may be left out.
    pub dx: trine_out<E>,
    /// ∇W, d×m; may be left out.
    pub dw: trine_out<E>,
    /// ∇b, or null.
    pub db: *mut E,
    /// Values of ∇b: m, or 0.
    pub db_len: usize,
    /// How ∇X is written, a trine_write.
    pub dx_write: i32,
    /// How ∇W and ∇b are written, a trine_write.
    pub params_write: i32,
}

/// Operands of a backward pass that steps at once: `W += −lr·∇W`, `b += −lr·∇b`, without memory for ∇W. ∇X is taken
/// from W as it was.
#[repr(C)]
#[derive(Clone, Copy, Debug)]
pub struct trine_step_args<E> {
    /// Input of the layer, n×d.
    pub x: trine_in<E>,
    /// Weights, d×m, updated.
    pub w: trine_out<E>,
    /// Bias, updated, or null.
    pub bias: *mut E,
    /// Values of the bias: m, or 0.
    pub bias_len: usize,
    /// Gradient of the output, n×m.
    pub dy: trine_in<E>,
    /// Y or Z of the forward pass, n×m, as trine_activation says; left out for the identity.
    pub saved: trine_in<E>,
    /// A trine_activation, that of the forward pass.
    pub activation: i32,
    /// Of TRINE_ACTIVATION_LEAKY_RELU.
    pub slope: f32,
    /// ∇X, n×d, replaced; may be left out.
    pub dx: trine_out<E>,
    /// Learning rate.
    pub lr: E,
}

/// Operands of a product: `C = alpha·A·B` or `C += alpha·A·B`.
#[repr(C)]
#[derive(Clone, Copy, Debug)]
pub struct trine_gemm_args<E> {
    /// n×d.
    pub a: trine_in<E>,
    /// d×m.
    pub b: trine_in<E>,
    /// n×m.
    pub c: trine_out<E>,
    /// Factor of every partial sum.
    pub alpha: E,
    /// A trine_write.
    pub write: i32,
}

/// What a call is given.
///
/// # Safety
/// Null or as C has it.
unsafe fn given<'a, A>(args: *const A) -> Result<&'a A, Failure> {
    // SAFETY: as the caller says.
    unsafe { args.as_ref() }.ok_or(Failure::Null("args"))
}

/// # Safety
/// The pointers are null or as `trine.h` says.
unsafe fn forward<E: Supported>(
    engine: *mut trine_engine,
    args: *const trine_forward_args<E>,
) -> trine_status {
    guarded(|| {
        // SAFETY: null or right, as the caller says.
        let (engine, args) = unsafe { (used(engine)?, given(args)?) };
        let activation = activation(args.activation, args.slope)?;
        let (x, w) = (Operand::read("x", args.x)?, Operand::read("w", args.w)?);
        let bias = Operand::values("bias", args.bias, args.bias_len)?;
        let (y, z) = (Operand::written("y", args.y)?, Operand::written_if_given("z", args.z)?);
        let bias_len = bias.map(|bias| bias.layout.cols);
        let given = (x.layout, w.layout, y.layout);
        let shape = linear::check_forward(given, bias_len, z.map(|z| z.layout), activation)?;
        all_apart(&[Some(y), z], &[Some(x), Some(w), bias])?;
        let forward = raw::Forward {
            shape,
            x: x.source(),
            w: w.source(),
            bias: bias.map(|bias| bias.ptr()),
            activation,
            y: y.target(),
            z: z.map(|z| z.target()),
        };
        // SAFETY: the operands fit each other, and their memory as far as the caller has told; outputs are apart.
        Ok(unsafe { engine.engine().forward_raw(forward) }?)
    })
}

/// # Safety
/// The pointers are null or as `trine.h` says.
unsafe fn backward<E: Supported>(
    engine: *mut trine_engine,
    args: *const trine_backward_args<E>,
) -> trine_status {
    guarded(|| {
        // SAFETY: null or right, as the caller says.
        let (engine, args) = unsafe { (used(engine)?, given(args)?) };
        let activation = activation(args.activation, args.slope)?;
        let (dx_write, params_write) =
            (write("dx_write", args.dx_write)?, write("params_write", args.params_write)?);
        let (x, w, dy) =
            (Operand::read("x", args.x)?, Operand::read("w", args.w)?, Operand::read("dy", args.dy)?);
        let saved = Operand::read_if_given("saved", args.saved)?;
        let (dx, dw) = (Operand::written_if_given("dx", args.dx)?, Operand::written_if_given("dw", args.dw)?);
        let db = Operand::values("db", args.db, args.db_len)?;
        let given = (x.layout, w.layout, dy.layout);
        let shape = linear::check_backward(given, activation, saved.map(|saved| saved.layout))?;
        let wanted = (dx.map(|dx| dx.layout), dw.map(|dw| dw.layout));
        linear::check_gradients((x.layout, w.layout), wanted, db.map(|db| db.layout.cols))?;
        all_apart(&[dx, dw, db], &[Some(x), Some(w), Some(dy), saved])?;
        let backward = raw::Backward {
            shape,
            x: x.source(),
            w: w.source(),
            dy: dy.source(),
            activation,
            saved: saved.unwrap_or(dy).source(),
            dx: dx.map(|dx| dx.target()),
            dx_write,
            dw: dw.map(|dw| dw.target()),
            db: db.map(|db| db.mut_ptr()),
            params_write,
        };
        // SAFETY: the operands fit each other, and their memory as far as the caller has told; outputs are apart.
        Ok(unsafe { engine.engine().backward_raw(&backward) }?)
    })
}

/// # Safety
/// The pointers are null or as `trine.h` says.
unsafe fn step<E: Supported>(engine: *mut trine_engine, args: *const trine_step_args<E>) -> trine_status {
    guarded(|| {
        // SAFETY: null or right, as the caller says.
        let (engine, args) = unsafe { (used(engine)?, given(args)?) };
        let activation = activation(args.activation, args.slope)?;
        let (x, w, dy) =
            (Operand::read("x", args.x)?, Operand::written("w", args.w)?, Operand::read("dy", args.dy)?);
        let saved = Operand::read_if_given("saved", args.saved)?;
        let dx = Operand::written_if_given("dx", args.dx)?;
        let bias = Operand::values("bias", args.bias, args.bias_len)?;
        let given = (x.layout, w.layout, dy.layout);
        let shape = linear::check_backward(given, activation, saved.map(|saved| saved.layout))?;
        let dx_layout = dx.map(|dx| dx.layout);
        linear::check_step((x.layout, w.layout), dx_layout, bias.map(|bias| bias.layout.cols))?;
        all_apart(&[dx, Some(w), bias], &[Some(x), Some(dy), saved])?;
        let step = raw::Backward {
            shape,
            x: x.source(),
            w: w.source(),
            dy: dy.source(),
            activation,
            saved: saved.unwrap_or(dy).source(),
            dx: dx.map(|dx| dx.target()),
            dx_write: Write::REPLACE,
            dw: Some(w.target()),
            db: bias.map(|bias| bias.mut_ptr()),
            params_write: Write::ADD,
        };
        let lr = args.lr;
        // SAFETY: the operands fit each other, and their memory as far as the caller has told; outputs are apart.
        Ok(unsafe { engine.engine().step_raw(&step, lr) }?)
    })
}

/// # Safety
/// The pointers are null or as `trine.h` says.
unsafe fn gemm<E: Supported>(engine: *mut trine_engine, args: *const trine_gemm_args<E>) -> trine_status {
    guarded(|| {
        // SAFETY: null or right, as the caller says.
        let (engine, args) = unsafe { (used(engine)?, given(args)?) };
        let write = write("write", args.write)?.times(args.alpha);
        let (a, b) = (Operand::read("a", args.a)?, Operand::read("b", args.b)?);
        let c = Operand::written("c", args.c)?;
        let shape: Shape = linear::check_matmul(c.layout, a.layout, b.layout)?;
        all_apart(&[Some(c)], &[Some(a), Some(b)])?;
        let (c, a, b) = (c.target(), a.source(), b.source());
        // SAFETY: the operands fit each other, and their memory as far as the caller has told; C is apart.
        Ok(unsafe { engine.engine().matmul_raw(shape, c, a, b, write) }?)
    })
}

/// `Z = X·W + b`, `Y = act(Z)`, 2·n·d·m operations.
///
/// Errors: NULL, MISALIGNED, TOO_SHORT, TOO_LARGE, OVERLAP, ALIASED, SHAPE, VALUE, SCRATCH.
///
/// # Safety
/// The pointers are null or as this header says.
// SAFETY: the one definition of this symbol.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn trine_forward_f32(
    engine: *mut trine_engine,
    args: *const trine_forward_args<f32>,
) -> trine_status {
    // SAFETY: the contract is the same.
    unsafe { forward(engine, args) }
}

/// As trine_forward_f32.
///
/// # Safety
/// The pointers are null or as this header says.
// SAFETY: the one definition of this symbol.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn trine_forward_f64(
    engine: *mut trine_engine,
    args: *const trine_forward_args<f64>,
) -> trine_status {
    // SAFETY: the contract is the same.
    unsafe { forward(engine, args) }
}

/// ∇X, ∇W and ∇b from ∇Y in one sweep over it, 2·n·d·m operations for each of the first two.
///
/// Errors: NULL, MISALIGNED, TOO_SHORT, TOO_LARGE, OVERLAP, ALIASED, SHAPE, MISSING, VALUE, SCRATCH.
///
/// # Safety
/// The pointers are null or as this header says.
// SAFETY: the one definition of this symbol.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn trine_backward_f32(
    engine: *mut trine_engine,
    args: *const trine_backward_args<f32>,
) -> trine_status {
    // SAFETY: the contract is the same.
    unsafe { backward(engine, args) }
}

/// As trine_backward_f32.
///
/// # Safety
/// The pointers are null or as this header says.
// SAFETY: the one definition of this symbol.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn trine_backward_f64(
    engine: *mut trine_engine,
    args: *const trine_backward_args<f64>,
) -> trine_status {
    // SAFETY: the contract is the same.
    unsafe { backward(engine, args) }
}

/// ∇X, and a step of SGD straight into W and b.
///
/// Errors: as for trine_backward_f32.
///
/// # Safety
/// The pointers are null or as this header says.
// SAFETY: the one definition of this symbol.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn trine_step_f32(
    engine: *mut trine_engine,
    args: *const trine_step_args<f32>,
) -> trine_status {
    // SAFETY: the contract is the same.
    unsafe { step(engine, args) }
}

/// As trine_step_f32.
///
/// # Safety
/// The pointers are null or as this header says.
// SAFETY: the one definition of this symbol.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn trine_step_f64(
    engine: *mut trine_engine,
    args: *const trine_step_args<f64>,
) -> trine_status {
    // SAFETY: the contract is the same.
    unsafe { step(engine, args) }
}

/// `C = alpha·A·B` or `C += alpha·A·B`, 2·n·d·m operations.
///
/// Errors: as for trine_forward_f32.
///
/// # Safety
/// The pointers are null or as this header says.
// SAFETY: the one definition of this symbol.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn trine_gemm_f32(
    engine: *mut trine_engine,
    args: *const trine_gemm_args<f32>,
) -> trine_status {
    // SAFETY: the contract is the same.
    unsafe { gemm(engine, args) }
}

/// As trine_gemm_f32.
///
/// # Safety
/// The pointers are null or as this header says.
// SAFETY: the one definition of this symbol.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn trine_gemm_f64(
    engine: *mut trine_engine,
    args: *const trine_gemm_args<f64>,
) -> trine_status {
    // SAFETY: the contract is the same.
    unsafe { gemm(engine, args) }
}
