//! A case as one line of text and back, so that a failure can be handed to a command. What is as in
//! [`Case::plain`] is left out:
//!
//! ```text
//!     op=backward shape=3x4x5 x=columns,1,0,2,0 write=add,-0.01 activation=silu bias=no values=wide seed=17
//! ```
//!
//! An operand's place is order, step, pad, before, after ([`Place`]).

use std::fmt;
use std::str::FromStr;

use trine_core::{Activation, Shape, Write};

use crate::case::{Blocks, Case, Op};
use crate::memory::Memory;
use crate::operand::{Order, Place};
use crate::values::Values;

/// Names of the variants of an enum, for both directions.
trait Named: Copy + PartialEq + 'static {
    const NAMES: &'static [(&'static str, Self)];

    fn name(self) -> &'static str {
        Self::NAMES.iter().find(|(_, one)| *one == self).map_or("?", |(name, _)| name)
    }

    fn named(text: &str) -> Result<Self, String> {
        let names = || Self::NAMES.iter().map(|(name, _)| *name).collect::<Vec<_>>().join(", ");
        let found = Self::NAMES.iter().find(|(name, _)| *name == text);
        found.map(|(_, one)| *one).ok_or_else(|| format!("`{text}` is none of {}", names()))
    }
}

macro_rules! named {
    ($type:ident $($name:literal $variant:ident),*) => {
        impl Named for $type {
            const NAMES: &'static [(&'static str, Self)] = &[$(($name, $type::$variant)),*];
        }
    };
}

named!(Op "forward" Forward, "matmul" Matmul, "grad-input" GradInput, "grad-params" GradParams,
    "backward" Backward, "step" Step);
named!(Blocks "chosen" Chosen, "planned" Planned, "packed" Packed, "direct" Direct, "tiny" Tiny, "tiny-packed" TinyPacked,
    "tiny-direct" TinyDirect);
named!(Memory "plain" Plain, "guard-before" GuardBefore, "guard-behind" GuardBehind);
named!(Order "rows" Rows, "columns" Columns, "one-row" OneRow, "one-column" OneColumn);
named!(Values "whole" Whole, "uniform" Uniform, "wide" Wide, "extreme" Extreme, "sparse" Sparse,
    "dense" Dense);

/// Keys of the operands' places, in the order of [`Role`](crate::Role).
const PLACES: [&str; 7] = ["x", "w", "y", "z", "at-dx", "at-dw", "at-bias"];

fn activation(activation: Activation) -> String {
    match activation {
        Activation::LeakyRelu { slope } => format!("leaky,{slope:?}"),
        other => other.name().to_lowercase(),
    }
}

fn activation_from(text: &str) -> Result<Activation, String> {
    if let Some(slope) = text.strip_prefix("leaky,") {
        return Ok(Activation::LeakyRelu { slope: number(slope)? });
    }
    let mut known = crate::case::ACTIVATIONS.into_iter();
    known.find(|one| activation(*one) == text).ok_or_else(|| format!("`{text}` is no activation"))
}

fn number<T: FromStr>(text: &str) -> Result<T, String> {
    text.parse().map_err(|_| format!("`{text}` is no number that fits"))
}

fn yes(text: &str) -> Result<bool, String> {
    match text {
        "yes" => Ok(true),
        "no" => Ok(false),
        _ => Err(format!("`{text}` is neither yes nor no")),
    }
}

fn write(write: Write<f64>) -> String {
    format!("{},{:?}", if write.add { "add" } else { "replace" }, write.alpha)
}

fn write_from(text: &str) -> Result<Write<f64>, String> {
    match text.split_once(',') {
        Some(("add", alpha)) => Ok(Write { add: true, alpha: number(alpha)? }),
        Some(("replace", alpha)) => Ok(Write { add: false, alpha: number(alpha)? }),
        _ => Err(format!("`{text}` is neither add,NUMBER nor replace,NUMBER")),
    }
}

fn shape_from(text: &str) -> Result<Shape, String> {
    let sides: Vec<usize> = text.split('x').map(number).collect::<Result<_, _>>()?;
    match sides[..] {
        [n, d, m] => Ok(Shape { n, d, m }),
        _ => Err(format!("`{text}` is no shape: expected NxDxM")),
    }
}

fn place_from(text: &str) -> Result<Place, String> {
    let parts: Vec<&str> = text.split(',').collect();
    match parts[..] {
        [order, step, pad, before, after] => Ok(Place {
            order: Order::named(order)?,
            step: number(step)?,
            pad: number(pad)?,
            before: number(before)?,
            after: number(after)?,
        }),
        _ => Err(format!("`{text}` is no place: expected order,step,pad,before,after")),
    }
}

