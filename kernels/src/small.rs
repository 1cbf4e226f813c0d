//! The backward pass of a small layer: a batch of one block of rows, on one thread, row-major operands. The same as
//! [`backward`](crate::backward), without what such a pass does not need and would wait for: as one of its blocks, 8×8×8
//! took up to 1.08 times as long.
//!
//! ```text
//!     ∇Z = ∇Y ⊙ act'      ∇X = ∇Z·Wᵀ      ∇W = Xᵀ·∇Z      ∇b = 1ᵀ·∇Z
//! ```

use trine_core::{Activation, Element, Error, K_BLOCK, Shape};

use crate::backward::Sweep;
use crate::direct;
use crate::elementwise::derive;
use crate::gemm::gemm;
use crate::isa::Kernels;
use crate::plan::{Blocking, Packing, line};
use crate::problem::{Problem, Target, flips};
use crate::scratch::Scratch;
use crate::sums::column_sums;
use crate::turned;

/// Elements of scratch memory for ∇Z and for a product.
#[derive(Clone, Copy, Debug)]
pub struct Rooms {
    dz: usize,
    product: usize,
}

impl Rooms {
    /// Those of a sweep with elements, if it is small: both products are computed where their operands lie.
    #[inline(always)]
    pub fn of<V: Kernels<E>, E: Element>(s: &Sweep<E>, blocking: &Blocking) -> Option<Self> {
        let Shape { n, d, m } = s.shape;
        let neighbours = s.x.col == 1 && s.dy.col == 1 && s.w.col == 1;
        // Not one of these sums is over nothing, and each is of one block.
        let short = n.wrapping_sub(1) < K_BLOCK && m.wrapping_sub(1) < K_BLOCK && d > 0;
        if !(const { V::LANES > 1 } && neighbours && short && blocking.packing != Packing::Always) {
            return None;
        }
        if d.saturating_mul(n * m) > blocking.thresholds.small || d > blocking.nc {
            return None;
        }
        let straight = |c: &Option<Target<E>>, (rows, cols)| {
            c.as_ref().is_none_or(|c| c.col == 1 && !flips(c, rows, cols))
        };
        if !straight(&s.dx, (n, d)) || !straight(&s.dw, (d, m)) {
            return None;
        }
        let turns = s.dx.is_some() && s.w.row != 1 && n > const { turned::most_rows(V::ISA) };
        Some(Rooms {
            dz: if s.activation == Activation::Identity { 0 } else { line(n * m) },
            product: if turns { direct::room::<V, E>(d, m) } else { 0 },
        })
    }

    /// All of it.
    #[inline(always)]
    pub fn total(self) -> usize {
        self.dz + self.product
    }
}

/// Computes what is asked for.
///
/// # Errors
/// [`Error::Scratch`]; nothing has been written then.
///
/// # Safety
/// As for [`sweep`](crate::backward::sweep), and `rooms` are those of `s`.
#[inline(never)]
pub unsafe fn sweep<V: Kernels<E>, E: Element>(
    v: V,
    s: &Sweep<E>,
    blocking: &Blocking,
    rooms: Rooms,
    scratch: &mut Scratch<'_>,
) -> Result<(), Error> {
    let room = scratch.get::<E>(rooms.total())?;
    let products = (room.wrapping_add(rooms.dz), rooms.product);
    let Shape { n, d, m } = s.shape;
    let mut dz = s.dy;
    // SAFETY: the contract is the same, and the scratch memory is as `rooms` says.
    unsafe {
        if s.activation != Activation::Identity {
            let to = Target { ptr: room, row: m, col: 1 };
            derive(v, s.activation, [s.dy, s.saved], to, n, m);
            dz = to.source();
        }
        if let Some(dx) = s.dx {
            gemm(v, &Problem::new((n, d, m), dz, s.w.t(), dx, s.dx_write), blocking, products, None);
        }
        if let Some(dw) = s.dw {
            gemm(v, &Problem::new((d, m, n), s.x.t(), dz, dw, s.params_write), blocking, products, None);
        }
        if let Some(db) = s.db {
            column_sums(v, dz, (n, m), db, s.params_write);
        }
    }
    Ok(())
}
