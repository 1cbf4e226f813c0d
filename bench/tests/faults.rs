//! What happens when a worker, a message or a file is not as it should be.

mod common;

use std::path::PathBuf;
use std::time::{Duration, Instant};

use common::{data, job, on, options, same, train};
use trine_bench::parallel::Error;
use trine_bench::parallel::comm::{Communicator, Kind, Tag};
use trine_bench::parallel::threads::{Options, ThreadComm, connect};
use trine_bench::training::launch::{all, on_threads_with};
use trine_bench::training::session::{Job, Outcome, run};

/// What goes wrong with a worker's messages.
#[derive(Clone, Debug)]
enum Wrong {
    /// The worker dies in a step, once this file is there.
    DiesAfter(PathBuf),
    /// From then on none is sent, without a word.
    Silent(usize),
    /// One is too short.
    Short(Kind),
    /// One arrives with another bit.
    Flipped(Kind),
}

/// An end of the connections with a fault at one rank.
struct Faulty {
    inner: ThreadComm,
    wrong: Option<Wrong>,
    sent: usize,
}

impl Communicator for Faulty {
    fn rank(&self) -> usize {
        self.inner.rank()
    }

    fn size(&self) -> usize {
        self.inner.size()
    }

    fn buffer(&mut self) -> Vec<f32> {
        self.inner.buffer()
    }

    fn give_back(&mut self, buffer: Vec<f32>) {
        self.inner.give_back(buffer);
    }

    fn send(&mut self, to: usize, tag: Tag, mut message: Vec<f32>) -> Result<(), Error> {
        self.sent += 1;
        match &self.wrong {
            Some(Wrong::DiesAfter(file)) if tag.kind != Kind::Control && file.exists() => {
                panic!("a worker that dies, on purpose")
            }
            Some(Wrong::Silent(at)) if self.sent >= *at => return Ok(()),
            Some(Wrong::Short(kind)) if tag.kind == *kind => {
                message.pop();
                self.wrong = None;
            }
            _ => {}
        }
        self.inner.send(to, tag, message)
    }

    fn poll(&mut self, from: usize, tag: Tag) -> Result<Option<Vec<f32>>, Error> {
        Ok(self.inner.poll(from, tag)?.map(|message| self.arrived(tag, message)))
    }

    fn wait(&mut self, from: usize, tag: Tag) -> Result<Vec<f32>, Error> {
        let message = self.inner.wait(from, tag)?;
        Ok(self.arrived(tag, message))
    }
}

impl Faulty {
    fn arrived(&mut self, tag: Tag, mut message: Vec<f32>) -> Vec<f32> {
        if let (Some(Wrong::Flipped(kind)), Some(last)) = (&self.wrong, message.last_mut())
            && tag.kind == *kind
        {
            *last = f32::from_bits(last.to_bits() ^ (1 << 30));
            self.wrong = None;
        }
        message
    }
}

fn train_with(job: &Job, rank: usize, wrong: Wrong, options: Options) -> Vec<Result<Outcome, Error>> {
    let wrap = |inner: ThreadComm| {
        let wrong = (inner.rank() == rank).then(|| wrong.clone());
        Faulty { inner, wrong, sent: 0 }
    };
    on_threads_with(job, &data(), options, wrap, |_| {})
}

fn file(name: &str) -> PathBuf {
    std::env::temp_dir().join(format!("trine-{name}-{}", std::process::id()))
}

