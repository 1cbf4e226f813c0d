//! Who has which part of the work.
//!
//! ```text
//!     rank = (replica · stages + stage) · parts + part
//!
//!     replicas   data parallel       the same weights, other microbatches
//!     stages     pipeline            other layers
//!     parts      tensor parallel     other columns and rows of the same layers
//! ```
//!
//! A group is a line through the grid in one direction.

use std::ops::Range;

use trine_core::{Network, Tree};

use super::comm::Group;
use super::error::Error;

/// Numbers of workers in each direction.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Grid {
    /// Data parallel.
    pub replicas: usize,
    /// Pipeline parallel.
    pub stages: usize,
    /// Tensor parallel.
    pub parts: usize,
}

/// One worker's place in the grid.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Seat {
    /// Which replica.
    pub replica: usize,
    /// Which stage.
    pub stage: usize,
    /// Which part.
    pub part: usize,
}

impl Grid {
    /// A single worker.
    pub const ONE: Grid = Grid { replicas: 1, stages: 1, parts: 1 };

    /// Workers in all.
    pub const fn workers(&self) -> usize {
        self.replicas * self.stages * self.parts
    }

    /// Where a worker is.
    pub const fn seat(&self, rank: usize) -> Seat {
        let part = rank % self.parts;
        let stage = rank / self.parts % self.stages;
        Seat { replica: rank / self.parts / self.stages, stage, part }
    }

    /// Who is there.
    pub const fn rank(&self, seat: Seat) -> usize {
        (seat.replica * self.stages + seat.stage) * self.parts + seat.part
    }

    fn line(&self, me: usize, seats: impl Iterator<Item = Seat>) -> Group {
        Group { members: seats.map(|seat| self.rank(seat)).collect(), me }
    }

    /// The workers that have the same weights as this one.
    pub fn replicas_of(&self, seat: Seat) -> Group {
        self.line(seat.replica, (0..self.replicas).map(|replica| Seat { replica, ..seat }))
    }

    /// The workers that have the other parts of the same layers.
    pub fn parts_of(&self, seat: Seat) -> Group {
        self.line(seat.part, (0..self.parts).map(|part| Seat { part, ..seat }))
    }

    /// The workers that together have one copy of the weights.
    pub fn copy_of(&self, seat: Seat) -> Group {
        let size = self.stages * self.parts;
        let first = seat.replica * size;
        Group { members: (first..first + size).collect(), me: seat.stage * self.parts + seat.part }
    }

    /// All workers.
    pub fn all(&self, seat: Seat) -> Group {
        Group { members: (0..self.workers()).collect(), me: self.rank(seat) }
    }
}

/// Cuts layers into contiguous stages, none empty, so that the largest has as few weights as
/// possible: the time of a stage goes with them. Ties go to the earlier cut. With more than one
/// shard layers belong in pairs, the first with the second and so on, which are not cut.
///
/// # Errors
/// [`Error::Settings`] if there are more stages than layers or pairs.
pub fn stages(widths: &[usize], stages: usize, shards: usize) -> Result<Vec<Range<usize>>, Error> {
    let (layers, step) = (widths.len() - 1, if shards > 1 { 2 } else { 1 });
    if stages == 0 || stages > layers.div_ceil(step) {
        let pairs = if shards > 1 { ", in pairs," } else { "" };
        return Err(Error::Settings(format!("{layers} layers{pairs} cannot be cut into {stages} stages")));
    }
    let cuttable = |layer: &usize| layer.is_multiple_of(step) || *layer == layers;
    let size = |range: Range<usize>| range.map(|layer| widths[layer] * widths[layer + 1]).sum::<usize>();
    // best[i]: the first i layers in the stages so far, the size of the largest, and the cuts.
    let mut best: Vec<Option<(usize, Vec<usize>)>> = vec![None; layers + 1];
    best[0] = Some((0, Vec::new()));
    for _ in 0..stages {
        let mut next: Vec<Option<(usize, Vec<usize>)>> = vec![None; layers + 1];
        for to in (1..=layers).filter(cuttable) {
            for from in (0..to).filter(cuttable) {
                let Some((largest, cuts)) = &best[from] else { continue };
                let largest = (*largest).max(size(from..to));
                if next[to].as_ref().is_none_or(|(other, _)| largest < *other) {
                    let cuts = cuts.iter().copied().chain([to]).collect();
                    next[to] = Some((largest, cuts));
                }
            }
        }
        best = next;
    }
    let cuts = best.swap_remove(layers).map(|(_, cuts)| cuts).unwrap_or_default();
    let starts = [0].into_iter().chain(cuts.clone());
    Ok(starts.zip(cuts).map(|(from, to)| from..to).collect())
}

