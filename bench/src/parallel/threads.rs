//! Workers that are threads of this process.

use std::collections::VecDeque;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::thread;
use std::time::{Duration, Instant};

use super::comm::{Communicator, Kind, Tag};
use super::error::Error;

/// What the connections are like.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Options {
    /// How long a message occupies the line of its sender, which carries one at a time: to make a
    /// network of this.
    pub latency: Duration,
    /// Activations, and gradients, that wait between two stages at most. Whoever sends more waits.
    /// One is enough for every schedule ([`check`](trine_core::schedule::check)); two let the sender
    /// go on.
    pub capacity: usize,
    /// How long to wait for a message or for room.
    pub timeout: Duration,
}

impl Default for Options {
    fn default() -> Self {
        Options { latency: Duration::ZERO, capacity: 2, timeout: Duration::from_secs(30) }
    }
}

struct Letter {
    tag: Tag,
    message: Vec<f32>,
    /// When it has arrived.
    ready: Instant,
}

/// How long to look for a message before going to sleep: being woken takes longer.
const PATIENCE: Duration = Duration::from_micros(60);

/// What has been sent to one worker, a queue for each sender.
struct Mailbox {
    queues: Mutex<Vec<VecDeque<Letter>>>,
    changed: Condvar,
}

struct Shared {
    mailboxes: Vec<Mailbox>,
    gone: Vec<AtomicBool>,
    options: Options,
}

impl Mailbox {
    // A thread that panicked in here left the queues whole: each change of them is one call.
    fn lock(&self) -> MutexGuard<'_, Vec<VecDeque<Letter>>> {
        self.queues.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// One worker's end. Once it is dropped, in whatever way, nobody waits for it any longer.
pub struct ThreadComm {
    rank: usize,
    shared: Arc<Shared>,
    spare: Vec<Vec<f32>>,
    /// When this worker's line is free again.
    line: Instant,
}

/// Ends for so many workers, to be handed to their threads.
pub fn connect(size: usize, options: Options) -> Vec<ThreadComm> {
    let mailbox = |_| Mailbox {
        queues: Mutex::new((0..size).map(|_| VecDeque::new()).collect()),
        changed: Condvar::new(),
    };
    let shared = Arc::new(Shared {
        mailboxes: (0..size).map(mailbox).collect(),
        gone: (0..size).map(|_| AtomicBool::new(false)).collect(),
        options,
    });
    let end =
        |rank| ThreadComm { rank, shared: Arc::clone(&shared), spare: Vec::new(), line: Instant::now() };
    (0..size).map(end).collect()
}

/// Whether something waited for is there.
enum Found<T> {
    Yes(T),
    /// Not before then.
    At(Instant),
    No,
}

impl ThreadComm {
    /// Looks into a mailbox until something is found; `at` and `tag` are for the error.
    fn until<T>(
        &self,
        mailbox: usize,
        (rank, tag): (usize, Tag),
        mut look: impl FnMut(&mut Vec<VecDeque<Letter>>) -> Found<T>,
    ) -> Result<T, Error> {
        let Shared { mailboxes, gone, options } = &*self.shared;
        let (start, mailbox) = (Instant::now(), &mailboxes[mailbox]);
        let mut queues = mailbox.lock();
        loop {
            // Before the look: what was sent before the end is found by it.
            let gone = gone[rank].load(Ordering::Acquire);
            let waited = start.elapsed();
            let wait = match look(&mut queues) {
                Found::Yes(found) => return Ok(found),
                Found::No if gone => return Err(Error::Gone { rank, tag }),
                _ if waited >= options.timeout => return Err(Error::Timeout { rank, tag, waited }),
                Found::At(then) => {
                    then.saturating_duration_since(Instant::now()).min(options.timeout - waited)
                }
                Found::No => options.timeout - waited,
            };
            if waited < PATIENCE {
                drop(queues);
                thread::yield_now();
                queues = mailbox.lock();
                continue;
            }
            let woken = mailbox.changed.wait_timeout(queues, wait);
            queues = woken.unwrap_or_else(PoisonError::into_inner).0;
        }
    }

