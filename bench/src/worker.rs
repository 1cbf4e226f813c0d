//! A peer in a process of its own. The program starts itself again as `trine worker`; a line of
//! JSON on standard input asks, a line on standard output answers. Time is taken over there.

use std::io::{self, BufRead, BufReader, Write};
use std::process::{Child, ChildStdin, ChildStdout, Command, Stdio};
use std::time::Duration;

use serde::{Deserialize, Serialize};
use trine_core::Shape;
use trine_kernels::{Engine, Isa, Op};

use crate::Failure;
use crate::contest::{Admit, Trial, open};
use crate::peer::Peer;
use crate::products::Scalar;
use crate::workload::{op_name, parse_op};

/// Variables that say how many threads a library may use.
const THREADS: [&str; 7] = [
    "OPENBLAS_NUM_THREADS",
    "GOTO_NUM_THREADS",
    "BLIS_NUM_THREADS",
    "MKL_NUM_THREADS",
    "OMP_NUM_THREADS",
    "VECLIB_MAXIMUM_THREADS",
    "MATMUL_NUM_THREADS",
];

/// What would make a library choose worse than it does by itself, or another number of threads; and
/// what this program would take for its own.
const REMOVED: [&str; 10] = [
    "OPENBLAS_CORETYPE",
    "OPENBLAS_L2_SIZE",
    "BLIS_ARCH_TYPE",
    "BLIS_JC_NT",
    "BLIS_PC_NT",
    "BLIS_IC_NT",
    "BLIS_JR_NT",
    "BLIS_IR_NT",
    "TRINE_ISA",
    "TRINE_THREADS",
];

/// Threads of a library that wait for more work at most so long (about a millisecond each) …
const SHORT_WAITS: [(&str, &str); 4] = [
    ("KMP_BLOCKTIME", "1"),
    ("OPENBLAS_THREAD_TIMEOUT", "20"),
    ("MKL_DYNAMIC", "FALSE"),
    ("OMP_DYNAMIC", "FALSE"),
];

/// … have stopped after so long, before it is someone else's turn.
const SETTLE: Duration = Duration::from_millis(3);

#[derive(Clone, Debug, Serialize, Deserialize)]
enum Request {
    /// Make operands and results, compare, warm up.
    Prepare { op: String, cold: bool, n: usize, d: usize, m: usize, isa: String },
    /// Take one sample.
    Sample,
}

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
enum Answer {
    /// The peer can be used; what there is to say of it.
    Opened(String),
    /// The results are right.
    Ready,
    /// The results are wrong, and how.
    Wrong(String),
    /// Seconds of one call.
    Seconds(f64),
    /// It cannot be done, and why.
    Failed(String),
}

/// A peer's process, as seen from here. It ends with this value.
#[derive(Debug)]
pub struct Worker {
    name: String,
    child: Child,
    to: ChildStdin,
    from: BufReader<ChildStdout>,
    /// What there is to say of the peer: the symbol, the size of integers, the library.
    pub how: String,
}

impl Worker {
    /// Starts this program again for a peer, with an environment in which a library uses so many threads.
    ///
    /// # Errors
    /// Why the peer cannot be used.
    pub fn start<E: Scalar>(peer: &Peer, threads: usize) -> Result<Self, Failure> {
        let mut command = Command::new(std::env::current_exe()?);
        command.args(["worker", "--peer", &peer.to_string(), "--dtype", E::NAME]);
        Self::launch(peer.name(), command, threads)
    }

    /// The same with any program that speaks like a worker.
    ///
    /// # Errors
    /// As above.
    pub fn launch(name: &str, mut command: Command, threads: usize) -> Result<Self, Failure> {
        set_environment(&mut command, threads);
        command.args(["--threads", &threads.to_string()]);
        let mut child = command.stdin(Stdio::piped()).stdout(Stdio::piped()).spawn()?;
        let (to, from) = (child.stdin.take(), child.stdout.take());
        let (to, from) = to.zip(from).ok_or("a process without standard input and output")?;
        let from = BufReader::new(from);
        let mut worker = Worker { name: name.into(), child, to, from, how: String::new() };
        worker.how = match worker.hear()? {
            Answer::Opened(how) => how,
            other => return Err(worker.unexpected(other)),
        };
        Ok(worker)
    }

    /// As in reports.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// Lets it compute an operation at a shape, to be timed with cold caches or warm ones, and compare
    /// with the engine on an instruction set.
    /// `Ok(Err(…))` says what is wrong with its results.
    ///
    /// # Errors
    /// A process that has ended, or that does not speak like a worker.
    pub fn prepare(
        &mut self,
        op: Op,
        cold: bool,
        shape: Shape,
        isa: Isa,
    ) -> Result<Result<(), String>, Failure> {
        let Shape { n, d, m } = shape;
        let (op, isa) = (op_name(op).into(), isa.name().into());
        match self.ask(&Request::Prepare { op, cold, n, d, m, isa })? {
            Answer::Ready => Ok(Ok(())),
            Answer::Wrong(why) => Ok(Err(why)),
            other => Err(self.unexpected(other)),
        }
    }

    /// Seconds of one call, from one sample of what has been prepared.
    ///
    /// # Errors
    /// As [`prepare`](Worker::prepare).
    pub fn sample(&mut self) -> Result<f64, Failure> {
        match self.ask(&Request::Sample)? {
            Answer::Seconds(seconds) => Ok(seconds),
            other => Err(self.unexpected(other)),
        }
    }

    /// Whether the process is no more.
    pub fn has_ended(&mut self) -> bool {
        !matches!(self.child.try_wait(), Ok(None))
    }