/// One dies in mid-training: the others end long before the time after which they would give up, the
/// checkpoint is whole, and training goes on from it to the same weights, on other workers too.
#[test]
fn a_worker_that_dies_ends_the_others_and_training_can_go_on() {
    let path = file("dies");
    let data = data();
    let mut job = job();
    job.recipe.epochs = 3;
    let whole = train(&job, &data).expect("one worker");
    for (replicas, stages, parts) in [(2, 1, 1), (4, 1, 1), (1, 4, 1), (2, 2, 1)] {
        let _ = std::fs::remove_file(&path);
        let mut running = on(&job, replicas, stages, parts);
        running.checkpoint = Some(path.clone());
        let start = Instant::now();
        let outcomes = train_with(&running, 1, Wrong::DiesAfter(path.clone()), options());
        assert!(start.elapsed() < options().timeout / 2, "{:?}", start.elapsed());
        for (rank, outcome) in outcomes.iter().enumerate() {
            match outcome {
                Err(Error::Gone { .. }) => assert_ne!(rank, 1),
                Err(error) => assert_eq!((rank, error), (1, &Error::Panicked { rank: 1 })),
                Ok(_) => panic!("worker {rank} did not notice"),
            }
        }
        assert_eq!(all(outcomes).expect_err("one died").to_string(), "worker 1 panicked");
        for (replicas, stages) in [(1, 1), (2, 1), (1, 2)] {
            let mut resumed = on(&job, replicas, stages, 1);
            resumed.resume = Some(path.clone());
            same(&resumed, &data, &whole);
        }
    }
    std::fs::remove_file(&path).expect("written");
}

#[test]
fn a_silent_worker_is_given_up_in_time() {
    let timeout = Duration::from_millis(300);
    for (replicas, stages, parts) in [(2, 1, 1), (1, 2, 1)] {
        let job = on(&job(), replicas, stages, parts);
        let start = Instant::now();
        let outcomes = train_with(&job, 1, Wrong::Silent(40), Options { timeout, ..options() });
        // The silent one may be the first to give up, as nobody answers; then it is gone.
        let first = outcomes[0].as_ref().expect_err("no sign");
        assert!(matches!(first, Error::Timeout { rank: 1, .. } | Error::Gone { rank: 1, .. }), "{first}");
        let silence = |outcome: &Result<_, Error>| matches!(outcome, Err(Error::Timeout { .. }));
        assert!(outcomes.iter().any(silence));
        assert!(start.elapsed() < Duration::from_secs(10));
    }
}

#[test]
fn a_message_of_the_wrong_size_is_named() {
    let cases = [
        ((2, 1, 1), Kind::Scatter, "part of bucket 0"),
        ((2, 1, 1), Kind::Gather, "sum of bucket 0"),
        ((1, 2, 1), Kind::Gradient, "gradient of microbatch 0"),
        ((2, 1, 1), Kind::Control, "control message 0"),
    ];
    for ((replicas, stages, parts), kind, what) in cases {
        let job = on(&job(), replicas, stages, parts);
        let error = all(train_with(&job, 1, Wrong::Short(kind), options())).expect_err("too short");
        assert!(matches!(error, Error::Length { rank: 1, .. }), "{error}");
        assert!(error.to_string().ends_with(&format!("({what})")), "{error}");
    }
}

/// A bit that changes on the way makes replicas differ: the layer is named.
#[test]
fn replicas_that_grow_apart_are_noticed() {
    // The first bucket begins at the end of the last layer.
    let job = on(&job(), 2, 1, 1);
    let error = all(train_with(&job, 1, Wrong::Flipped(Kind::Gather), options())).expect_err("a bit");
    assert!(matches!(error, Error::Weights { layer: 0..=4, epoch: 1, .. }), "{error}");
    let expected = if let Error::Weights { rank, layer, epoch } = error {
        format!("layer {layer} of worker {rank} has other weights after epoch {epoch}")
    } else {
        String::new()
    };
    assert_eq!(error.to_string(), expected);
}

/// Each worker with a job of its own.
fn each_with(jobs: [Job; 2], datas: [&trine_bench::images::Data; 2]) -> Vec<Result<Outcome, Error>> {
    std::thread::scope(|scope| {
        let start =
            |((comm, job), data): ((ThreadComm, Job), _)| scope.spawn(move || run(&job, data, comm, |_| {}));
        let workers: Vec<_> = connect(2, options()).into_iter().zip(jobs).zip(datas).map(start).collect();
        workers.into_iter().map(|worker| worker.join().expect("no panic")).collect()
    })
}

