//! What the tests of this crate share: several lanes as an array, kernels that work with them, random numbers.
#![allow(dead_code)]

use core::array::from_fn;
use trine_core::{
    Backward, Element, Error, Forward, Fused, Gradients, Lanes, LinearKernels, MatMut, MatRef, Reference,
    Rounding, Step, Task, Write,
};

/// N lanes, each computed by the scalar lanes `S`.
#[derive(Clone, Copy, Debug, Default)]
pub struct Wide<S, const N: usize>(pub S);

impl<E: Element, S: Lanes<E, V = E, Mask = bool>, const N: usize> Lanes<E> for Wide<S, N> {
    type V = [E; N];
    type Mask = [bool; N];
    const LANES: usize = N;
    const ROUNDING: Rounding = S::ROUNDING;

    #[inline(always)]
    fn splat(self, x: E) -> [E; N] {
        [x; N]
    }
    #[inline(always)]
    fn load(self, from: &[E]) -> [E; N] {
        from_fn(|i| from.get(i).copied().unwrap_or(E::ZERO))
    }
    #[inline(always)]
    fn store(self, to: &mut [E], v: [E; N]) {
        for (to, v) in to.iter_mut().zip(v) {
            *to = v;
        }
    }
    #[inline(always)]
    fn add(self, a: [E; N], b: [E; N]) -> [E; N] {
        from_fn(|i| self.0.add(a[i], b[i]))
    }
    #[inline(always)]
    fn sub(self, a: [E; N], b: [E; N]) -> [E; N] {
        from_fn(|i| self.0.sub(a[i], b[i]))
    }
    #[inline(always)]
    fn mul(self, a: [E; N], b: [E; N]) -> [E; N] {
        from_fn(|i| self.0.mul(a[i], b[i]))
    }
    #[inline(always)]
    fn div(self, a: [E; N], b: [E; N]) -> [E; N] {
        from_fn(|i| self.0.div(a[i], b[i]))
    }
    #[inline(always)]
    fn mul_add(self, a: [E; N], b: [E; N], c: [E; N]) -> [E; N] {
        from_fn(|i| self.0.mul_add(a[i], b[i], c[i]))
    }
    #[inline(always)]
    fn sqrt(self, a: [E; N]) -> [E; N] {
        from_fn(|i| self.0.sqrt(a[i]))
    }
    #[inline(always)]
    fn abs(self, a: [E; N]) -> [E; N] {
        from_fn(|i| self.0.abs(a[i]))
    }
    #[inline(always)]
    fn less(self, a: [E; N], b: [E; N]) -> [bool; N] {
        from_fn(|i| self.0.less(a[i], b[i]))
    }
    #[inline(always)]
    fn select(self, mask: [bool; N], a: [E; N], b: [E; N]) -> [E; N] {
        from_fn(|i| self.0.select(mask[i], a[i], b[i]))
    }
    #[inline(always)]
    fn pow2(self, n: [E; N]) -> [E; N] {
        from_fn(|i| self.0.pow2(n[i]))
    }
    #[inline(always)]
    fn split(self, a: [E; N]) -> ([E; N], [E; N]) {
        (from_fn(|i| self.0.split(a[i]).0), from_fn(|i| self.0.split(a[i]).1))
    }
}

/// The reference, but with other lanes for elementwise work.
pub struct With<L>(pub L);

impl<E: Element, L: Lanes<E>> LinearKernels<E> for With<L> {
    fn forward_with(&mut self, forward: Forward<'_, E>) -> Result<(), Error> {
        Reference(Fused).forward_with(forward)
    }
    fn matmul(
        &mut self,
        c: MatMut<'_, E>,
        a: MatRef<'_, E>,
        b: MatRef<'_, E>,
        write: Write<E>,
    ) -> Result<(), Error> {
        Reference(Fused).matmul(c, a, b, write)
    }
    fn grad_params(
        &mut self,
        dw: MatMut<'_, E>,
        db: Option<&mut [E]>,
        x: MatRef<'_, E>,
        dz: MatRef<'_, E>,
        write: Write<E>,
    ) -> Result<(), Error> {
        Reference(Fused).grad_params(dw, db, x, dz, write)
    }
    fn backward(&mut self, given: Backward<'_, E>, wanted: Gradients<'_, E>) -> Result<(), Error> {
        Reference(Fused).backward(given, wanted)
    }
    fn backward_step(&mut self, step: Step<'_, E>) -> Result<(), Error> {
        Reference(Fused).backward_step(step)
    }
    fn run<T: Task<E>>(&mut self, task: T) -> T::Output {
        task.run(self.0)
    }
}

/// SplitMix64 (G. Steele, D. Lea, C. Flood 2014).
pub struct Random(pub u64);

impl Random {
    pub fn bits(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let z = (self.0 ^ self.0 >> 30).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        let z = (z ^ z >> 27).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ z >> 31
    }

    /// Evenly from [low, high).
    pub fn between(&mut self, low: f64, high: f64) -> f64 {
        low + (high - low) * (self.bits() >> 11) as f64 / (1u64 << 53) as f64
    }

    pub fn below(&mut self, n: usize) -> usize {
        (self.bits() % n as u64) as usize
    }
}
