//! The plan's free choices as numbers that can be measured, written down and read back. Only speed depends on
//! them: every value of every choice gives the same bits.
//!
//! ```text
//!     # a file of `trine tune`; what is not in it stays as the caches suggest
//!     trine-tuning 1
//!     isa avx512
//!     f32 nc 384
//!     f32 copy-b-tiles 24
//!     f64 thread-work 524288
//! ```

use core::fmt;
use core::str::FromStr;

use crate::isa::Isa;
use crate::plan::{Blocking, Caches};

/// From when on a way of computing pays. [`for_caches`](Thresholds::for_caches) is what an engine begins with.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Thresholds {
    /// A by columns is packed if the part of it in one block of k has more bytes than this …
    pub copy_a_bytes: usize,
    /// … and there are more strips of columns.
    pub copy_a_strips: usize,
    /// B by rows is copied if the part of it in one block of k has more bytes than this (and what a block of the batch
    /// reads of a matrix is not fetched ahead). With AVX2 a ∇W of up to so many bytes goes in runs of the batch, if this
    /// has more than twice as many …
    pub copy_b_bytes: usize,
    /// … and there are at least so many microtiles of rows; a third of that with AVX2, if B has more than twice the bytes.
    pub copy_b_tiles: usize,
    /// Few rows read B from end to end, or turn one by columns chunk by chunk, if it has more bytes than this; with
    /// fewer it does not matter, either, whether rows of B compete for places in the caches.
    pub stream_bytes: usize,
    /// A by rows is fetched before it is needed if the part of it in one block of k has more bytes than this.
    pub fetch_a_bytes: usize,
    /// Sums of one product go row after row of the output if that has more bytes than this …
    pub outer_bytes: usize,
    /// … and of up to four, past the caches, if it is only written and has more than so many, with what the same call
    /// reads that is as large. Other outputs of more go past the caches, too, if their sums are short. A backward pass on
    /// so many fetches the next block of the batch. A W of more is read in few streams where it is turned, and slab by
    /// slab by several rows.
    pub past_bytes: usize,
    /// Multiply-adds up to which a product is computed where its operands lie, without a plan …
    pub small: usize,
    /// … and up to which it is if no operand is worth a copy.
    pub planless: usize,
    /// Multiply-adds below which a second thread costs more than it brings, if it is awake.
    pub thread_work: usize,
}

impl Thresholds {
    /// Twice L1 is where a strided operand has to be read from L2 again and again, half of L2 where a panel of B
    /// begins to be in the way of A. What is half of L3, which others share, would not stay there. The others are
    /// ratios of costs.
    pub const fn for_caches(caches: Caches) -> Self {
        Thresholds {
            copy_a_bytes: 2 * caches.l1,
            copy_a_strips: 6,
            copy_b_bytes: caches.l2 / 2,
            copy_b_tiles: 48,
            stream_bytes: 2 * caches.l1,
            fetch_a_bytes: caches.l2,
            outer_bytes: caches.l1,
            past_bytes: caches.l3 / 2,
            small: 1 << 17,
            planless: 1 << 25,
            thread_work: 1 << 17,
        }
    }
}

/// A number that the plan may choose.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Choice {
    /// [`Blocking::mc`].
    Mc,
    /// [`Blocking::nc`].
    Nc,
    /// [`Thresholds::copy_a_bytes`].
    CopyABytes,
    /// [`Thresholds::copy_a_strips`].
    CopyAStrips,
    /// [`Thresholds::copy_b_bytes`].
    CopyBBytes,
    /// [`Thresholds::copy_b_tiles`].
    CopyBTiles,
    /// [`Thresholds::stream_bytes`].
    StreamBytes,
    /// [`Thresholds::small`].
    Small,
    /// [`Thresholds::thread_work`].
    ThreadWork,
}

impl Choice {
    /// How many there are.
    pub const COUNT: usize = 9;

    /// All of them, in the order of a file.
    pub const ALL: [Choice; Choice::COUNT] = [
        Choice::Mc,
        Choice::Nc,
        Choice::CopyABytes,
        Choice::CopyAStrips,
        Choice::CopyBBytes,
        Choice::CopyBTiles,
        Choice::StreamBytes,
        Choice::Small,
        Choice::ThreadWork,
    ];

