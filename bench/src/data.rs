//! The handwritten digits that the program trains on (`bench/data/README.md` says whose they are).

use std::fmt;
use std::io::Read;

use flate2::read::GzDecoder;

/// Pixels of one image, 8×8.
pub const PIXELS: usize = 64;
/// Kinds of images: the digits 0 to 9.
pub const CLASSES: usize = 10;

/// The file as it is in the repository, part of the program.
pub const FILE: &[u8] = include_bytes!("../data/digits.csv.gz");

/// Images with the digit that each of them shows.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Digits {
    /// One image a row, [`PIXELS`] values from 0 (white) to 1 (black).
    pub images: Vec<f32>,
    /// One digit an image.
    pub labels: Vec<u32>,
}

/// Why a file of digits could not be read.
#[derive(Debug)]
pub enum DataError {
    /// It is not a complete gzip file of text.
    Gzip(std::io::Error),
    /// A line is not 64 pixels from 0 to 16 and a digit.
    Line {
        /// Which, from 1.
        line: usize,
        /// What is wrong with it.
        found: String,
    },
    /// There is no line in it.
    Empty,
}

impl fmt::Display for DataError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            DataError::Gzip(error) => write!(f, "the digits cannot be unpacked: {error}"),
            DataError::Line { line, found } => {
                write!(f, "line {line} of the digits is not 64 pixels (0 to 16) and a digit: {found}")
            }
            DataError::Empty => write!(f, "there are no digits in the file"),
        }
    }
}

impl std::error::Error for DataError {}

impl Digits {
    /// Unpacks and reads a file such as [`FILE`]; pixels are divided by 16.
    ///
    /// # Errors
    /// [`DataError`].
    pub fn read(gz: &[u8]) -> Result<Self, DataError> {
        let mut text = String::new();
        GzDecoder::new(gz).read_to_string(&mut text).map_err(DataError::Gzip)?;
        let mut digits = Digits::default();
        for (i, line) in text.lines().enumerate() {
            digits.push(line).map_err(|found| DataError::Line { line: i + 1, found })?;
        }
        if digits.labels.is_empty() { Err(DataError::Empty) } else { Ok(digits) }
    }

    fn push(&mut self, line: &str) -> Result<(), String> {
        let fields: Vec<&str> = line.split(',').collect();
        let [pixels @ .., label] = &fields[..] else { return Err("an empty line".into()) };
        if pixels.len() != PIXELS {
            return Err(format!("{} values", fields.len()));
        }
        let number = |text: &str, max: u32| match text.trim().parse::<u32>() {
            Ok(value) if value <= max => Ok(value),
            _ => Err(format!("the value `{text}`")),
        };
        let image =
            pixels.iter().map(|p| Ok(number(p, 16)? as f32 / 16.0)).collect::<Result<Vec<_>, String>>()?;
        self.labels.push(number(label, CLASSES as u32 - 1)?);
        self.images.extend(image);
        Ok(())
    }

    /// How many images there are.
    pub fn len(&self) -> usize {
        self.labels.len()
    }

    /// Whether there is no image.
    pub fn is_empty(&self) -> bool {
        self.labels.is_empty()
    }

    /// The images with these numbers, in this order.
    pub fn select(&self, numbers: &[u32]) -> Self {
        let mut chosen = Digits::default();
        for &i in numbers {
            let i = i as usize;
            chosen.images.extend_from_slice(&self.images[i * PIXELS..(i + 1) * PIXELS]);
            chosen.labels.push(self.labels[i]);
        }
        chosen
    }
}

#[cfg(test)]
mod tests {
    use std::io::Write;

    use flate2::{Compression, write::GzEncoder};

    use super::*;

    fn gz(text: &str) -> Vec<u8> {
        let mut encoder = GzEncoder::new(Vec::new(), Compression::fast());
        encoder.write_all(text.as_bytes()).expect("memory");
        encoder.finish().expect("memory")
    }

    fn refused(text: &str) -> String {
        Digits::read(&gz(text)).expect_err(text).to_string()
    }

    #[test]
    fn the_file_is_whole() {
        let digits = Digits::read(FILE).expect("the file in the repository");
        assert_eq!((digits.len(), digits.images.len()), (1797, 1797 * PIXELS));
        assert_eq!(digits.labels[..10], [0, 1, 2, 3, 4, 5, 6, 7, 8, 9]);
        assert_eq!(digits.images[2..5], [5.0 / 16.0, 13.0 / 16.0, 9.0 / 16.0]);
        for digit in 0..CLASSES as u32 {
            let count = digits.labels.iter().filter(|&&label| label == digit).count();
            assert!((170..190).contains(&count), "{count} images of {digit}");
        }
    }

    #[test]
    fn a_damaged_file_is_refused() {
        for gz in [&FILE[..FILE.len() / 2], &FILE[..FILE.len() - 4], &FILE[1..], &[]] {
            let error = Digits::read(gz).expect_err("damaged");
            assert!(matches!(error, DataError::Gzip(_)), "{error}");
        }
        let mut damaged = FILE.to_vec();
        damaged[FILE.len() / 2] ^= 0x55;
        assert!(Digits::read(&damaged).is_err());
    }

    #[test]
    fn a_wrong_line_is_named() {
        let good = format!("{}7\n", "16,".repeat(PIXELS));
        assert_eq!(Digits::read(&gz(&good)).expect("one line").labels, [7]);
        assert_eq!(refused(""), "there are no digits in the file");
        assert!(refused(&format!("{good}1,2,3\n")).starts_with("line 2 "));
        assert!(refused(&format!("{good}1,2,3\n")).ends_with("3 values"));
        assert!(refused(&good.replacen("16", "17", 1)).ends_with("the value `17`"));
        assert!(refused(&good.replacen("16", "-1", 1)).ends_with("the value `-1`"));
        assert!(refused(&good.replace(",7", ",10")).ends_with("the value `10`"));
    }

    #[test]
    fn selects_in_order() {
        let digits = Digits::read(FILE).expect("the file in the repository");
        let two = digits.select(&[5, 3]);
        assert_eq!(two.labels, [5, 3]);
        assert_eq!(two.images[PIXELS..], digits.images[3 * PIXELS..4 * PIXELS]);
    }
}
