//! Sums over workers: gradients in buckets, along the tree, while other work goes on.
//!
//! ```text
//!     bucket    | part 0 | part 1 | part 2 | part 3 |        one part for each of N workers
//!     scatter   worker i sends part j to worker j             (N−1)·P/N values from each
//!     add       worker j adds its N parts along the tree
//!     gather    worker j sends the sum to all                 (N−1)·P/N values from each
//! ```
//!
//! As many values as a ring moves, 2·(N−1)·P/N from each worker, in two rounds instead of 2·(N−1),
//! and the sum does not go round: it has the one order of [`shards`](trine_core::shards).

use std::ops::Range;

use trine_core::Tree;
use trine_core::shards::add;

use super::comm::{Communicator, Group, Kind, Tag, check_length};
use super::error::Error;

/// One sum that is under way.
#[derive(Debug, Default)]
pub struct AllReduce {
    number: usize,
    range: Range<usize>,
    /// Parts of the others, by member.
    parts: Vec<Option<Vec<f32>>>,
    summed: bool,
    /// Which sums of the others have come.
    have: Vec<bool>,
}

impl AllReduce {
    /// Begins to sum `values[range]`. `number` tells sums apart that are under way together.
    ///
    /// # Errors
    /// Those of the communicator; [`Error::Core`] unless the group is a power of two.
    pub fn start(
        &mut self,
        comm: &mut impl Communicator,
        group: &Group,
        number: usize,
        values: &[f32],
        range: Range<usize>,
    ) -> Result<(), Error> {
        Tree::new(group.len())?.subtree(group.len())?;
        self.number = number;
        self.range = range;
        self.summed = false;
        self.parts.resize_with(group.len(), || None);
        self.have.clear();
        self.have.resize(group.len(), false);
        self.have[group.me] = true;
        for (index, rank) in group.others() {
            comm.send_copy(rank, Tag::new(Kind::Scatter, number), &values[self.part(index)?])?;
        }
        Ok(())
    }

    /// Where a member's part is.
    fn part(&self, member: usize) -> Result<Range<usize>, Error> {
        let rows = Tree::new(self.have.len())?.rows(self.range.len(), member);
        Ok(self.range.start + rows.start..self.range.start + rows.end)
    }

    /// Does what can be done without waiting. True once the sum is there.
    ///
    /// # Errors
    /// Those of the communicator, [`Error::Length`].
    pub fn progress(
        &mut self,
        comm: &mut impl Communicator,
        group: &Group,
        values: &mut [f32],
    ) -> Result<bool, Error> {
        if !self.summed {
            let tag = Tag::new(Kind::Scatter, self.number);
            for (index, rank) in group.others() {
                if self.parts[index].is_none() {
                    self.parts[index] = comm.poll(rank, tag)?;
                }
            }
            if group.others().any(|(index, _)| self.parts[index].is_none()) {
                return Ok(false);
            }
            self.sum(comm, group, values)?;
        }
        for (index, rank) in group.others() {
            if !self.have[index]
                && let Some(sum) = comm.poll(rank, Tag::new(Kind::Gather, self.number))?
            {
                self.accept(comm, (index, rank), values, sum)?;
            }
        }
        Ok(self.have.iter().all(|&have| have))
    }

    /// Waits for the parts of the others and sends the sum.
    fn wait_for_parts(
        &mut self,
        comm: &mut impl Communicator,
        group: &Group,
        values: &mut [f32],
    ) -> Result<(), Error> {
        if self.summed {
            return Ok(());
        }
        for (index, rank) in group.others() {
            if self.parts[index].is_none() {
                self.parts[index] = Some(comm.wait(rank, Tag::new(Kind::Scatter, self.number))?);
            }
        }
        self.sum(comm, group, values)
    }

    /// Waits for the sums of the others.
    fn wait_for_sums(
        &mut self,
        comm: &mut impl Communicator,
        group: &Group,
        values: &mut [f32],
    ) -> Result<(), Error> {
        for (index, rank) in group.others() {
            if !self.have[index] {
                let sum = comm.wait(rank, Tag::new(Kind::Gather, self.number))?;
                self.accept(comm, (index, rank), values, sum)?;
            }
        }
        Ok(())
    }

    /// Waits for the whole sum.
    ///
    /// # Errors
    /// Those of the communicator, [`Error::Length`].
    pub fn wait(
        &mut self,
        comm: &mut impl Communicator,
        group: &Group,
        values: &mut [f32],
    ) -> Result<(), Error> {
        self.wait_for_parts(comm, group, values)?;
        self.wait_for_sums(comm, group, values)
    }