    fn arrived(queue: &mut VecDeque<Letter>, tag: Tag) -> Found<Vec<f32>> {
        let Some(i) = queue.iter().position(|letter| letter.tag == tag) else { return Found::No };
        if queue[i].ready > Instant::now() {
            return Found::At(queue[i].ready);
        }
        queue.remove(i).map_or(Found::No, |letter| Found::Yes(letter.message))
    }

    /// Tells a sender that there is room.
    fn taken(&self, tag: Tag) {
        if bounded(tag.kind) {
            self.shared.mailboxes[self.rank].changed.notify_all();
        }
    }
}

/// Between stages; the messages of a sum are as many as there are buckets.
fn bounded(kind: Kind) -> bool {
    matches!(kind, Kind::Activation | Kind::Gradient)
}

impl Communicator for ThreadComm {
    fn rank(&self) -> usize {
        self.rank
    }

    fn size(&self) -> usize {
        self.shared.mailboxes.len()
    }

    fn buffer(&mut self) -> Vec<f32> {
        self.spare.pop().unwrap_or_default()
    }

    fn give_back(&mut self, mut buffer: Vec<f32>) {
        buffer.clear();
        self.spare.push(buffer);
    }

    fn send(&mut self, to: usize, tag: Tag, message: Vec<f32>) -> Result<(), Error> {
        let Options { latency, capacity, .. } = self.shared.options;
        if self.shared.gone[to].load(Ordering::Acquire) {
            return Err(Error::Gone { rank: to, tag });
        }
        if bounded(tag.kind) {
            self.until(to, (to, tag), |queues| {
                let waiting = queues[self.rank].iter().filter(|letter| letter.tag.kind == tag.kind).count();
                if waiting < capacity { Found::Yes(()) } else { Found::No }
            })?;
        }
        self.line = self.line.max(Instant::now()) + latency;
        let mailbox = &self.shared.mailboxes[to];
        mailbox.lock()[self.rank].push_back(Letter { tag, message, ready: self.line });
        mailbox.changed.notify_all();
        Ok(())
    }

    fn poll(&mut self, from: usize, tag: Tag) -> Result<Option<Vec<f32>>, Error> {
        let gone = self.shared.gone[from].load(Ordering::Acquire);
        let found = Self::arrived(&mut self.shared.mailboxes[self.rank].lock()[from], tag);
        match found {
            Found::Yes(message) => {
                self.taken(tag);
                Ok(Some(message))
            }
            Found::No if gone => Err(Error::Gone { rank: from, tag }),
            Found::No | Found::At(_) => Ok(None),
        }
    }

