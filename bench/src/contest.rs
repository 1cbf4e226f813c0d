//! Who takes part: peers are opened, held against the engine at every trial, and timed if they are right.

use trine_core::{Error, LinearKernels, Reference, Shape, Unfused};
use trine_kernels::{Composed, Engine, GemmCrate, Isa, Op, Supported};

use crate::Failure;
use crate::bench::{Absent, Library};
use crate::cblas::Cblas;
use crate::cli::Dtype;
#[cfg(feature = "faer")]
use crate::faer_crate::Faer;
use crate::measure::Contender;
use crate::peer::{Peer, distinct};
use crate::products::{MatrixMultiply, Scalar};
use crate::verify;
use crate::worker::Worker;
use crate::workload::{self, Operands, Results, flops, perform};

/// The naive loops take part up to so many floating-point operations a call, about a second.
pub const NAIVE_LIMIT: f64 = 0.6e9;
/// The seed of all operands.
const SEED: u64 = 1;

/// One operation at one shape: what is given, and what has to come out.
#[derive(Debug)]
pub struct Trial<E> {
    /// The operation.
    pub op: Op,
    /// The operands.
    pub given: Operands<E>,
    /// The engine's results.
    pub expected: Results<E>,
    /// Whether operands and results are taken out of the caches before each call.
    pub cold: bool,
}

impl<E: Supported> Trial<E> {
    /// The same operands and results in every process: an engine's bits are the same everywhere.
    ///
    /// # Errors
    /// Those of the engine.
    pub fn new(op: Op, shape: Shape, engine: &mut Engine<'_>) -> Result<Self, Error> {
        let given = Operands::random(shape, SEED);
        let mut expected = Results::before(op, &given);
        perform(op, engine, &given, &mut expected)?;
        Ok(Trial { op, given, expected, cold: false })
    }

    /// The same with caches that are cold or warm.
    #[must_use]
    pub fn cold(self, cold: bool) -> Self {
        Trial { cold, ..self }
    }

    /// Someone who has the right results, ready to be timed.
    ///
    /// # Errors
    /// What is wrong with the results, or why there are none.
    pub fn admit<'a, K: LinearKernels<E> + 'a>(
        &'a self,
        name: &str,
        mut kernels: K,
    ) -> Result<Contender<'a>, String> {
        let mut out = Results::before(self.op, &self.given);
        perform(self.op, &mut kernels, &self.given, &mut out).map_err(|error| error.to_string())?;
        verify::close(self.given.shape, &out, &self.expected)?;
        Ok(self.timed(name, kernels))
    }

    /// Someone whose results are known to be right, ready to be timed.
    pub fn timed<'a, K: LinearKernels<E> + 'a>(&'a self, name: &str, mut kernels: K) -> Contender<'a> {
        let mut out = Results::before(self.op, &self.given);
        let mut call = move |out: &mut Results<E>| {
            let done = perform(self.op, &mut kernels, &self.given, out);
            done.expect("the same call has succeeded before");
        };
        if self.cold {
            let evict = |out: &Results<E>| {
                self.given.evict();
                out.evict();
            };
            return Contender::cold(name, out, evict, call);
        }
        Contender::timed(name, move || call(&mut out))
    }
}

/// Lets a peer of this process take part in a trial, by [`Trial::admit`].
pub type Admit<E> = Box<dyn for<'a> Fn(&str, &'a Trial<E>) -> Result<Contender<'a>, String>>;

/// Opens a peer in this process. Returns also what there is to say of it.
///
/// # Errors
/// Why a library cannot be used.
pub fn open<E: Scalar>(peer: &Peer, threads: usize) -> Result<(Admit<E>, String), Failure> {
    let admit = match peer {
        Peer::Naive => with(|| Reference(Unfused)),
        Peer::Gemm => with(move || GemmCrate::new(threads)),
        Peer::MatrixMultiply => with(|| Composed::of(MatrixMultiply)),
        #[cfg(feature = "faer")]
        Peer::Faer => with(move || Composed::of(Faer::new(threads))),
        #[cfg(not(feature = "faer"))]
        Peer::Faer => {
            return Err(
                "faer takes minutes to build and was left out: cargo run --release --features faer".into()
            );
        }
        Peer::Cblas { library, .. } => {
            let (cblas, how) = Cblas::open(library.as_os_str())?;
            return Ok((with(move || Composed::of(cblas)), how));
        }
    };
    Ok((admit, String::new()))
}

