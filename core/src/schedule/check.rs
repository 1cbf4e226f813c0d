//! A proof for a set of schedules: they are run against each other, without the work.
//!
//! Every worker has a clock. A forward and a backward take a given time; a message is there as soon
//! as it has been sent; a channel between two neighbours holds a given number of messages in each
//! direction, and whoever sends into a full one waits. If nobody can go on, that is a deadlock.

use core::fmt;

use super::{Instruction, Schedule};
use crate::error::{Dim, Error};

/// What one worker knows of one microbatch. Memory of [`run`], made by the caller.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Mark {
    input: bool,
    forward: bool,
    /// The target of a last stage, the gradient of any other.
    gradient: bool,
    backward: bool,
    /// To the next stage, and to the one before.
    sent: [Option<Sent>; 2],
}

/// A message: its number in its channel, and when it was sent and taken out.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Sent {
    number: usize,
    at: u64,
    taken: Option<u64>,
}

/// Where one worker is. Memory of [`run`], made by the caller.
#[derive(Clone, Debug)]
pub struct Place<I> {
    rest: I,
    next: Option<Instruction>,
    clock: u64,
    busy: u64,
    in_flight: usize,
    peak: usize,
    done: usize,
    /// Messages sent and received, forward and backward.
    sent: [usize; 2],
    received: [usize; 2],
    reduced: bool,
    stepped: bool,
}

impl<I: Iterator<Item = Instruction>> Place<I> {
    /// At the first instruction.
    pub fn new(mut instructions: I) -> Self {
        Place {
            next: instructions.next(),
            rest: instructions,
            clock: 0,
            busy: 0,
            in_flight: 0,
            peak: 0,
            done: 0,
            sent: [0; 2],
            received: [0; 2],
            reduced: false,
            stepped: false,
        }
    }

    /// The most microbatches that were in its cache at once.
    pub const fn peak(&self) -> usize {
        self.peak
    }
}

/// What the passes take, in any unit, and what a channel holds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Costs {
    /// Time of a forward.
    pub forward: u64,
    /// Time of a backward.
    pub backward: u64,
    /// Messages that a channel holds in each direction.
    pub capacity: usize,
}

/// What a run came to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Report {
    /// Time from the beginning to the last optimizer step.
    pub makespan: u64,
    /// Time spent waiting, all workers together.
    pub idle: u64,
    /// Microbatches in the cache of one worker at most.
    pub in_flight: usize,
}

/// What is wrong with a set of schedules.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fault {
    /// The memory handed in does not fit.
    Memory(Error),
    /// Nobody can go on: a receive without its send, or a circle.
    Deadlock {
        /// The first worker that waits.
        worker: usize,
        /// What for.
        at: Instruction,
    },
    /// An instruction out of turn.
    Order {
        /// Whose.
        worker: usize,
        /// Which.
        at: Instruction,
        /// Why.
        why: &'static str,
    },
    /// Something is missing at the end.
    Missing {
        /// Whose.
        worker: usize,
        /// What.
        what: &'static str,
    },
    /// More in a cache than the schedule states.
    InFlight {
        /// Whose cache.
        worker: usize,
        /// Stated.
        expected: usize,
        /// Found.
        found: usize,
    },
    /// The times add up to more than a clock holds.
    Time {
        /// Whose.
        worker: usize,
    },
    /// The bubble is not the one of the formula.
    Bubble {
        /// Time spent waiting.
        idle: u64,
        /// Of all time.
        total: u64,
        /// The formula's fraction.
        expected: (usize, usize),
    },
}

impl fmt::Display for Fault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match *self {
            Fault::Memory(error) => error.fmt(f),
            Fault::Deadlock { worker, at } => write!(f, "deadlock: worker {worker} waits at `{at}`"),
            Fault::Order { worker, at, why } => write!(f, "worker {worker}, `{at}`: {why}"),
            Fault::Missing { worker, what } => write!(f, "worker {worker}: {what}"),
            Fault::InFlight { worker, expected, found } => {
                write!(f, "worker {worker} has {found} microbatches in its cache, not {expected}")
            }
            Fault::Time { worker } => write!(f, "the times of worker {worker} are more than a clock holds"),
            Fault::Bubble { idle, total, expected: (part, whole) } => {
                write!(f, "{idle} of {total} are spent waiting, not {part}/{whole}")
            }
        }
    }
}

