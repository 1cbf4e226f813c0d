//! The three products as plain triple loops, on arrays: the compiler knows every length, and no bound is
//! checked. Multiply and add are rounded each, for plain code cannot ask for a fused multiply-add here.
#![allow(clippy::needless_range_loop, reason = "as in a textbook")]

/// `Y = X·W`.
#[inline(never)]
pub fn forward<const N: usize, const D: usize, const M: usize>(
    y: &mut [[f32; M]; N],
    x: &[[f32; D]; N],
    w: &[[f32; M]; D],
) {
    for i in 0..N {
        for j in 0..M {
            let mut sum = 0.0;
            for k in 0..D {
                sum += x[i][k] * w[k][j];
            }
            y[i][j] = sum;
        }
    }
}

/// `∇X = ∇Z·Wᵀ`.
#[inline(never)]
pub fn grad_input<const N: usize, const D: usize, const M: usize>(
    dx: &mut [[f32; D]; N],
    dz: &[[f32; M]; N],
    w: &[[f32; M]; D],
) {
    for i in 0..N {
        for j in 0..D {
            let mut sum = 0.0;
            for k in 0..M {
                sum += dz[i][k] * w[j][k];
            }
            dx[i][j] = sum;
        }
    }
}

/// `∇W = Xᵀ·∇Z`.
#[inline(never)]
pub fn grad_params<const N: usize, const D: usize, const M: usize>(
    dw: &mut [[f32; M]; D],
    x: &[[f32; D]; N],
    dz: &[[f32; M]; N],
) {
    for i in 0..D {
        for j in 0..M {
            let mut sum = 0.0;
            for k in 0..N {
                sum += x[k][i] * dz[k][j];
            }
            dw[i][j] = sum;
        }
    }
}