fn with<E: Supported, K: LinearKernels<E> + 'static>(make: impl Fn() -> K + 'static) -> Admit<E> {
    Box::new(move |name, trial| trial.admit(name, make()))
}

/// Whether there is memory for the engine and these peers, and all of them can be opened: before anything is measured.
///
/// # Errors
/// Which shape is too large, or why a peer cannot be used.
pub fn rehearse(peers: &[Peer], shapes: &[Shape], dtypes: &[Dtype], threads: usize) -> Result<(), Failure> {
    distinct(peers)?;
    let processes = 1 + peers.iter().filter(|peer| peer.is_apart()).count();
    let largest = dtypes.iter().map(|dtype| dtype.bytes()).max().unwrap_or(0);
    workload::room(shapes, largest, (processes, 1 + peers.len()))?;
    for dtype in dtypes {
        match dtype {
            Dtype::F32 => drop(Peers::<f32>::start(peers, threads)?),
            Dtype::F64 => drop(Peers::<f64>::start(peers, threads)?),
        }
    }
    Ok(())
}

/// A peer that is ready: in this process, or in one of its own.
enum Seat<E> {
    Here {
        name: String,
        /// Floating-point operations of a call, up to which it takes part.
        limit: f64,
        admit: Admit<E>,
    },
    Apart {
        worker: Worker,
        /// Starts it anew: one that a product has ended may be right at another shape.
        start: Box<dyn Fn() -> Result<Worker, Failure>>,
    },
}

/// The peers of a table.
pub struct Peers<E> {
    seats: Vec<Seat<E>>,
}

impl<E: Scalar> Peers<E> {
    /// Opens libraries and starts processes.
    ///
    /// # Errors
    /// Why a peer cannot be used.
    pub fn start(peers: &[Peer], threads: usize) -> Result<Self, Failure> {
        let seats = peers.iter().map(|peer| {
            if peer.is_apart() {
                let peer = peer.clone();
                return Seat::apart(move || Worker::start::<E>(&peer, threads));
            }
            let limit = if *peer == Peer::Naive { NAIVE_LIMIT } else { f64::INFINITY };
            Ok(Seat::Here { name: peer.name().into(), limit, admit: open(peer, threads)?.0 })
        });
        Ok(Peers { seats: seats.collect::<Result<_, Failure>>()? })
    }

    /// The libraries that were opened.
    pub fn libraries(&self) -> Vec<Library> {
        let workers = self.seats.iter().filter_map(|seat| match seat {
            Seat::Apart { worker, .. } if !worker.how.is_empty() => Some(worker),
            _ => None,
        });
        workers.map(|worker| Library { name: worker.name().into(), how: worker.how.clone() }).collect()
    }

    /// Who takes part in a trial, and who does not. The engine's results of the trial are those of an
    /// instruction set. A peer whose process has ended is started anew at the next trial.
    pub fn contenders<'a>(&'a mut self, trial: &'a Trial<E>, isa: Isa) -> (Vec<Contender<'a>>, Vec<Absent>) {
        let (mut contenders, mut absent) = (Vec::new(), Vec::new());
        for seat in &mut self.seats {
            match seat.contender(trial, isa) {
                Ok(contender) => contenders.push(contender),
                Err(reason) => absent.push(reason),
            }
        }
        (contenders, absent)
    }
}

impl<E: Scalar> Seat<E> {
    fn apart(start: impl Fn() -> Result<Worker, Failure> + 'static) -> Result<Self, Failure> {
        Ok(Seat::Apart { worker: start()?, start: Box::new(start) })
    }