impl core::error::Error for Fault {}

/// A set of workers in the middle of a run.
struct Run<'a, I, T> {
    places: &'a mut [Place<I>],
    marks: &'a mut [Mark],
    microbatches: usize,
    capacity: usize,
    /// Of a worker's forward and backward.
    times: T,
}

/// Whether an instruction could be carried out, or has to wait for another worker.
enum Step {
    Done,
    Waits,
}

const TWICE: &str = "it has been done";
const FORWARD: usize = 0;
const BACKWARD: usize = 1;

/// Runs any set of instructions, one place for each worker of the pipeline, and finds what is wrong
/// with it. `marks` are workers × microbatches. Takes a few steps per instruction, in `microbatches`
/// at most linear.
///
/// # Errors
/// [`Fault`], but for the cache and the bubble, of which nothing is known here.
pub fn run<I: Iterator<Item = Instruction>>(
    places: &mut [Place<I>],
    marks: &mut [Mark],
    microbatches: usize,
    costs: Costs,
) -> Result<Report, Fault> {
    let Costs { forward, backward, capacity } = costs;
    run_with(places, marks, microbatches, capacity, |_| (forward, backward), |_, _, _| {})
}

/// The same with times of a forward and a backward for each worker; `observe(worker, instruction,
/// time)` is told what each has done and when that was done.
///
/// # Errors
/// As [`run`].
pub fn run_with<I: Iterator<Item = Instruction>>(
    places: &mut [Place<I>],
    marks: &mut [Mark],
    microbatches: usize,
    capacity: usize,
    times: impl Fn(usize) -> (u64, u64),
    mut observe: impl FnMut(usize, Instruction, u64),
) -> Result<Report, Fault> {
    // What no number holds, no slice has.
    let (found, expected) = (marks.len(), places.len().saturating_mul(microbatches));
    if found != expected {
        let (operand, dim) = ("marks", Dim::Values);
        let error = Error::Shape { operand, dim, found, other: "schedule", other_dim: dim, expected };
        return Err(Fault::Memory(error));
    }
    marks.fill(Mark::default());
    let mut run = Run { places, marks, microbatches, capacity, times };
    loop {
        let mut moved = false;
        for worker in 0..run.places.len() {
            while let Some(instruction) = run.places[worker].next {
                match run.step(worker, instruction)? {
                    Step::Waits => break,
                    Step::Done => {
                        let place = &mut run.places[worker];
                        observe(worker, instruction, place.clock);
                        place.next = place.rest.next();
                        place.done += 1;
                        moved = true;
                    }
                }
            }
        }
        let waiting = run.places.iter().enumerate().find_map(|(worker, place)| Some((worker, place.next?)));
        match waiting {
            None => return run.finish(),
            Some((worker, at)) if !moved => return Err(Fault::Deadlock { worker, at }),
            Some(_) => {}
        }
    }
}