    /// Its name in a file.
    pub const fn name(self) -> &'static str {
        match self {
            Choice::Mc => "mc",
            Choice::Nc => "nc",
            Choice::CopyABytes => "copy-a-bytes",
            Choice::CopyAStrips => "copy-a-strips",
            Choice::CopyBBytes => "copy-b-bytes",
            Choice::CopyBTiles => "copy-b-tiles",
            Choice::StreamBytes => "stream-bytes",
            Choice::Small => "small",
            Choice::ThreadWork => "thread-work",
        }
    }

    /// The least and the greatest value that is taken; others are brought to the nearer of them. A product that
    /// needs no plan counts its rows in 32 bits.
    const fn bounds(self) -> (usize, usize) {
        match self {
            Choice::Mc | Choice::Nc | Choice::ThreadWork => (1, usize::MAX),
            Choice::Small => (0, 1 << 28),
            _ => (0, usize::MAX),
        }
    }

    /// Where it is.
    const fn place(self, blocking: &mut Blocking) -> &mut usize {
        let thresholds = &mut blocking.thresholds;
        match self {
            Choice::Mc => &mut blocking.mc,
            Choice::Nc => &mut blocking.nc,
            Choice::CopyABytes => &mut thresholds.copy_a_bytes,
            Choice::CopyAStrips => &mut thresholds.copy_a_strips,
            Choice::CopyBBytes => &mut thresholds.copy_b_bytes,
            Choice::CopyBTiles => &mut thresholds.copy_b_tiles,
            Choice::StreamBytes => &mut thresholds.stream_bytes,
            Choice::Small => &mut thresholds.small,
            Choice::ThreadWork => &mut thresholds.thread_work,
        }
    }

    /// What `blocking` has chosen.
    pub const fn of(self, mut blocking: Blocking) -> usize {
        *self.place(&mut blocking)
    }

    /// The same with another choice.
    #[must_use]
    pub const fn with(self, mut blocking: Blocking, value: usize) -> Blocking {
        let (least, most) = self.bounds();
        let value = if value < least { least } else { value };
        *self.place(&mut blocking) = if value > most { most } else { value };
        blocking
    }
}

impl Blocking {
    /// The same with every choice within what is possible.
    pub(crate) fn within_bounds(self) -> Self {
        let mut within =
            Choice::ALL.into_iter().fold(self, |blocking, choice| choice.with(blocking, choice.of(blocking)));
        // No choice, but counted in 32 bits like `small`.
        within.thresholds.planless = within.thresholds.planless.min(Choice::Small.bounds().1);
        within
    }
}

/// Choices for one instruction set: some of them, for elements of 4 and of 8 bytes. Reads and writes the text
/// of a tuning file, without allocating.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Tuning {
    isa: Isa,
    /// For elements of 4 and of 8 bytes, in the order of [`Choice::ALL`].
    choices: [[Option<usize>; Choice::COUNT]; 2],
}

/// The names of the element types in a file.
const TYPES: [&str; 2] = ["f32", "f64"];

impl Tuning {
    /// The first line of a file, comments aside.
    pub const HEAD: &'static str = "trine-tuning 1";

    /// One that chooses nothing.
    pub const fn new(isa: Isa) -> Self {
        Tuning { isa, choices: [[None; Choice::COUNT]; 2] }
    }

    /// The instruction set it is for.
    pub const fn isa(&self) -> Isa {
        self.isa
    }

    /// What it chooses for elements of `bytes` bytes.
    pub const fn get(&self, bytes: usize, choice: Choice) -> Option<usize> {
        self.choices[(bytes > 4) as usize][choice as usize]
    }

    /// Chooses.
    pub const fn set(&mut self, bytes: usize, choice: Choice, value: usize) {
        self.choices[(bytes > 4) as usize][choice as usize] = Some(value);
    }

    /// `blocking`, for elements of `bytes` bytes, with what this chooses.
    pub fn apply(&self, bytes: usize, blocking: Blocking) -> Blocking {
        Choice::ALL.into_iter().fold(blocking, |blocking, choice| match self.get(bytes, choice) {
            Some(value) => choice.with(blocking, value),
            None => blocking,
        })
    }
}

/// The text of a file, without comments.
impl fmt::Display for Tuning {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "{}\nisa {}", Tuning::HEAD, self.isa)?;
        for (choices, element) in self.choices.iter().zip(TYPES) {
            for (value, choice) in choices.iter().zip(Choice::ALL) {
                if let Some(value) = value {
                    writeln!(f, "{element} {} {value}", choice.name())?;
                }
            }
        }
        Ok(())
    }
}

/// Why a text is no tuning.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct TuningError {
    /// The line, from 1; 0 if something is missing at the end.
    pub line: usize,
    /// What was expected there.
    pub expected: &'static str,
}

impl fmt::Display for TuningError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.line {
            0 => write!(f, "the end comes too soon: expected {}", self.expected),
            line => write!(f, "line {line}: expected {}", self.expected),
        }
    }
}

impl core::error::Error for TuningError {}

const NO_HEAD: &str = "`trine-tuning 1`";
const NO_ISA: &str = "`isa` and the name of an instruction set";

impl FromStr for Tuning {
    type Err = TuningError;