impl fmt::Display for Case {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Shape { n, d, m } = self.shape;
        let plain = Case::plain(self.op, n, d, m);
        write!(f, "op={} shape={n}x{d}x{m}", self.op.name())?;
        let mut other = |key: &str, differs: bool, text: String| {
            if differs { write!(f, " {key}={text}") } else { Ok(()) }
        };
        let flag = |yes: bool| String::from(if yes { "yes" } else { "no" });
        // By bits: NaN is not itself.
        let written = |a: Write<f64>, b: Write<f64>| a.add != b.add || a.alpha.to_bits() != b.alpha.to_bits();
        other("first-row", self.first_row != 0, self.first_row.to_string())?;
        for (key, place) in PLACES.into_iter().zip(self.places) {
            let Place { order, step, pad, before, after } = place;
            let text = format!("{},{step},{pad},{before},{after}", order.name());
            other(key, place != Place::PLAIN, text)?;
        }
        other("memory", self.memory != plain.memory, self.memory.name().into())?;
        other("write", written(self.write, plain.write), write(self.write))?;
        let params = written(self.params_write, plain.params_write);
        other("params-write", params, write(self.params_write))?;
        other("activation", self.activation != plain.activation, activation(self.activation))?;
        other("bias", self.bias != plain.bias, flag(self.bias))?;
        other("first-output", self.first_output != plain.first_output, flag(self.first_output))?;
        other("second-output", self.second_output != plain.second_output, flag(self.second_output))?;
        other("saved", self.saved != plain.saved, flag(self.saved))?;
        other("values", self.values != plain.values, self.values.name().into())?;
        other("seed", self.seed != plain.seed, self.seed.to_string())?;
        other("threads", self.threads != plain.threads, self.threads.to_string())?;
        other("blocks", self.blocks != plain.blocks, self.blocks.name().into())
    }
}

impl FromStr for Case {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let mut case = Case::plain(Op::Forward, 1, 1, 1);
        for word in text.split_whitespace() {
            let (key, value) = word.split_once('=').ok_or_else(|| format!("`{word}` is no key=value"))?;
            match key {
                "op" => case.op = Op::named(value)?,
                "shape" => case.shape = shape_from(value)?,
                "first-row" => case.first_row = number(value)?,
                "memory" => case.memory = Memory::named(value)?,
                "write" => case.write = write_from(value)?,
                "params-write" => case.params_write = write_from(value)?,
                "activation" => case.activation = activation_from(value)?,
                "bias" => case.bias = yes(value)?,
                "first-output" => case.first_output = yes(value)?,
                "second-output" => case.second_output = yes(value)?,
                "saved" => case.saved = yes(value)?,
                "values" => case.values = Values::named(value)?,
                "seed" => case.seed = number(value)?,
                "threads" => case.threads = number(value)?,
                "blocks" => case.blocks = Blocks::named(value)?,
                _ => match PLACES.iter().position(|place| *place == key) {
                    Some(role) => case.places[role] = place_from(value)?,
                    None => return Err(format!("`{key}` is no part of a case")),
                },
            }
        }
        Ok(case)
    }
}

#[cfg(test)]
mod tests {
    use quickcheck::{Arbitrary, Gen};

    use super::*;

    #[test]
    fn every_case_is_read_as_it_was_written() {
        for seed in 0..3000 {
            let case = Case::arbitrary(&mut Gen::from_size_and_seed(100, seed));
            let text = case.to_string();
            let read: Case = text.parse().expect(&text);
            // Everything, NaN included.
            assert_eq!(format!("{read:?}"), format!("{case:?}"), "{text}");
        }
    }

    #[test]
    fn a_plain_case_is_short() {
        assert_eq!(Case::plain(Op::Step, 3, 4, 5).to_string(), "op=step shape=3x4x5");
    }

    #[test]
    fn what_is_no_case_is_refused() {
        for (text, expected) in [
            ("op=run", "`run` is none of forward, matmul"),
            ("shape=3x4", "`3x4` is no shape"),
            ("x=rows,1", "`rows,1` is no place"),
            ("write=add", "`add` is neither"),
            ("activation=sine", "`sine` is no activation"),
            ("colour=red", "`colour` is no part of a case"),
            ("backward", "`backward` is no key=value"),
            ("threads=-1", "`-1` is no number that fits"),
        ] {
            let found = text.parse::<Case>().expect_err(text);
            assert!(found.contains(expected), "{text}: {found}");
        }
    }
}