    /// Adds up the own part and sends the sum to all.
    fn sum(&mut self, comm: &mut impl Communicator, group: &Group, values: &mut [f32]) -> Result<(), Error> {
        let own = self.part(group.me)?;
        for (index, rank) in group.others() {
            let found = self.parts[index].as_deref().unwrap_or_default();
            check_length(found, rank, Tag::new(Kind::Scatter, self.number), own.len())?;
        }
        let mut sum = fold(comm, &mut self.parts, &values[own.clone()]);
        if let Some(sum) = &sum {
            values[own.clone()].copy_from_slice(sum);
        }
        let tag = Tag::new(Kind::Gather, self.number);
        for (_, rank) in group.others() {
            // The vector in which the sum was taken is one message already.
            match sum.take() {
                Some(sum) => comm.send(rank, tag, sum)?,
                None => comm.send_copy(rank, tag, &values[own.clone()])?,
            }
        }
        self.summed = true;
        Ok(())
    }

    fn accept(
        &mut self,
        comm: &mut impl Communicator,
        (index, rank): (usize, usize),
        values: &mut [f32],
        sum: Vec<f32>,
    ) -> Result<(), Error> {
        let part = self.part(index)?;
        check_length(&sum, rank, Tag::new(Kind::Gather, self.number), part.len())?;
        values[part].copy_from_slice(&sum);
        comm.give_back(sum);
        self.have[index] = true;
        Ok(())
    }
}

/// The sum of some members' parts along the tree; `None` is the own part, which lies in `own`. The
/// two sides of a node may change places: a + b and b + a are the same bits.
fn fold(comm: &mut impl Communicator, parts: &mut [Option<Vec<f32>>], own: &[f32]) -> Option<Vec<f32>> {
    if let [part] = parts {
        return part.take();
    }
    let (left, right) = parts.split_at_mut(parts.len() / 2);
    match (fold(comm, left, own), fold(comm, right, own)) {
        (Some(mut left), Some(right)) => {
            add(&mut left, &right);
            comm.give_back(right);
            Some(left)
        }
        (Some(mut side), None) | (None, Some(mut side)) => {
            add(&mut side, own);
            Some(side)
        }
        (None, None) => None,
    }
}

/// The gradients of a step, from the last layer to the first, cut into buckets.
#[derive(Debug)]
pub struct Buckets {
    group: Group,
    /// Values in each, but for the last.
    len: usize,
    /// Gradients from here on are complete and not yet in a bucket, up to `end`.
    begin: usize,
    end: usize,
    /// As many as a step has, used again in the next one.
    sums: Vec<AllReduce>,
    started: usize,
    /// The first that may not be finished.
    oldest: usize,
}

impl Buckets {
    /// For sums over a group, `len` values in a bucket.
    pub fn new(group: Group, len: usize) -> Self {
        Buckets { group, len: len.max(1), begin: 0, end: 0, sums: Vec::new(), started: 0, oldest: 0 }
    }

    /// Begins a step with so many gradients.
    pub fn begin(&mut self, len: usize) {
        (self.begin, self.end, self.started, self.oldest) = (len, len, 0, 0);
    }

    /// Gradients from `from` on are complete: full buckets are sent, and what has come is added.
    ///
    /// # Errors
    /// Those of the communicator.
    pub fn ready(
        &mut self,
        comm: &mut impl Communicator,
        grads: &mut [f32],
        from: usize,
    ) -> Result<(), Error> {
        self.begin = from;
        while self.end - self.begin >= self.len {
            self.send(comm, grads, self.end - self.len)?;
        }
        for i in self.oldest..self.started {
            let done = self.sums[i].progress(comm, &self.group, grads)?;
            if done && i == self.oldest {
                self.oldest += 1;
            }
        }
        Ok(())
    }

    /// Gradients below what is ready, down to `to`, are none of these sums' business.
    ///
    /// # Errors
    /// Those of the communicator.
    pub fn skip(&mut self, comm: &mut impl Communicator, grads: &[f32], to: usize) -> Result<(), Error> {
        if self.end > self.begin {
            self.send(comm, grads, self.begin)?;
        }
        (self.begin, self.end) = (to, to);
        Ok(())
    }

    fn send(&mut self, comm: &mut impl Communicator, grads: &[f32], from: usize) -> Result<(), Error> {
        if self.sums.len() == self.started {
            self.sums.push(AllReduce::default());
        }
        let range = from..self.end;
        self.sums[self.started].start(comm, &self.group, self.started, grads, range)?;
        self.started += 1;
        self.end = from;
        Ok(())
    }

    /// Sends what is left, and waits for all sums. First all parts are waited for, which every
    /// worker has sent before it waits, then all sums: nobody waits in a circle.
    ///
    /// # Errors
    /// Those of the communicator.
    pub fn finish(&mut self, comm: &mut impl Communicator, grads: &mut [f32]) -> Result<(), Error> {
        if self.end > self.begin {
            self.send(comm, grads, self.begin)?;
        }
        let open = &mut self.sums[self.oldest..self.started];
        for sum in open.iter_mut() {
            sum.wait_for_parts(comm, &self.group, grads)?;
        }
        open.iter_mut().try_for_each(|sum| sum.wait_for_sums(comm, &self.group, grads))
    }
}