impl<I: Iterator<Item = Instruction>, T: Fn(usize) -> (u64, u64)> Run<'_, I, T> {
    fn step(&mut self, worker: usize, at: Instruction) -> Result<Step, Fault> {
        let wrong = |why| Err(Fault::Order { worker, at, why });
        let (first, last) = (worker == 0, worker + 1 == self.places.len());
        match (at, self.places[worker].done) {
            (Instruction::ZeroGrad, 0) => {}
            (Instruction::ZeroGrad, _) => return wrong("gradients that are there already are lost"),
            (_, 0) => return wrong("gradients of the step before are still there"),
            _ => {}
        }
        if self.places[worker].stepped {
            return wrong("the step is over");
        }
        match at {
            Instruction::ZeroGrad => {}
            Instruction::OptimizerStep => self.places[worker].stepped = true,
            Instruction::LoadInput(i) if first => self.input(worker, i, at)?,
            Instruction::LoadTarget(i) if last => self.gradient(worker, i, at)?,
            Instruction::Forward(i) => self.forward(worker, i, at)?,
            Instruction::Backward { microbatch, reduce } => self.backward(worker, microbatch, reduce, at)?,
            Instruction::SendActivation(i) if !last => return self.send(worker, FORWARD, i, at),
            Instruction::SendGradient(i) if !first => return self.send(worker, BACKWARD, i, at),
            Instruction::RecvActivation(i) if !first => {
                if let Step::Waits = self.receive(worker, worker - 1, FORWARD, i, at)? {
                    return Ok(Step::Waits);
                }
                self.input(worker, i, at)?;
            }
            Instruction::RecvGradient(i) if !last => {
                if let Step::Waits = self.receive(worker, worker + 1, BACKWARD, i, at)? {
                    return Ok(Step::Waits);
                }
                self.gradient(worker, i, at)?;
            }
            _ => return wrong("not for this stage"),
        }
        Ok(Step::Done)
    }

    fn mark(&mut self, worker: usize, microbatch: usize, at: Instruction) -> Result<&mut Mark, Fault> {
        if microbatch >= self.microbatches {
            return Err(Fault::Order { worker, at, why: "there is no such microbatch" });
        }
        Ok(&mut self.marks[worker * self.microbatches + microbatch])
    }

    fn input(&mut self, worker: usize, microbatch: usize, at: Instruction) -> Result<(), Fault> {
        let mark = self.mark(worker, microbatch, at)?;
        if core::mem::replace(&mut mark.input, true) {
            return Err(Fault::Order { worker, at, why: TWICE });
        }
        let place = &mut self.places[worker];
        place.in_flight += 1;
        place.peak = place.peak.max(place.in_flight);
        Ok(())
    }

    fn gradient(&mut self, worker: usize, microbatch: usize, at: Instruction) -> Result<(), Fault> {
        let mark = self.mark(worker, microbatch, at)?;
        if core::mem::replace(&mut mark.gradient, true) {
            return Err(Fault::Order { worker, at, why: TWICE });
        }
        Ok(())
    }

    fn forward(&mut self, worker: usize, microbatch: usize, at: Instruction) -> Result<(), Fault> {
        let wrong = |why| Err(Fault::Order { worker, at, why });
        let mark = self.mark(worker, microbatch, at)?;
        if !mark.input {
            return wrong("its input is not there");
        }
        if core::mem::replace(&mut mark.forward, true) {
            return wrong(TWICE);
        }
        self.work(worker, (self.times)(worker).0)
    }

    fn backward(
        &mut self,
        worker: usize,
        microbatch: usize,
        reduce: bool,
        at: Instruction,
    ) -> Result<(), Fault> {
        let wrong = |why| Err(Fault::Order { worker, at, why });
        if self.places[worker].reduced {
            return wrong("gradients have been reduced already");
        }
        let mark = self.mark(worker, microbatch, at)?;
        if !mark.forward {
            return wrong("its forward has not been done");
        }
        if !mark.gradient {
            return wrong("its gradient is not there");
        }
        if core::mem::replace(&mut mark.backward, true) {
            return wrong(TWICE);
        }
        let earlier = worker * self.microbatches;
        if !self.marks[earlier..earlier + microbatch].iter().all(|mark| mark.backward) {
            return wrong("gradients would be added in another order");
        }
        self.places[worker].in_flight -= 1;
        self.places[worker].reduced = reduce;
        self.work(worker, (self.times)(worker).1)
    }

    fn work(&mut self, worker: usize, time: u64) -> Result<(), Fault> {
        let place = &mut self.places[worker];
        // Nobody is busy for longer than his clock has run.
        place.clock = place.clock.checked_add(time).ok_or(Fault::Time { worker })?;
        place.busy += time;
        Ok(())
    }

    fn send(&mut self, worker: usize, way: usize, microbatch: usize, at: Instruction) -> Result<Step, Fault> {
        let wrong = |why| Err(Fault::Order { worker, at, why });
        let mark = *self.mark(worker, microbatch, at)?;
        if !(if way == FORWARD { mark.forward } else { mark.backward }) {
            return wrong("it has not been computed");
        }
        if mark.sent[way].is_some() {
            return wrong(TWICE);
        }
        let (number, capacity) = (self.places[worker].sent[way], self.capacity);
        if number >= capacity {
            // Room is made when the message so many before this one is taken out.
            let own = &self.marks[worker * self.microbatches..(worker + 1) * self.microbatches];
            let before = own.iter().filter_map(|mark| mark.sent[way]);
            let room = before.filter(|sent| sent.number + capacity == number).find_map(|sent| sent.taken);
            match room {
                None => return Ok(Step::Waits),
                Some(room) => self.places[worker].clock = self.places[worker].clock.max(room),
            }
        }
        let at_time = self.places[worker].clock;
        self.places[worker].sent[way] += 1;
        self.mark(worker, microbatch, at)?.sent[way] = Some(Sent { number, at: at_time, taken: None });
        Ok(Step::Done)
    }

    fn receive(
        &mut self,
        worker: usize,
        from: usize,
        way: usize,
        microbatch: usize,
        at: Instruction,
    ) -> Result<Step, Fault> {
        let number = self.places[worker].received[way];
        let Some(sent) = self.mark(from, microbatch, at)?.sent[way] else { return Ok(Step::Waits) };
        if sent.number != number {
            return Err(Fault::Order { worker, at, why: "another message comes first" });
        }
        let place = &mut self.places[worker];
        place.received[way] += 1;
        place.clock = place.clock.max(sent.at);
        let taken = Some(place.clock);
        self.mark(from, microbatch, at)?.sent[way] = Some(Sent { taken, ..sent });
        Ok(Step::Done)
    }

    fn finish(self) -> Result<Report, Fault> {
        for (worker, place) in self.places.iter().enumerate() {
            let own = &self.marks[worker * self.microbatches..(worker + 1) * self.microbatches];
            let missing = |what| Err(Fault::Missing { worker, what });
            if !own.iter().all(|mark| mark.backward) {
                return missing("a microbatch has no backward");
            }
            if own.iter().flat_map(|mark| mark.sent).flatten().any(|sent| sent.taken.is_none()) {
                return missing("a message is never received");
            }
            if !place.stepped {
                return missing("no optimizer step");
            }
        }
        let makespan = self.places.iter().map(|place| place.clock).max().unwrap_or(0);
        let mut idle = 0u64;
        for (worker, place) in self.places.iter().enumerate() {
            idle = idle.checked_add(makespan - place.busy).ok_or(Fault::Time { worker })?;
        }
        let in_flight = self.places.iter().map(|place| place.peak).max().unwrap_or(0);
        Ok(Report { makespan, idle, in_flight })
    }
}