    /// Ends the process; whatever it is asked for afterwards is an error.
    pub fn stop(&mut self) {
        // It may have ended by itself.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }

    fn ask(&mut self, request: &Request) -> Result<Answer, Failure> {
        match say(&mut self.to, request) {
            Ok(()) => self.hear(),
            Err(_) => Err(self.ended()),
        }
    }

    fn hear(&mut self) -> Result<Answer, Failure> {
        let mut line = String::new();
        if self.from.read_line(&mut line)? == 0 {
            return Err(self.ended());
        }
        let answer = serde_json::from_str(&line);
        answer.map_err(|_| self.named(&format!("its process said `{}`, which is no answer", line.trim_end())))
    }

    fn ended(&mut self) -> Failure {
        match self.child.wait() {
            Ok(status) => self.named(&format!("its process has ended before it answered ({status})")),
            Err(error) => self.named(&error.to_string()),
        }
    }

    fn unexpected(&self, answer: Answer) -> Failure {
        match answer {
            Answer::Failed(why) => self.named(&why),
            other => self.named(&format!("its process said {other:?}, which was not the question")),
        }
    }

    fn named(&self, what: &str) -> Failure {
        format!("peer {}: {what}", self.name).into()
    }
}

impl Drop for Worker {
    fn drop(&mut self) {
        self.stop();
    }
}

fn set_environment(command: &mut Command, threads: usize) {
    for variable in REMOVED {
        command.env_remove(variable);
    }
    command.envs(THREADS.map(|variable| (variable, threads.to_string()))).envs(SHORT_WAITS);
    if threads == 1 {
        command.env("MKL_THREADING_LAYER", "SEQUENTIAL");
    }
}

fn say(to: &mut impl Write, message: &impl Serialize) -> io::Result<()> {
    let mut line = serde_json::to_string(message)?;
    line.push('\n');
    to.write_all(line.as_bytes())?;
    to.flush()
}

/// The other side: serves a peer until standard input ends.
///
/// # Errors
/// Standard input and output that fail, or a request that is none.
pub fn serve<E: Scalar>(peer: &Peer, threads: usize) -> Result<(), Failure> {
    let admit = match open::<E>(peer, threads) {
        Ok((admit, how)) => {
            answer(&Answer::Opened(how))?;
            admit
        }
        Err(error) => return answer(&Answer::Failed(error.to_string())),
    };
    let mut next = request()?;
    while let Some(asked) = next {
        next = match asked {
            Request::Prepare { op, cold, n, d, m, isa } => {
                let mut engine = Engine::with_isa(isa.parse()?)?;
                let trial = Trial::<E>::new(parse_op(&op)?, Shape { n, d, m }, &mut engine)?.cold(cold);
                samples(&admit, &trial, threads)?
            }
            Request::Sample => {
                answer(&Answer::Failed("a sample of nothing".into()))?;
                request()?
            }
        };
    }
    Ok(())
}

/// Prepares a trial and takes samples of it. Returns what else is asked for.
fn samples<E: Scalar>(
    admit: &Admit<E>,
    trial: &Trial<E>,
    threads: usize,
) -> Result<Option<Request>, Failure> {
    let mut contender = match admit("", trial) {
        Ok(contender) => contender,
        Err(why) => {
            answer(&Answer::Wrong(why))?;
            return request();
        }
    };
    answer(&Answer::Ready)?;
    loop {
        match request()? {
            Some(Request::Sample) => {
                let seconds = contender.sample()?;
                if threads > 1 {
                    std::thread::sleep(SETTLE);
                }
                answer(&Answer::Seconds(seconds))?;
            }
            other => return Ok(other),
        }
    }
}

fn answer(answer: &Answer) -> Result<(), Failure> {
    Ok(say(&mut io::stdout().lock(), answer)?)
}

fn request() -> Result<Option<Request>, Failure> {
    let mut line = String::new();
    match io::stdin().lock().read_line(&mut line)? {
        0 => Ok(None),
        _ => Ok(Some(serde_json::from_str(&line)?)),
    }
}

#[cfg(test)]
mod tests {
    use std::ffi::OsStr;

    use super::*;

    #[test]
    fn the_environment_of_a_worker() {
        let environment = |threads, variable: &str| {
            let mut command = Command::new("trine");
            command.env("OPENBLAS_CORETYPE", "Prescott").env("OMP_NUM_THREADS", "64");
            set_environment(&mut command, threads);
            let found = command.get_envs().find(|(name, _)| *name == variable);
            found.map(|(_, value)| value.and_then(OsStr::to_str).map(str::to_string))
        };
        let set = |value: &str| Some(Some(value.to_string()));
        for variable in ["OPENBLAS_NUM_THREADS", "BLIS_NUM_THREADS", "MKL_NUM_THREADS", "OMP_NUM_THREADS"] {
            assert_eq!(environment(1, variable), set("1"), "{variable}");
            assert_eq!(environment(3, variable), set("3"), "{variable}");
        }
        for variable in ["OPENBLAS_CORETYPE", "OPENBLAS_L2_SIZE", "BLIS_IC_NT", "TRINE_THREADS"] {
            assert_eq!(environment(1, variable), Some(None), "{variable} is removed");
        }
        assert_eq!(environment(1, "MKL_THREADING_LAYER"), set("SEQUENTIAL"));
        assert_eq!(environment(2, "MKL_THREADING_LAYER"), None);
    }

    #[test]
    fn seconds_arrive_as_they_were_sent() {
        let mut line = Vec::new();
        say(&mut line, &Answer::Seconds(1.0 / 3.0)).expect("memory");
        assert_eq!(serde_json::from_slice::<Answer>(&line).expect("an answer"), Answer::Seconds(1.0 / 3.0));
    }
}