#[test]
fn other_settings_or_data_are_named() {
    let data = data();
    let job = on(&job(), 2, 1, 1);
    type Change = (&'static str, fn(&mut Job));
    let changes: [Change; 7] = [
        ("data", |job| job.recipe.data_hash = 2),
        ("layers", |job| job.recipe.widths[1] = 34),
        ("batch", |job| job.recipe.batch = 50),
        ("lr", |job| job.recipe.lr = 4.1e-3),
        ("seed", |job| job.recipe.seed = 2),
        ("bucket", |job| job.plan.bucket = 7),
        ("interleaving", |job| job.plan.interleaved = false),
    ];
    for (name, change) in changes {
        let mut other = job.clone();
        change(&mut other);
        let outcomes = each_with([job.clone(), other], [&data; 2]);
        let expected =
            [Error::Differs { rank: 1, what: name.into() }, Error::Differs { rank: 0, what: name.into() }];
        for (outcome, expected) in outcomes.into_iter().zip(expected) {
            assert_eq!(outcome.err(), Some(expected), "{name}");
        }
    }
}

#[test]
fn training_goes_on_with_the_same_bits_after_any_epoch() {
    let path = file("resume");
    let data = data();
    let mut job = job();
    job.recipe.epochs = 3;
    let whole = train(&job, &data).expect("one worker");
    // The learning rate depends on the number of epochs: a run that is stopped, not a shorter one.
    for (stopped_after, replicas, stages) in [(1, 1, 1), (2, 2, 1), (1, 1, 2)] {
        let mut running = on(&job, replicas, stages, 1);
        running.checkpoint = Some(path.clone());
        let stop = std::panic::AssertUnwindSafe(|| {
            let mut epochs = 0;
            trine_bench::training::launch::on_threads(&running, &data, options(), move |event| {
                if let trine_bench::training::session::Event::Epoch(..) = event {
                    epochs += 1;
                    assert!(epochs < stopped_after, "stopped, on purpose");
                }
            })
        });
        assert!(all(stop()).is_err());
        let mut resumed = on(&job, 2, 1, 1);
        resumed.resume = Some(path.clone());
        same(&resumed, &data, &whole);
    }
    let mut other = job.clone();
    other.recipe.batch = 47;
    other.resume = Some(path.clone());
    let error = train(&other, &data).expect_err("another batch");
    assert_eq!(error.to_string(), "the checkpoint was made with --batch 48, not 47");
    std::fs::remove_file(&path).expect("written");
}

/// The state is put together by all workers: one that does not know of it would be asked in vain.
#[test]
fn a_worker_without_a_checkpoint_is_named() {
    let (data, job) = (data(), on(&job(), 1, 2, 1));
    let saves = Job { checkpoint: Some(file("unknown")), ..job.clone() };
    for (rank, outcome) in each_with([saves, job], [&data; 2]).into_iter().enumerate() {
        let error = outcome.expect_err("one of them saves nothing").to_string();
        assert_eq!(error, format!("worker {} was started with another setting of --checkpoint", 1 - rank));
    }
}

/// Recipes have as many items whatever they are: a message of another length would name none.
#[test]
fn another_schedule_of_the_rate_is_named() {
    let (data, job) = (data(), on(&job(), 2, 1, 1));
    let mut other = job.clone();
    other.recipe.rates = trine_bench::training::recipe::RateSchedule::Constant;
    let expected = Error::Differs { rank: 1, what: "schedule-lr".into() };
    assert_eq!(each_with([job, other], [&data; 2])[0].clone().err(), Some(expected));
}

#[test]
fn networks_beyond_any_memory_are_refused() {
    for width in [usize::MAX, usize::MAX / 64, 1 << 50] {
        let mut job = job();
        job.recipe.widths[1] = width;
        let error = train(&job, &data()).expect_err("too large").to_string();
        assert_eq!(error, "--layers: more values than there is memory for");
    }
}