/// Proves a [`Schedule`]: everything that [`run`] looks for, and that caches and bubble are those
/// of the formulas, exactly. The places are made here, one for each stage.
///
/// # Errors
/// [`Fault`].
pub fn prove(
    schedule: &Schedule,
    places: &mut [Place<super::Instructions>],
    marks: &mut [Mark],
    costs: Costs,
) -> Result<Report, Fault> {
    let (found, expected) = (places.len(), schedule.stages());
    if found != expected {
        let (operand, dim) = ("places", Dim::Values);
        let error = Error::Shape { operand, dim, found, other: "schedule", other_dim: dim, expected };
        return Err(Fault::Memory(error));
    }
    for (stage, place) in places.iter_mut().enumerate() {
        *place = Place::new(schedule.worker(stage));
    }
    let report = run(places, marks, schedule.microbatches(), costs)?;
    for (worker, place) in places.iter().enumerate() {
        let (found, expected) = (place.peak, schedule.in_flight(worker));
        if found != expected {
            return Err(Fault::InFlight { worker, expected, found });
        }
        if place.reduced != (schedule.replicas() > 1) {
            return Err(Fault::Missing { worker, what: "gradients and replicas do not agree" });
        }
    }
    let (part, whole) = schedule.bubble();
    let workers = places.len();
    let total = report.makespan.checked_mul(workers as u64).ok_or(Fault::Time { worker: workers - 1 })?;
    if u128::from(report.idle) * whole as u128 != u128::from(total) * part as u128 {
        return Err(Fault::Bubble { idle: report.idle, total, expected: (part, whole) });
    }
    Ok(report)
}
