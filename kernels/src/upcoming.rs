//! What a backward pass reads next, on its way from memory while something else is computed.
//!
//! ```text
//!     block of the batch        ∇X, ∇W          in each turn of a kernel's loop some lines of
//!     the next one              ∇Y, Y, X   ←    these, from end to end
//! ```
//!
//! A processor that finds out by itself what comes next loses the thread where kernels read many rows side by side,
//! and memory has nothing to do while they work in the caches. All lines at once would wait for one another; a few in
//! each turn cost next to nothing.

use core::cell::Cell;
use core::ptr::null;

use trine_core::{Activation, Element, K_BLOCK, Shape};

use crate::backward::Sweep;
use crate::isa::Kernels;
use crate::microkernel::UNROLL;
use crate::narrow;
use crate::pack::Source;
use crate::plan::{Blocking, LINE, Order, Tile};

/// A piece of memory: its first line, and how many there are.
pub type Piece<E> = (*const E, usize);

/// Pieces of memory, of which the lines are fetched one after the other.
#[derive(Clone, Copy, Debug)]
pub struct Upcoming<E> {
    at: *const E,
    /// Lines that are left of this piece.
    lines: usize,
    /// Lines in a turn.
    each: usize,
    rest: [Piece<E>; 2],
}

/// What is to be fetched, if anything: a kernel goes on where the one before has stopped.
pub type Ahead<'u, E> = Option<&'u Cell<Upcoming<E>>>;

impl<E: Element> Upcoming<E> {
    /// What a block of the batch that begins at row `r` will read, if it comes from memory: but what goes in runs, which
    /// are fetched one by one.
    #[inline(always)]
    pub fn block<V: Kernels<E>>(s: &Sweep<E>, r: usize, in_runs: bool, blocking: &Blocking) -> Option<Self> {
        if r < s.shape.n && V::HINTS { Self::from_memory(s, r, in_runs, blocking) } else { None }
    }

    /// Apart from what a batch of one block does.
    #[inline(never)]
    fn from_memory(s: &Sweep<E>, r: usize, in_runs: bool, blocking: &Blocking) -> Option<Self> {
        let Sweep { shape: Shape { n, d, m }, x, dy, saved, activation, dx, dw, .. } = *s;
        let (derives, sums) = (activation != Activation::Identity, dw.is_some());
        let accessed = [(true, m), (derives, m), (sums, d), (dx.is_some(), d)];
        let width =
            accessed.iter().fold(0, |sum: usize, &(is, cols)| sum.saturating_add(usize::from(is) * cols));
        if n.saturating_mul(width).saturating_mul(E::BYTES) < blocking.thresholds.past_bytes {
            return None;
        }
        let rows = K_BLOCK.min(n - r);
        let piece = |source: Source<E>, read: bool, cols: usize| {
            // Of rows apart from each other only some lines are needed.
            let (from, lines) = lines(source.at(r, 0), (rows, cols), 1);
            // What is too large would be gone from L2 before it is needed.
            if read && lines <= blocking.thresholds.copy_b_bytes / LINE { (from, lines) } else { (null(), 0) }
        };
        let dy = piece(dy, derives || dx.is_some() || !in_runs, m);
        Some(Self::new([dy, piece(saved, derives, m), piece(x, sums && !in_runs, d)]))
    }

    /// These pieces, one after the other.
    pub fn new([first, second, third]: [Piece<E>; 3]) -> Self {
        let mut all = Upcoming { at: first.0, lines: first.1, each: 0, rest: [second, third] };
        all.go_on();
        all
    }

    /// Spread over so many turns, in each at least one line.
    fn over(self, turns: usize) -> Self {
        let lines = self.lines + self.rest[0].1 + self.rest[1].1;
        Upcoming { each: lines.div_ceil(turns.max(1)), ..self }
    }

    /// What would be fetched of a piece in so many turns, and will not any more.
    fn take(&mut self, turns: usize) -> Piece<E> {
        let taken = (self.at, self.lines.min(self.each.saturating_mul(turns)));
        self.at = self.at.wrapping_add(taken.1 * (LINE / E::BYTES));
        self.lines -= taken.1;
        self.go_on();
        taken
    }

    /// Whether something is left.
    #[inline(always)]
    pub fn is_some(&self) -> bool {
        self.lines > 0
    }