/// Layers that a worker computes together.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Piece {
    /// Whole layers.
    Whole(Range<usize>),
    /// Some of the shards of two layers: columns of the first, the same rows of the second.
    Pair {
        /// The first of the two layers.
        first: usize,
        /// Which shards.
        shards: Range<usize>,
        /// Of how many: the leaves of the tree of partial sums.
        of: usize,
    },
}

/// Where a worker's parameters are among all: its slice is piece after piece, within a pair shard
/// after shard; within a shard, W₁'s columns, their b₁, W₂'s rows, b₂. The bias b₂ is added once,
/// with the first shard; for all others it is zero and stays zero.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Layout {
    /// In order.
    pub pieces: Vec<Piece>,
    widths: Vec<usize>,
}

/// The parameters of one layer in a worker's slice.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Span {
    /// Where.
    pub range: Range<usize>,
    /// Which layer of the whole network.
    pub layer: usize,
    /// Whether it is a whole layer.
    pub whole: bool,
}

impl Layout {
    /// The parameters of a worker.
    ///
    /// # Errors
    /// [`Error::Settings`]: too many stages, or shards that do not go round.
    pub fn new(widths: &[usize], grid: &Grid, seat: Seat, shards: usize) -> Result<Self, Error> {
        let layers = stages(widths, grid.stages, shards)?.swap_remove(seat.stage);
        let own = Tree::new(shards).and_then(|tree| tree.subtree(grid.parts)).map_err(|_| {
            let parts = grid.parts;
            Error::Settings(format!("{shards} shards of a layer cannot be shared among {parts} workers"))
        })?;
        let shards_of_own = seat.part * own.leaves()..(seat.part + 1) * own.leaves();
        let mut pieces = Vec::new();
        if shards == 1 {
            pieces.push(Piece::Whole(layers));
        } else {
            let pairs = layers.len() / 2;
            pieces.extend((0..pairs).map(|pair| Piece::Pair {
                first: layers.start + 2 * pair,
                shards: shards_of_own.clone(),
                of: shards,
            }));
            if layers.len() % 2 == 1 {
                pieces.push(Piece::Whole(layers.end - 1..layers.end));
            }
        }
        Ok(Layout { pieces, widths: widths.to_vec() })
    }

    /// The layers of the stage.
    pub fn layers(&self) -> Range<usize> {
        let ends = |piece: &Piece| match piece {
            Piece::Whole(layers) => layers.clone(),
            Piece::Pair { first, .. } => *first..first + 2,
        };
        let first = self.pieces.first().map_or(0, |piece| ends(piece).start);
        first..self.pieces.last().map_or(0, |piece| ends(piece).end)
    }

    /// Widths d, m_shard, m of a shard of a pair.
    pub fn shard_widths(&self, first: usize, shard: usize, of: usize) -> Result<[usize; 3], Error> {
        let hidden = Tree::new(of)?.rows(self.widths[first + 1], shard).len();
        Ok([self.widths[first], hidden, self.widths[first + 2]])
    }

    /// Each layer's parameters in the worker's slice, in order.
    ///
    /// # Errors
    /// None where the layout was made by [`new`](Layout::new).
    pub fn spans(&self) -> Result<Vec<Span>, Error> {
        let (mut spans, mut start) = (Vec::new(), 0);
        let mut push = |layer, whole, len| {
            spans.push(Span { range: start..start + len, layer, whole });
            start += len;
        };
        for piece in &self.pieces {
            match piece {
                Piece::Whole(layers) => {
                    for layer in layers.clone() {
                        push(layer, true, (self.widths[layer] + 1) * self.widths[layer + 1]);
                    }
                }
                Piece::Pair { first, shards, of } => {
                    for shard in shards.clone() {
                        let [d, hidden, m] = self.shard_widths(*first, shard, *of)?;
                        push(*first, false, (d + 1) * hidden);
                        push(first + 1, false, (hidden + 1) * m);
                    }
                }
            }
        }
        Ok(spans)
    }

    /// Values in the worker's slice.
    ///
    /// # Errors
    /// As [`spans`](Layout::spans).
    pub fn params(&self) -> Result<usize, Error> {
        Ok(self.spans()?.last().map_or(0, |span| span.range.end))
    }

