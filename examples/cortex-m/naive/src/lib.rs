//! The plain loops for the shapes that are measured. A package of its own, so that it can be compiled for
//! speed alone while the firmware is compiled for size.
#![no_std]

pub mod loops;

/// The three products of one shape.
pub trait Products<const N: usize, const D: usize, const M: usize> {
    /// `Y = X·W`.
    fn forward(y: &mut [[f32; M]; N], x: &[[f32; D]; N], w: &[[f32; M]; D]);
    /// `∇X = ∇Z·Wᵀ`.
    fn grad_input(dx: &mut [[f32; D]; N], dz: &[[f32; M]; N], w: &[[f32; M]; D]);
    /// `∇W = Xᵀ·∇Z`.
    fn grad_params(dw: &mut [[f32; M]; D], x: &[[f32; D]; N], dz: &[[f32; M]; N]);
}

/// For speed.
pub struct Fast;

macro_rules! products {
    ($($n:literal $d:literal $m:literal;)*) => {
        $(impl Products<$n, $d, $m> for Fast {
            #[inline(never)]
            fn forward(y: &mut [[f32; $m]; $n], x: &[[f32; $d]; $n], w: &[[f32; $m]; $d]) {
                loops::forward(y, x, w);
            }
            #[inline(never)]
            fn grad_input(dx: &mut [[f32; $d]; $n], dz: &[[f32; $m]; $n], w: &[[f32; $m]; $d]) {
                loops::grad_input(dx, dz, w);
            }
            #[inline(never)]
            fn grad_params(dw: &mut [[f32; $m]; $d], x: &[[f32; $d]; $n], dz: &[[f32; $m]; $n]) {
                loops::grad_params(dw, x, dz);
            }
        })*
    };
}

products! {
    32 32 32;
    64 64 10;
}