    fn contender<'a>(&'a mut self, trial: &'a Trial<E>, isa: Isa) -> Result<Contender<'a>, Absent> {
        match self {
            Seat::Here { name, limit, .. } if flops(trial.op, trial.given.shape) > *limit => {
                let why = format!("more than {:.1} GFLOP a call", *limit / 1e9);
                Err(Absent { name: name.clone(), wrong: false, why })
            }
            Seat::Here { name, admit, .. } => {
                admit(name, trial).map_err(|why| Absent { name: name.clone(), wrong: true, why })
            }
            Seat::Apart { worker, start } => {
                let name = worker.name().to_string();
                let mut prepare = || {
                    if worker.has_ended() {
                        *worker = start()?;
                    }
                    worker.prepare(trial.op, trial.cold, trial.given.shape, isa)
                };
                match prepare() {
                    Ok(Ok(())) => Ok(Contender::sampled(&name, || worker.sample())),
                    Ok(Err(why)) => Err(Absent { name, wrong: true, why }),
                    Err(error) => Err(Absent { name, wrong: true, why: error.to_string() }),
                }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use trine_core::{MatMut, MatRef, Write};
    use trine_kernels::Multiply;

    use super::*;
    use crate::bench::{Setup, measure};
    use crate::workload::{OPS, op_name};

    const SHAPES: [Shape; 4] = [
        Shape { n: 1, d: 7, m: 5 },
        Shape { n: 3, d: 1, m: 1 },
        Shape { n: 17, d: 33, m: 65 },
        Shape { n: 0, d: 4, m: 3 },
    ];

    fn every_trial<E: Supported>(mut check: impl FnMut(&Trial<E>)) {
        for shape in SHAPES {
            for op in OPS {
                check(&Trial::new(op, shape, &mut Engine::new()).expect("it fits"));
            }
        }
    }

    #[test]
    fn peers_without_a_library_are_right() {
        fn on<E: Scalar>() {
            for peer in [Peer::Naive, Peer::Gemm, Peer::MatrixMultiply, Peer::Faer] {
                if peer == Peer::Faer && !cfg!(feature = "faer") {
                    continue;
                }
                let (admit, _) = open::<E>(&peer, 1).expect("no library");
                every_trial(|trial| assert!(admit(peer.name(), trial).is_ok(), "{peer}: {trial:?}"));
            }
        }
        on::<f32>();
        on::<f64>();
    }

    /// A product whose last element is off.
    struct Wrong(MatrixMultiply);

    impl Multiply<f32> for Wrong {
        fn multiply(
            &mut self,
            mut c: MatMut<'_, f32>,
            a: MatRef<'_, f32>,
            b: MatRef<'_, f32>,
            write: Write<f32>,
        ) -> Result<(), Error> {
            self.0.multiply(c.reborrow(), a, b, write)?;
            let (i, j) = (c.nrows() - 1, c.ncols() - 1);
            let off = c.at(i, j) + write.alpha * 0.01;
            c.set(i, j, off);
            Ok(())
        }
    }

    #[test]
    fn a_product_that_is_off_in_one_element_is_wrong() {
        for shape in [Shape { n: 17, d: 33, m: 65 }, Shape { n: 64, d: 64, m: 64 }] {
            for op in [Op::GradInput, Op::GradParams, Op::Backward, Op::Step] {
                let trial = Trial::new(op, shape, &mut Engine::new()).expect("it fits");
                let why = trial.admit("wrong", Composed::of(Wrong(MatrixMultiply))).err();
                assert!(why.is_some_and(|why| why.contains("was expected")), "{}", op_name(op));
            }
        }
    }

    #[test]
    fn who_is_wrong_is_told_and_the_others_are_timed() {
        let here = |name: &str, admit| Seat::Here { name: name.into(), limit: f64::INFINITY, admit };
        let wrong = here("wrong", with(|| Composed::of(Wrong(MatrixMultiply))));
        let right = here("right", with(|| Composed::of(MatrixMultiply)));
        let mut peers = Peers { seats: vec![wrong, right] };
        let setup = Setup::new(Isa::best(), 1, Vec::new(), Duration::ZERO);
        let row = measure(&setup, &mut peers, Op::GradInput, SHAPES[2]).expect("the run goes on");
        let names: Vec<_> = row.timings.iter().map(|timing| timing.name.as_str()).collect();
        assert_eq!(names, ["trine", "right"]);
        let [Absent { name, wrong: true, why }] = &row.absent[..] else { panic!("{:?}", row.absent) };
        assert!(
            name == "wrong" && why.starts_with("dx[16, 32]: ") && why.ends_with("(1 of 561 elements off)"),
            "{why}"
        );
    }

    /// A process that opens its peer and is gone at the first trial, or with the first sample.
    #[cfg(unix)]
    #[test]
    fn a_peer_whose_process_ends_is_absent_and_the_run_goes_on() {
        for (script, why) in [
            ("echo '{\"Opened\":\"\"}'; read line", "its process has ended before it answered"),
            (
                "echo '{\"Opened\":\"\"}'; read line; echo '\"Ready\"'; read line",
                "its process has ended before",
            ),
        ] {
            let start = move || {
                let mut command = std::process::Command::new("sh");
                command.args(["-c", script]);
                Worker::launch("crashes", command, 1)
            };
            let right = Seat::Here {
                name: "right".into(),
                limit: f64::INFINITY,
                admit: with(|| Composed::of(MatrixMultiply)),
            };
            let mut peers = Peers { seats: vec![Seat::<f32>::apart(start).expect("a shell"), right] };
            let setup = Setup::new(Isa::best(), 1, Vec::new(), Duration::ZERO);
            // The second trial has a new process.
            for op in [Op::Forward, Op::GradInput] {
                let row = measure(&setup, &mut peers, op, SHAPES[2]).expect("the run goes on");
                let names: Vec<_> = row.timings.iter().map(|timing| timing.name.as_str()).collect();
                assert_eq!(names, ["trine", "right"]);
                let [Absent { name, wrong: true, why: found }] = &row.absent[..] else {
                    panic!("{:?}", row.absent)
                };
                assert!(name == "crashes" && found.contains(why), "{found}");
            }
        }
    }

    /// A product that takes nothing.
    struct Refuses;

    impl Multiply<f32> for Refuses {
        fn multiply(
            &mut self,
            _: MatMut<'_, f32>,
            _: MatRef<'_, f32>,
            _: MatRef<'_, f32>,
            _: Write<f32>,
        ) -> Result<(), Error> {
            Err(Error::Value { operand: "b", expected: "something else" })
        }
    }

    #[test]
    fn a_product_that_refuses_says_why() {
        let trial = Trial::new(Op::Forward, SHAPES[0], &mut Engine::new()).expect("it fits");
        let why = trial.admit("refuses", Composed::of(Refuses)).err();
        assert_eq!(why.as_deref(), Some("b must be something else"));
    }

    /// Views that are neither row-major nor column-major are refused, not read wrongly; all others
    /// give the same as the reference.
    #[cfg(feature = "faer")]
    #[test]
    fn faer_takes_both_orders_and_no_other() {
        let data: Vec<f32> = (0..64).map(|i| i as f32).collect();
        let strides = [(8, 1), (1, 8), (16, 2)];
        for (a, b) in strides.into_iter().flat_map(|a| strides.map(|b| (a, b))) {
            let view = |(row, col)| MatRef::with_strides(&data, 3, 3, row, col).expect("inside");
            let (mut c, mut expected) = ([f32::NAN; 9], [f32::NAN; 9]);
            let of = |c| MatMut::row_major(c, 3, 3).expect("inside");
            let done = Composed::of(Faer::new(1)).matmul(of(&mut c), view(a), view(b), Write::REPLACE);
            if a.1 == 2 || b.1 == 2 {
                let operand = if a.1 == 2 { "a" } else { "b" };
                assert_eq!(done, Err(Error::Value { operand, expected: "row-major or column-major" }));
                assert!(c.iter().all(|c| c.is_nan()), "nothing is written");
                continue;
            }
            done.expect("an order it takes");
            Reference(Unfused).matmul(of(&mut expected), view(a), view(b), Write::REPLACE).expect("fits");
            // Whole numbers: exact in any order of additions.
            assert_eq!(c, expected);
        }
    }
}