    /// Calls `copy(local, whole)` for runs of values that lie together in the worker's slice and
    /// among all parameters.
    fn runs(&self, network: &Network<'_>, mut copy: impl FnMut(Range<usize>, usize)) -> Result<(), Error> {
        let mut local = 0;
        let mut run = |len: usize, whole: usize| {
            copy(local..local + len, whole);
            local += len;
        };
        let start = |layer: usize| network.params_range(layer..layer + 1).start;
        for piece in &self.pieces {
            match piece {
                Piece::Whole(layers) => {
                    let range = network.params_range(layers.clone());
                    run(range.len(), range.start);
                }
                Piece::Pair { first, shards, of } => {
                    for shard in shards.clone() {
                        let [d, _, m] = self.shard_widths(*first, shard, *of)?;
                        let all = self.widths[first + 1];
                        let columns = Tree::new(*of)?.rows(all, shard);
                        for row in 0..=d {
                            run(columns.len(), start(*first) + row * all + columns.start);
                        }
                        run(columns.len() * m, start(first + 1) + columns.start * m);
                        // b₂, but for the first shard none.
                        run(m, if shard == 0 { start(first + 1) + all * m } else { usize::MAX });
                    }
                }
            }
        }
        Ok(())
    }

    /// A worker's values out of those of the whole network.
    ///
    /// # Errors
    /// As [`spans`](Layout::spans).
    pub fn take(&self, network: &Network<'_>, whole: &[f32], own: &mut [f32]) -> Result<(), Error> {
        self.runs(network, |local, from| match from {
            usize::MAX => own[local].fill(0.0),
            _ => {
                let len = local.len();
                own[local].copy_from_slice(&whole[from..from + len]);
            }
        })
    }

    /// A worker's values into those of the whole network.
    ///
    /// # Errors
    /// As [`spans`](Layout::spans).
    pub fn put(&self, network: &Network<'_>, own: &[f32], whole: &mut [f32]) -> Result<(), Error> {
        self.runs(network, |local, to| {
            if to != usize::MAX {
                let len = local.len();
                whole[to..to + len].copy_from_slice(&own[local]);
            }
        })
    }
}

#[cfg(test)]
mod tests {
    use trine_core::Activation;

    use super::*;

    #[test]
    fn seats_and_ranks_go_together() {
        let grid = Grid { replicas: 2, stages: 3, parts: 4 };
        for rank in 0..grid.workers() {
            let seat = grid.seat(rank);
            assert_eq!(grid.rank(seat), rank);
            for group in [grid.replicas_of(seat), grid.parts_of(seat), grid.copy_of(seat), grid.all(seat)] {
                assert_eq!(group.members[group.me], rank);
            }
        }
        assert_eq!(grid.replicas_of(grid.seat(5)).members, [5, 17]);
        assert_eq!(grid.parts_of(grid.seat(5)).members, [4, 5, 6, 7]);
    }

    #[test]
    fn stages_are_balanced() {
        assert_eq!(stages(&[784, 512, 256, 10], 2, 1).expect("three layers"), [0..1, 1..3]);
        assert_eq!(stages(&[8; 9], 4, 1).expect("eight layers"), [0..2, 2..4, 4..6, 6..8]);
        assert_eq!(stages(&[4, 4, 100, 100, 4], 3, 1).expect("four layers"), [0..2, 2..3, 3..4]);
        assert_eq!(stages(&[4, 9, 9, 9, 4, 4], 2, 4).expect("pairs"), [0..2, 2..5]);
        assert!(stages(&[4, 4, 4], 2, 4).is_err(), "one pair");
        let error = stages(&[4, 4, 4], 3, 1).expect_err("two layers");
        assert_eq!(error.to_string(), "2 layers cannot be cut into 3 stages");
    }

    #[test]
    fn every_parameter_has_one_place() {
        let widths = [5, 7, 6, 9, 3, 4];
        let network = Network::new(&widths, Activation::Relu, Activation::Identity).expect("layers");
        let whole: Vec<f32> = (0..network.params_len()).map(|i| i as f32).collect();
        for (stages, parts, shards) in [(1, 1, 1), (2, 1, 1), (1, 1, 4), (1, 2, 4), (2, 2, 2), (2, 4, 8)] {
            let grid = Grid { replicas: 1, stages, parts };
            let mut again = vec![-1.0; whole.len()];
            for rank in 0..grid.workers() {
                let layout = Layout::new(&widths, &grid, grid.seat(rank), shards).expect("fits");
                let mut own = vec![f32::NAN; layout.params().expect("fits")];
                layout.take(&network, &whole, &mut own).expect("fits");
                assert!(own.iter().all(|value| !value.is_nan()));
                layout.put(&network, &own, &mut again).expect("fits");
            }
            assert_eq!(again, whole, "{stages} stages, {parts} of {shards} shards");
        }
        let grid = Grid { replicas: 1, stages: 1, parts: 2 };
        assert!(Layout::new(&widths, &grid, grid.seat(0), 3).is_err());
    }
}
