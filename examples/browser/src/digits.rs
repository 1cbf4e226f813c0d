//! The handwritten digits, as they lie in `bench/data`.

use core::fmt;

use trine_core::{Rng, shuffle};

/// Pixels of one image, 8×8.
pub const PIXELS: usize = 64;
/// Kinds of images.
pub const CLASSES: usize = 10;
/// Images that there is room for.
const MOST: usize = 1800;
/// Images that are kept for the test.
const TEST: usize = 360;

/// Images with the digit that each of them shows, in the order of a seeded shuffle; the last [`TEST`] are
/// for the test.
pub struct Digits {
    images: [[f32; PIXELS]; MOST],
    labels: [u32; MOST],
    len: usize,
}

/// Why a text is no file of digits.
pub enum Wrong {
    /// A line is not 64 pixels from 0 to 16 and a digit.
    Line(usize),
    /// There are more images than there is room for, or too few to keep some for the test.
    Number(usize),
}

impl fmt::Display for Wrong {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Wrong::Line(line) => {
                write!(f, "line {line} of the digits is not 64 pixels (0 to 16) and a digit")
            }
            Wrong::Number(found) => write!(f, "{found} digits, expected more than {TEST} and at most {MOST}"),
        }
    }
}

impl Digits {
    /// None.
    pub const EMPTY: Digits = Digits { images: [[0.0; PIXELS]; MOST], labels: [0; MOST], len: 0 };

    /// Reads lines of 64 pixels and a label, separated by commas; pixels are divided by 16.
    pub fn read(&mut self, text: &[u8]) -> Result<(), Wrong> {
        self.len = 0;
        let lines = || text.split(|&byte| byte == b'\n').filter(|line| !line.trim_ascii().is_empty());
        let count = lines().count();
        if count <= TEST || count > MOST {
            return Err(Wrong::Number(count));
        }
        for (i, line) in lines().enumerate() {
            let (image, label) = (&mut self.images[i], &mut self.labels[i]);
            read_line(line, image, label).ok_or(Wrong::Line(i + 1))?;
        }
        self.len = count;
        Ok(())
    }

    /// Into the order of the seed, as `trine train` has it.
    pub fn order(&self, seed: u64, numbers: &mut Numbers) {
        for (i, number) in numbers.0.iter_mut().enumerate() {
            *number = i as u32;
        }
        shuffle(&mut numbers.0[..self.len], &mut Rng::keyed(seed, &[0]));
    }

    /// How many are trained on.
    pub fn training(&self) -> usize {
        self.len.saturating_sub(TEST)
    }

    /// How many are kept for the test.
    pub fn test(&self) -> usize {
        self.len - self.training()
    }

    /// One image and its label.
    pub fn get(&self, number: u32) -> (&[f32; PIXELS], u32) {
        (&self.images[number as usize], self.labels[number as usize])
    }
}

/// An order of the images.
pub struct Numbers(pub [u32; MOST]);

fn read_line(line: &[u8], image: &mut [f32; PIXELS], label: &mut u32) -> Option<()> {
    let number = |field: &[u8], max: u32| {
        let value = core::str::from_utf8(field.trim_ascii()).ok()?.parse::<u32>().ok()?;
        (value <= max).then_some(value)
    };
    let mut fields = line.split(|&byte| byte == b',');
    for pixel in image {
        *pixel = number(fields.next()?, 16)? as f32 / 16.0;
    }
    *label = number(fields.next()?, CLASSES as u32 - 1)?;
    fields.next().is_none().then_some(())
}
