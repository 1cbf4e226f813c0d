//! How workers talk: the one interface between the worker and whatever carries its messages.

use std::fmt;

use super::error::Error;

/// What a message is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// Settings, hashes, counts: between the steps.
    Control,
    /// The output of a stage, to the next.
    Activation,
    /// The gradient of a stage's input, to the one before.
    Gradient,
    /// A part of a bucket, to the worker that adds it up.
    Scatter,
    /// The sum of a part, to all.
    Gather,
    /// A layer's input and error, to all who compute its gradient themselves.
    Rows,
}

/// A kind and a number, by which a message is asked for: the number of a microbatch, of a bucket, of
/// a layer. Messages of one tag between two workers arrive in the order in which they were sent.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Tag {
    /// What it is.
    pub kind: Kind,
    /// Which.
    pub number: usize,
}

impl Tag {
    /// A tag.
    pub const fn new(kind: Kind, number: usize) -> Self {
        Tag { kind, number }
    }
}

impl fmt::Display for Tag {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Tag { kind, number } = self;
        match kind {
            Kind::Control => write!(f, "control message {number}"),
            Kind::Activation => write!(f, "activation of microbatch {number}"),
            Kind::Gradient => write!(f, "gradient of microbatch {number}"),
            Kind::Scatter => write!(f, "part of bucket {number}"),
            Kind::Gather => write!(f, "sum of bucket {number}"),
            Kind::Rows => write!(f, "rows of layer {number}"),
        }
    }
}

/// One worker's end of the connections to all others.
///
/// A message is a vector of values that changes hands: [`buffer`](Communicator::buffer) →
/// filled → [`send`](Communicator::send) → [`poll`](Communicator::poll) or
/// [`wait`](Communicator::wait) at the other end → read → [`give_back`](Communicator::give_back).
/// Vectors are used again, so that after the first step none is made. A sum over workers is
/// [`AllReduce`](super::reduce::AllReduce), on top of this, in the one order of additions that
/// carriers have no say in.
pub trait Communicator {
    /// The number of this worker.
    fn rank(&self) -> usize;

    /// How many workers there are.
    fn size(&self) -> usize;

    /// An empty vector.
    fn buffer(&mut self) -> Vec<f32>;

    /// Takes a vector that is no longer needed.
    fn give_back(&mut self, buffer: Vec<f32>);

    /// Begins to send, and does not wait for the message to arrive.
    ///
    /// # Errors
    /// [`Error::Gone`]; [`Error::Timeout`] if a full channel is not emptied.
    fn send(&mut self, to: usize, tag: Tag, message: Vec<f32>) -> Result<(), Error>;

    /// The message, if it has arrived.
    ///
    /// # Errors
    /// [`Error::Gone`].
    fn poll(&mut self, from: usize, tag: Tag) -> Result<Option<Vec<f32>>, Error>;

    /// The message as soon as it arrives.
    ///
    /// # Errors
    /// [`Error::Gone`], [`Error::Timeout`].
    fn wait(&mut self, from: usize, tag: Tag) -> Result<Vec<f32>, Error>;

    /// [`wait`](Communicator::wait) for a message of a known length.
    ///
    /// # Errors
    /// [`Error::Length`] too.
    fn receive(&mut self, from: usize, tag: Tag, expected: usize) -> Result<Vec<f32>, Error> {
        let message = self.wait(from, tag)?;
        check_length(&message, from, tag, expected)?;
        Ok(message)
    }

    /// [`send`](Communicator::send) of a copy.
    ///
    /// # Errors
    /// As there.
    fn send_copy(&mut self, to: usize, tag: Tag, values: &[f32]) -> Result<(), Error> {
        let mut buffer = self.buffer();
        buffer.extend_from_slice(values);
        self.send(to, tag, buffer)
    }
}

pub(crate) fn check_length(message: &[f32], rank: usize, tag: Tag, expected: usize) -> Result<(), Error> {
    match message.len() {
        found if found != expected => Err(Error::Length { rank, tag, expected, found }),
        _ => Ok(()),
    }
}

/// Some of the workers, in an order that all of them know: one direction of the grid.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Group {
    /// Their ranks.
    pub members: Vec<usize>,
    /// Which of them this worker is.
    pub me: usize,
}

impl Group {
    /// How many there are.
    pub fn len(&self) -> usize {
        self.members.len()
    }

    /// Whether nobody is in it.
    pub fn is_empty(&self) -> bool {
        self.members.is_empty()
    }

    /// Index and rank of all members but this one.
    pub fn others(&self) -> impl Iterator<Item = (usize, usize)> + '_ {
        self.members.iter().copied().enumerate().filter(|&(index, _)| index != self.me)
    }
}

/// Whole numbers as values that hold them exactly, sixteen bits in each.
fn to_values(numbers: &[u64]) -> impl Iterator<Item = f32> + '_ {
    numbers.iter().flat_map(|number| [0, 16, 32, 48].map(|shift| f32::from((number >> shift) as u16)))
}

fn to_numbers(values: &[f32]) -> Vec<u64> {
    let piece = |(i, &value): (usize, &f32)| u64::from(value as u16) << (16 * i);
    values.chunks(4).map(|four| four.iter().enumerate().map(piece).sum()).collect()
}

/// What every member of a group says, in the order of the group. All say as many numbers.
///
/// # Errors
/// Those of the communicator.
pub fn share(comm: &mut impl Communicator, group: &Group, numbers: &[u64]) -> Result<Vec<Vec<u64>>, Error> {
    let tag = Tag::new(Kind::Control, 0);
    for (_, rank) in group.others() {
        let mut message = comm.buffer();
        message.extend(to_values(numbers));
        comm.send(rank, tag, message)?;
    }
    let mut all = vec![numbers.to_vec(); group.len()];
    for (index, rank) in group.others() {
        let message = comm.receive(rank, tag, 4 * numbers.len())?;
        all[index] = to_numbers(&message);
        comm.give_back(message);
    }
    Ok(all)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_survive_as_values() {
        let numbers = [0, 1, u64::MAX, 0xff5a_d141_bb12_b9cb, f64::NAN.to_bits(), 0x7fa0_0001];
        let values: Vec<f32> = to_values(&numbers).collect();
        assert_eq!(values.len(), 24);
        assert_eq!(to_numbers(&values), numbers);
    }
}