    /// The lines of one turn, at the end of a piece perhaps some that are behind it.
    #[inline(always)]
    pub fn fetch(&mut self, prefetch: impl Fn(*const E)) {
        for _ in 0..self.each {
            prefetch(self.at);
            self.at = self.at.wrapping_add(LINE / E::BYTES);
        }
        self.lines = self.lines.saturating_sub(self.each);
        if self.lines == 0 {
            self.go_on();
        }
    }

    /// To the next piece that has lines, if there is one.
    #[inline(never)]
    fn go_on(&mut self) {
        for _ in 0..2 {
            if self.lines == 0 {
                (self.at, self.lines) = self.rest[0];
                self.rest = [self.rest[1], (null(), 0)];
            }
        }
    }
}

/// Spreads a part of what is to be fetched, one of `parts`, over a product of this shape and order of A.
#[inline(always)]
pub fn spread<V: Kernels<E>, E: Element>(
    ahead: Ahead<E>,
    shape: (usize, usize, usize),
    a: Order,
    parts: usize,
) {
    if let Some(upcoming) = ahead {
        upcoming.set(upcoming.get().over(turns::<V, E>(shape, a).saturating_mul(parts)));
    }
}

/// The share that a product of this shape, with A by columns, has in what is to be fetched.
pub fn share<V: Kernels<E>, E: Element>(ahead: Ahead<E>, shape: (usize, usize, usize)) -> Piece<E> {
    ahead.map_or((null(), 0), |ahead| {
        let mut all = ahead.get();
        let taken = all.take(turns::<V, E>(shape, Order::Columns));
        ahead.set(all);
        taken
    })
}

/// The lines of some rows of a matrix, if these are at most `gaps` times as far apart as they are long.
#[inline(always)]
pub fn lines<E: Element>(from: Source<E>, (rows, cols): (usize, usize), gaps: usize) -> Piece<E> {
    let all = from.col == 1 && from.row >= cols && from.row <= gaps * cols;
    if all { (from.ptr, rows.saturating_mul(from.row).saturating_mul(E::BYTES) / LINE) } else { (null(), 0) }
}

/// Turns of the kernels' loops in a product of this shape.
#[inline(never)]
fn turns<V: Kernels<E>, E: Element>((m, n, k): (usize, usize, usize), a: Order) -> usize {
    let tile = const { Tile::of(V::ISA, E::BYTES) };
    let tiles = |m: usize, n: usize| m.div_ceil(tile.mr).saturating_mul(n.div_ceil(tile.nr()));
    let tiles = if narrow::pays((m, n, k), a, V::ISA, V::LANES) { tiles(n, m) } else { tiles(m, n) };
    tiles.saturating_mul(k / UNROLL)
}

#[cfg(test)]
mod tests {
    extern crate std;
    use std::cell::RefCell;
    use std::vec::Vec;

    use super::*;

    /// All lines that so many turns fetch, as their numbers.
    fn fetched(pieces: [Piece<f32>; 3], turns: usize) -> Vec<usize> {
        let (mut upcoming, lines) = (Upcoming::new(pieces).over(turns), RefCell::new(Vec::new()));
        while upcoming.is_some() {
            upcoming.fetch(|p| lines.borrow_mut().push(p.addr() / LINE));
        }
        lines.into_inner()
    }

    #[test]
    fn every_line_is_fetched_once() {
        let piece = |line: usize, lines| (core::ptr::without_provenance(line * LINE), lines);
        let none = (null(), 0);
        let all: Vec<usize> = (10..13).chain(20..22).chain(30..37).collect();
        assert_eq!(fetched([piece(10, 3), piece(20, 2), piece(30, 7)], 12), all);
        assert_eq!(fetched([piece(10, 3), piece(20, 2), piece(30, 7)], 1000), all);
        // Whatever is missing.
        assert_eq!(fetched([none, piece(20, 2), none], 2), [20, 21]);
        assert_eq!(fetched([none, none, piece(30, 2)], 2), [30, 31]);
        assert_eq!(fetched([piece(30, 2), none, piece(5, 1)], 3), [30, 31, 5]);
        assert!(fetched([none, none, none], 0).is_empty());
        // Several in a turn, the last of a piece with one that is behind it.
        assert_eq!(fetched([piece(10, 3), none, piece(20, 2)], 3), [10, 11, 12, 13, 20, 21]);
    }
}