    fn wait(&mut self, from: usize, tag: Tag) -> Result<Vec<f32>, Error> {
        let message = self.until(self.rank, (from, tag), |queues| Self::arrived(&mut queues[from], tag))?;
        self.taken(tag);
        Ok(message)
    }
}

impl Drop for ThreadComm {
    fn drop(&mut self) {
        self.shared.gone[self.rank].store(true, Ordering::Release);
        for mailbox in &self.shared.mailboxes {
            // Nobody is between its look and its wait while this is held.
            drop(mailbox.lock());
            mailbox.changed.notify_all();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const TAG: Tag = Tag::new(Kind::Activation, 0);

    fn pair(options: Options) -> (ThreadComm, ThreadComm) {
        let mut ends = connect(2, options);
        let second = ends.pop().expect("two");
        (ends.pop().expect("two"), second)
    }

    #[test]
    fn messages_of_one_tag_keep_their_order_and_tags_are_apart() {
        let (mut a, mut b) = pair(Options::default());
        let other = Tag::new(Kind::Control, 7);
        a.send_copy(1, TAG, &[1.0]).expect("room");
        a.send_copy(1, TAG, &[2.0]).expect("room");
        a.send_copy(1, other, &[3.0]).expect("room");
        assert_eq!(b.wait(0, other), Ok(vec![3.0]));
        assert_eq!(b.poll(0, TAG), Ok(Some(vec![1.0])));
        assert_eq!(b.receive(0, TAG, 1), Ok(vec![2.0]));
        assert_eq!(b.poll(0, TAG), Ok(None));
    }

    #[test]
    fn a_message_of_the_wrong_size_is_an_error() {
        let (mut a, mut b) = pair(Options::default());
        a.send_copy(1, TAG, &[1.0, 2.0]).expect("room");
        let error = b.receive(0, TAG, 3).expect_err("two values");
        assert_eq!(
            error.to_string(),
            "a message of worker 0 has 2 values, not 3 (activation of microbatch 0)"
        );
    }

    #[test]
    fn who_is_gone_is_not_waited_for_but_what_it_sent_is_there() {
        let (mut a, mut b) = pair(Options::default());
        a.send_copy(1, TAG, &[1.0]).expect("room");
        let start = Instant::now();
        let ending = thread::spawn(move || {
            thread::sleep(Duration::from_millis(20));
            drop(a);
        });
        assert_eq!(b.wait(0, TAG), Ok(vec![1.0]));
        assert_eq!(b.wait(0, TAG), Err(Error::Gone { rank: 0, tag: TAG }));
        assert!(start.elapsed() < Duration::from_secs(5));
        assert_eq!(b.send(0, TAG, Vec::new()), Err(Error::Gone { rank: 0, tag: TAG }));
        ending.join().expect("no panic");
    }

    #[test]
    fn silence_ends_in_time_and_so_does_a_full_channel() {
        let timeout = Duration::from_millis(30);
        let (mut a, mut b) = pair(Options { timeout, capacity: 1, ..Options::default() });
        let start = Instant::now();
        assert!(matches!(b.wait(0, TAG), Err(Error::Timeout { rank: 0, .. })));
        a.send(1, TAG, Vec::new()).expect("room for one");
        assert!(matches!(a.send(1, TAG, Vec::new()), Err(Error::Timeout { rank: 1, .. })));
        assert!((timeout * 2..timeout * 100).contains(&start.elapsed()));
    }

    #[test]
    fn a_full_channel_is_waited_for() {
        let (mut a, mut b) = pair(Options { capacity: 1, ..Options::default() });
        let sender = thread::spawn(move || (0..50).try_for_each(|i| a.send(1, TAG, vec![i as f32])));
        for i in 0..50 {
            assert_eq!(b.wait(0, TAG), Ok(vec![i as f32]));
        }
        assert_eq!(sender.join().expect("no panic"), Ok(()));
    }

    #[test]
    fn a_line_carries_one_message_at_a_time() {
        let latency = Duration::from_millis(10);
        let (mut a, mut b) = pair(Options { latency, ..Options::default() });
        let start = Instant::now();
        a.send(1, TAG, Vec::new()).expect("room");
        a.send(1, TAG, Vec::new()).expect("room");
        assert!(start.elapsed() < latency, "sending does not wait");
        assert_eq!(b.poll(0, TAG), Ok(None));
        b.wait(0, TAG).expect("sent");
        b.wait(0, TAG).expect("sent");
        assert!(start.elapsed() >= 2 * latency);
    }

    #[test]
    fn a_message_that_is_long_on_its_way_is_not_waited_for_without_end() {
        let (latency, timeout) = (Duration::from_secs(3600), Duration::from_millis(30));
        let (mut a, mut b) = pair(Options { latency, timeout, ..Options::default() });
        a.send(1, TAG, Vec::new()).expect("room");
        assert!(matches!(b.wait(0, TAG), Err(Error::Timeout { rank: 0, .. })));
    }

    #[test]
    fn vectors_are_used_again() {
        let (mut a, mut b) = pair(Options::default());
        a.send_copy(1, TAG, &[1.0; 100]).expect("room");
        let message = b.wait(0, TAG).expect("sent");
        let address = message.as_ptr();
        b.give_back(message);
        let buffer = b.buffer();
        assert!(buffer.is_empty() && buffer.as_ptr() == address);
    }
}
