//! Every microkernel there is, for who tests or lists them.

use core::fmt;

use trine_core::Rounding;

use crate::dispatch::Dispatch;
use crate::isa::Isa;
use crate::plan::Tile;

/// One microkernel: a register tile of one ISA and element type.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Kernel {
    /// Its instruction set.
    pub isa: Isa,
    /// Its element type, `"f32"` or `"f64"`.
    pub element: &'static str,
    /// Rows of its tile.
    pub mr: usize,
    /// Columns of its tile, when its last vector is whole.
    pub nr: usize,
    /// Elements in a vector.
    pub lanes: usize,
}

impl fmt::Display for Kernel {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}_{}x{}_{}", self.element, self.mr, self.nr, self.isa)
    }
}

/// All microkernels, of all instruction sets, whether or not this machine has them.
pub fn registry() -> impl Iterator<Item = Kernel> {
    Isa::ALL.into_iter().flat_map(|isa| {
        let singles = kernels::<f32>(isa);
        #[cfg(feature = "f64")]
        let singles = singles.chain(kernels::<f64>(isa));
        singles
    })
}

fn kernels<E: Dispatch>(isa: Isa) -> impl Iterator<Item = Kernel> {
    let (tile, few) = (Tile::of(isa, E::BYTES), Tile::few(isa, E::BYTES));
    (1..=few.nrv).flat_map(move |nrv| {
        (1..=if nrv <= tile.nrv { tile.mr } else { few.mr }).map(move |mr| Kernel {
            isa,
            element: E::NAME,
            mr,
            nr: nrv * tile.lanes,
            lanes: tile.lanes,
        })
    })
}

/// The largest tile of an instruction set, its kernel's name, and how it rounds.
pub fn main_kernel<E: Dispatch>(isa: Isa) -> (Kernel, Rounding) {
    let tile = Tile::of(isa, E::BYTES);
    (Kernel { isa, element: E::NAME, mr: tile.mr, nr: tile.nr(), lanes: tile.lanes }, isa.rounding::<E>())
}
