//! The connections of a worker over MPI.
//!
//! A send is a buffered one: MPI copies the message and the worker goes on. A receive is a matched
//! probe, which tells the length before anything is received, followed by the message. A watch ends the
//! process if a call of the library does not come back. Sums are not
//! MPI's: those have an order of additions that depends on the number of processes.

use std::process;
use std::sync::{Arc, Mutex, PoisonError};
use std::thread;
use std::time::{Duration, Instant};

use mpi::environment::Universe;
use mpi::topology::{Communicator as _, SimpleCommunicator};
use mpi::traits::{Destination as _, Equivalence as _, Source as _};
use trine_bench::parallel::comm::{Communicator, Kind, Tag};
use trine_bench::parallel::error::Error;

/// How many times to look for a message before going to sleep between looks, and how long.
const PATIENCE: u32 = 200;
const NAP: Duration = Duration::from_micros(20);

/// One process.
pub struct Mpi {
    world: SimpleCommunicator,
    spare: Vec<Vec<f32>>,
    timeout: Duration,
    watch: Arc<Mutex<Option<Call>>>,
}

/// A call of the MPI library that has not come back.
#[derive(Clone, Copy)]
struct Call {
    since: Instant,
    rank: usize,
    tag: Tag,
}

impl Mpi {
    /// The process in its world. `bytes` is room for messages that are under way.
    pub fn new(universe: &mut Universe, bytes: usize, timeout: Duration) -> Self {
        universe.set_buffer_size(bytes);
        let (world, watch) = (universe.world(), Arc::new(Mutex::new(None)));
        watch_over(world.rank(), Arc::clone(&watch), timeout);
        Mpi { world, spare: Vec::new(), timeout, watch }
    }

    /// A call with the watch on it: within the library a long message is waited for without end if its
    /// sender dies in the middle of it.
    fn watched<T>(&self, rank: usize, tag: Tag, call: impl FnOnce(&SimpleCommunicator) -> T) -> T {
        let set = |call| *self.watch.lock().unwrap_or_else(PoisonError::into_inner) = call;
        set(Some(Call { since: Instant::now(), rank, tag }));
        let result = call(&self.world);
        set(None);
        result
    }
}

/// Ends the process if a call does not come back in time. There is no other way out of the call.
fn watch_over(own: i32, watch: Arc<Mutex<Option<Call>>>, timeout: Duration) {
    thread::spawn(move || {
        loop {
            thread::sleep(timeout / 16);
            let call = *watch.lock().unwrap_or_else(PoisonError::into_inner);
            if let Some(Call { since, rank, tag }) = call
                && since.elapsed() > timeout
            {
                eprintln!("worker {own}: {}", Error::Timeout { rank, tag, waited: since.elapsed() });
                process::abort();
            }
        }
    });
}

/// Kind and number in one, below the largest tag of any MPI library in use (2³¹ − 1).
fn number(tag: Tag) -> i32 {
    let kind = match tag.kind {
        Kind::Control => 0,
        Kind::Activation => 1,
        Kind::Gradient => 2,
        Kind::Scatter => 3,
        Kind::Gather => 4,
        Kind::Rows => 5,
    };
    kind << 24 | (tag.number & 0xff_ffff) as i32
}

impl Communicator for Mpi {
    fn rank(&self) -> usize {
        self.world.rank() as usize
    }

    fn size(&self) -> usize {
        self.world.size() as usize
    }

    fn buffer(&mut self) -> Vec<f32> {
        self.spare.pop().unwrap_or_default()
    }

    fn give_back(&mut self, mut buffer: Vec<f32>) {
        buffer.clear();
        self.spare.push(buffer);
    }

    fn send(&mut self, to: usize, tag: Tag, message: Vec<f32>) -> Result<(), Error> {
        self.watched(to, tag, |world| {
            world.process_at_rank(to as i32).buffered_send_with_tag(&message[..], number(tag));
        });
        self.give_back(message);
        Ok(())
    }

    fn poll(&mut self, from: usize, tag: Tag) -> Result<Option<Vec<f32>>, Error> {
        let mut buffer = self.buffer();
        let found = self.watched(from, tag, |world| {
            let source = world.process_at_rank(from as i32);
            let Some((message, status)) = source.immediate_matched_probe_with_tag(number(tag)) else {
                return false;
            };
            buffer.resize(status.count(f32::equivalent_datatype()) as usize, 0.0);
            message.matched_receive_into(&mut buffer[..]);
            true
        });
        if found {
            return Ok(Some(buffer));
        }
        self.give_back(buffer);
        Ok(None)
    }

    fn wait(&mut self, from: usize, tag: Tag) -> Result<Vec<f32>, Error> {
        let start = Instant::now();
        let mut polls = 0u32;
        loop {
            if let Some(message) = self.poll(from, tag)? {
                return Ok(message);
            }
            let waited = start.elapsed();
            if waited >= self.timeout {
                return Err(Error::Timeout { rank: from, tag, waited });
            }
            // There may be more processes than cores, and yielding is not enough for those to get on.
            if polls < PATIENCE {
                thread::yield_now()
            } else {
                thread::sleep(NAP)
            }
            polls = polls.saturating_add(1);
        }
    }
}