    /// Whatever follows a `#` is a comment. A choice that is made twice is an error, like a name that is none.
    fn from_str(text: &str) -> Result<Self, TuningError> {
        let lines = text.lines().enumerate().map(|(i, line)| (i + 1, line.split('#').next().unwrap_or("")));
        let mut lines = lines.filter(|(_, line)| !line.trim().is_empty());
        let (line, head) = lines.next().ok_or(TuningError { line: 0, expected: NO_HEAD })?;
        if !head.split_whitespace().eq(Tuning::HEAD.split(' ')) {
            return Err(TuningError { line, expected: NO_HEAD });
        }
        let (line, isa) = lines.next().ok_or(TuningError { line: 0, expected: NO_ISA })?;
        let name = isa.trim().strip_prefix("isa").map(str::trim);
        let isa = name.and_then(|name| name.parse().ok()).ok_or(TuningError { line, expected: NO_ISA })?;
        let mut tuning = Tuning::new(isa);
        for (line, text) in lines {
            let choice = choice(text).map_err(|expected| TuningError { line, expected })?;
            let (element, at, value) = choice;
            if tuning.choices[element][at].replace(value).is_some() {
                return Err(TuningError { line, expected: "each choice once" });
            }
        }
        Ok(tuning)
    }
}

/// `f32 nc 384`: which type, which choice, what.
fn choice(text: &str) -> Result<(usize, usize, usize), &'static str> {
    let mut words = text.split_whitespace();
    let mut word = || words.next().unwrap_or("");
    let (element, name, value) = (word(), word(), word());
    let element = TYPES.iter().position(|known| *known == element).ok_or("`f32` or `f64`")?;
    let at = Choice::ALL.iter().position(|choice| choice.name() == name).ok_or("the name of a choice")?;
    let value = value.parse().map_err(|_| "a whole number that fits in a word of this machine")?;
    if words.next().is_some() { Err("nothing more in this line") } else { Ok((element, at, value)) }
}

#[cfg(test)]
mod tests {
    use super::*;

    extern crate std;
    use std::string::ToString;

    #[test]
    fn reads_what_it_writes() {
        let mut tuning = Tuning::new(Isa::Avx2);
        for (i, choice) in Choice::ALL.into_iter().enumerate() {
            assert_eq!(choice as usize, i);
            tuning.set(if i % 3 == 0 { 4 } else { 8 }, choice, 7 * i);
        }
        assert_eq!(tuning.to_string().parse(), Ok(tuning));
        let text = "# by hand\n\n trine-tuning  1 # yes\nisa avx2\nf64 nc 0 # little\n";
        let read: Tuning = text.parse().expect("well formed");
        let blocking = Blocking::for_caches(Caches::DEFAULT, Isa::Avx2, 8);
        assert_eq!(read.apply(4, blocking), blocking);
        assert_eq!(read.apply(8, blocking).nc, 1);
    }

    #[test]
    fn rows_of_a_product_without_a_plan_fit_into_their_count() {
        let mut blocking = Blocking::for_caches(Caches::DEFAULT, Isa::Avx2, 4);
        (blocking.thresholds.small, blocking.thresholds.planless) = (usize::MAX, usize::MAX);
        let Thresholds { small, planless, .. } = blocking.within_bounds().thresholds;
        assert!(u32::try_from(small).is_ok() && u32::try_from(planless).is_ok());
    }

    #[test]
    fn says_in_which_line_it_is_wrong() {
        let head = "trine-tuning 1\nisa avx2\n";
        for (text, line, expected) in [
            ("", 0, NO_HEAD),
            ("trine-tuning 2\n", 1, NO_HEAD),
            ("trine-tuning 1\n# nothing\n", 0, NO_ISA),
            ("trine-tuning 1\nisa avx3\n", 2, NO_ISA),
            ("trine-tuning 1\nf32 nc 3\n", 2, NO_ISA),
        ] {
            assert_eq!(text.parse::<Tuning>(), Err(TuningError { line, expected }), "{text}");
        }
        for (text, expected) in [
            ("f16 nc 3", "`f32` or `f64`"),
            ("f32", "the name of a choice"),
            ("f32 kc 3", "the name of a choice"),
            ("f32 nc", "a whole number that fits in a word of this machine"),
            ("f32 nc -3", "a whole number that fits in a word of this machine"),
            ("f32 nc 99999999999999999999999", "a whole number that fits in a word of this machine"),
            ("f32 nc 3 4", "nothing more in this line"),
            ("f32 nc 3\nf32 nc 3", "each choice once"),
        ] {
            let text = std::format!("{head}{text}\n");
            let error = text.parse::<Tuning>().expect_err(&text);
            let line = 2 + text.lines().count() - head.lines().count();
            assert_eq!(error, TuningError { line, expected }, "{text}");
        }
    }

    #[test]
    fn defaults_come_from_the_caches() {
        let small = Thresholds::for_caches(Caches { l1: 16 << 10, l2: 256 << 10, l3: 1 << 20 });
        assert_eq!(
            (small.copy_a_bytes, small.copy_b_bytes, small.stream_bytes),
            (32 << 10, 128 << 10, 32 << 10)
        );
        let usual = Thresholds::for_caches(Caches::DEFAULT);
        assert_eq!(
            (usual.copy_a_bytes, usual.copy_b_bytes, usual.stream_bytes),
            (64 << 10, 512 << 10, 64 << 10)
        );
    }
}
