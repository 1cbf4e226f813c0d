//! Scratch memory: the caller's, or with `std` the engine's own, made once and grown.

use core::mem::MaybeUninit;

use trine_core::{Element, Error, Shape};

use crate::backward::by_blocks;
use crate::isa::Isa;
use crate::plan::{Blocking, Caches, Tile, at_least, at_most, gemm_scratch, line};
use crate::runs;

/// The unit of scratch memory: one cache line.
#[derive(Clone, Copy, Debug)]
#[repr(C, align(64))]
pub struct Line(MaybeUninit<[u8; 64]>);

impl Line {
    /// What a static scratch is filled with: nothing.
    pub const UNINIT: Line = Line(MaybeUninit::uninit());
}

/// What an engine is asked to do, for plans and scratch lengths.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Op {
    /// `Y = act(X·W + b)`.
    Forward,
    /// `∇X = ∇Z·Wᵀ`.
    GradInput,
    /// `∇W = Xᵀ·∇Z`, `∇b = 1ᵀ·∇Z`.
    GradParams,
    /// All gradients from ∇Y.
    Backward,
    /// ∇X, and a step of SGD straight into W and b.
    Step,
}

/// How many [`Line`]s of scratch memory an engine on `isa` needs for `op` on an n×d×m layer, on
/// one thread, whatever the strides and the activation.
pub const fn scratch_len<E: Element>(isa: Isa, op: Op, n: usize, d: usize, m: usize) -> usize {
    let blocking = Blocking::for_caches(Caches::DEFAULT, isa, E::BYTES);
    lines(elements(op, Shape { n, d, m }, isa, blocking, E::BYTES, 1), E::BYTES)
}

/// Elements of scratch memory for `op` on some threads.
pub(crate) const fn elements(
    op: Op,
    Shape { n, d, m }: Shape,
    isa: Isa,
    blocking: Blocking,
    bytes: usize,
    threads: usize,
) -> usize {
    use trine_core::K_BLOCK;
    // A sweep takes a block of the batch for each thread at a time: all together, or each one for itself.
    let sweeps = !matches!(op, Op::Forward | Op::GradInput);
    let by_blocks = sweeps && by_blocks(Shape { n, d, m }, bytes, threads);
    let wave = at_most(n, if by_blocks { K_BLOCK } else { threads.saturating_mul(K_BLOCK) });
    let each = match op {
        Op::Forward => gemm_scratch(n, m, d, isa, blocking, bytes),
        Op::GradInput => gemm_scratch(n, d, m, isa, blocking, bytes),
        Op::GradParams => dw_scratch((d, m), n, wave, isa, blocking, bytes),
        Op::Backward | Op::Step => {
            let dx = gemm_scratch(wave, d, m, isa, blocking, bytes);
            at_least(dx, dw_scratch((d, m), n, wave, isa, blocking, bytes))
        }
    };
    let dz = if matches!(op, Op::Backward | Op::Step) { line(wave.saturating_mul(m)) } else { 0 };
    if by_blocks {
        let sums = line(d.saturating_mul(m).saturating_add(m));
        return threads.saturating_mul(each.saturating_add(dz).saturating_add(sums));
    }
    threads.saturating_mul(each).saturating_add(dz)
}

/// Elements of scratch memory for a d×m ∇W of a batch of `n` rows, of which `wave` at a time.
const fn dw_scratch(
    (d, m): (usize, usize),
    n: usize,
    wave: usize,
    isa: Isa,
    blocking: Blocking,
    bytes: usize,
) -> usize {
    let need = gemm_scratch(d, m, wave, isa, blocking, bytes);
    if !runs::pays((d, m), n, isa, bytes, &blocking) {
        return need;
    }
    let tile = Tile::of(isa, bytes);
    // The other way round if ∇W lies so.
    at_least(need, at_least(runs::scratch((d, m), tile), runs::scratch((m, d), tile)))
}

pub(crate) const fn lines(elements: usize, bytes: usize) -> usize {
    elements.saturating_mul(bytes).div_ceil(64)
}

/// Where an engine's scratch memory comes from.
#[derive(Debug)]
pub(crate) enum Scratch<'s> {
    Borrowed(&'s mut [Line]),
    #[cfg(feature = "std")]
    Owned(std::vec::Vec<Line>),
}

/// More memory. Apart from what most calls do, which is nothing.
#[cfg(feature = "std")]
#[cold]
fn grow(lines: &mut std::vec::Vec<Line>, expected: usize) -> Result<(), Error> {
    let more = expected - lines.len();
    lines.try_reserve_exact(more).map_err(|_| Error::TooLarge { operand: "scratch memory" })?;
    lines.resize(expected, Line::UNINIT);
    Ok(())
}

impl Scratch<'_> {
    /// At least `elements` of them, 64-byte aligned.
    #[inline(always)]
    pub fn get<E: Element>(&mut self, elements: usize) -> Result<*mut E, Error> {
        let expected = lines(elements, E::BYTES);
        #[cfg_attr(not(feature = "std"), allow(clippy::infallible_destructuring_match))]
        let lines: &mut [Line] = match self {
            Scratch::Borrowed(lines) => lines,
            #[cfg(feature = "std")]
            Scratch::Owned(lines) => {
                if lines.len() < expected {
                    grow(lines, expected)?;
                }
                lines
            }
        };
        if lines.len() < expected {
            return Err(Error::Scratch { expected, found: lines.len() });
        }
        Ok(lines.as_mut_ptr().cast())
    }
}
