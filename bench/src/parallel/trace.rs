//! What a worker did when, for the pictures.

use std::time::Instant;

/// What a worker spends its time with.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Work {
    /// Forward of a microbatch.
    Forward(usize),
    /// Backward of a microbatch, its all-reduce on the way included.
    Backward(usize),
    /// For a message of a neighbour.
    Wait,
    /// For sums over the replicas.
    Reduce,
    /// The optimizer's step.
    Step,
}

/// A stretch of time, in seconds since the trace's beginning.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Span {
    /// With what.
    pub work: Work,
    /// From.
    pub start: f64,
    /// To.
    pub end: f64,
}

/// Spans of one worker; nothing is written down until it is told to.
#[derive(Clone, Debug, Default)]
pub struct Trace {
    origin: Option<Instant>,
    /// In order.
    pub spans: Vec<Span>,
}

impl Trace {
    /// Writes down from now on, with times since `origin`.
    pub fn begin(&mut self, origin: Instant) {
        self.origin = Some(origin);
        self.spans.clear();
    }

    /// Writes no more.
    pub fn end(&mut self) {
        self.origin = None;
    }

    /// Something that has begun at `start` and ends now.
    pub fn push(&mut self, work: Work, start: Instant) {
        if let Some(origin) = self.origin {
            let seconds = |time: Instant| time.saturating_duration_since(origin).as_secs_f64();
            self.spans.push(Span { work, start: seconds(start), end: seconds(Instant::now()) });
        }
    }
}
