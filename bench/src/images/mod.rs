//! Sets of labelled images, of whatever origin, as the training takes them.

pub mod idx;

use std::ops::Range;
use std::path::{Path, PathBuf};
use std::str::FromStr;

use trine_core::{Rng, shuffle};

use crate::Failure;
use crate::data::{CLASSES, Digits, FILE, PIXELS};
use crate::parallel::worker::Batch;

/// Images with what each of them shows.
#[derive(Clone, Debug, PartialEq)]
pub struct Images {
    /// Pixels of one image.
    pub width: usize,
    /// The value of a black pixel: they are divided by it.
    pub scale: f32,
    /// One image after the other.
    pub pixels: Vec<u8>,
    /// One class an image.
    pub labels: Vec<u8>,
}

impl Images {
    /// How many there are.
    pub fn len(&self) -> usize {
        self.labels.len()
    }

    /// Whether there is none.
    pub fn is_empty(&self) -> bool {
        self.labels.is_empty()
    }

    /// Only the first so many, `purpose` in words.
    ///
    /// # Errors
    /// None, or more than there are.
    pub fn truncate(&mut self, images: usize, purpose: &str) -> Result<(), Failure> {
        if !(1..=self.len()).contains(&images) {
            return Err(format!("{images} images to {purpose}: there are 1 to {}", self.len()).into());
        }
        self.labels.truncate(images);
        self.pixels.truncate(images * self.width);
        Ok(())
    }

    /// One image, from 0 (white) to 1 (black).
    pub fn image(&self, number: usize, to: &mut [f32]) {
        let pixels = &self.pixels[number * self.width..(number + 1) * self.width];
        for (to, &pixel) in to.iter_mut().zip(pixels) {
            *to = f32::from(pixel) / self.scale;
        }
    }
}

/// A set to learn from and one for the test.
#[derive(Clone, Debug, PartialEq)]
pub struct Data {
    /// To learn from.
    pub train: Images,
    /// For the test.
    pub test: Images,
    /// Kinds of images.
    pub classes: usize,
}

/// Some images of a set, in some order: a batch.
#[derive(Clone, Copy, Debug)]
pub struct Chosen<'a> {
    /// All of them.
    pub images: &'a Images,
    /// The numbers of those chosen.
    pub order: &'a [u32],
}

impl Batch for Chosen<'_> {
    fn rows(&self) -> usize {
        self.order.len()
    }

    fn input(&self, rows: Range<usize>, to: &mut [f32]) {
        for (&number, to) in self.order[rows].iter().zip(to.chunks_exact_mut(self.images.width)) {
            self.images.image(number as usize, to);
        }
    }

    fn classes(&self, rows: Range<usize>, to: &mut Vec<u32>) {
        to.clear();
        to.extend(self.order[rows].iter().map(|&number| u32::from(self.images.labels[number as usize])));
    }
}

/// Which data, as on the command line.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Source {
    /// The handwritten digits that are part of the program.
    Digits,
    /// Fashion-MNIST, from the idx files of a directory.
    FashionMnist(PathBuf),
}

/// Where Debian's package `dataset-fashion-mnist` puts its files.
pub const FASHION_MNIST: &str = "/usr/share/datasets/fashion-mnist";

impl FromStr for Source {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        match text.split_once(':') {
            None if text == "digits" => Ok(Source::Digits),
            None if text == "fashion-mnist" => Ok(Source::FashionMnist(FASHION_MNIST.into())),
            Some(("fashion-mnist", directory)) if !directory.is_empty() => {
                Ok(Source::FashionMnist(directory.into()))
            }
            _ => Err("expected digits, fashion-mnist or fashion-mnist:DIRECTORY".into()),
        }
    }
}

impl Source {
    /// As in reports; the directory has no say in what is learned.
    pub const fn name(&self) -> &'static str {
        match self {
            Source::Digits => "digits",
            Source::FashionMnist(_) => "fashion-mnist",
        }
    }

    /// Reads it.
    ///
    /// # Errors
    /// Files that are missing or damaged.
    pub fn read(&self) -> Result<Data, Failure> {
        match self {
            Source::Digits => digits(),
            Source::FashionMnist(directory) => Ok(fashion_mnist(directory)?),
        }
    }
}

/// The digits, split as for the main job.
fn digits() -> Result<Data, Failure> {
    let (train, test) = crate::train::split(&Digits::read(FILE)?);
    let images = |digits: Digits| Images {
        width: PIXELS,
        scale: 16.0,
        // They were divided by 16, a power of two: exact.
        pixels: digits.images.iter().map(|pixel| (pixel * 16.0) as u8).collect(),
        labels: digits.labels.iter().map(|&label| label as u8).collect(),
    };
    Ok(Data { train: images(train), test: images(test), classes: CLASSES })
}

fn fashion_mnist(directory: &Path) -> Result<Data, idx::IdxError> {
    let set = |name: &str| {
        let path = |what: &str| directory.join(format!("{name}-{what}-ubyte.gz"));
        idx::read_set(&path("images-idx3"), &path("labels-idx1"), CLASSES)
    };
    Ok(Data { train: set("train")?, test: set("t10k")?, classes: CLASSES })
}

/// The order in which an epoch takes the images, each epoch from the order of the one before.
pub fn order(order: &mut [u32], seed: u64, epoch: usize) {
    shuffle(order, &mut Rng::keyed(seed, &[1, epoch as u64]));
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_digits_are_those_of_the_main_job() {
        let (train, test) = crate::train::split(&Digits::read(FILE).expect("in the program"));
        let data = Source::Digits.read().expect("in the program");
        let mut image = [0.0; PIXELS];
        for (digits, images) in [(train, data.train), (test, data.test)] {
            assert_eq!(digits.len(), images.len());
            for number in 0..images.len() {
                images.image(number, &mut image);
                assert_eq!(image[..], digits.images[number * PIXELS..(number + 1) * PIXELS]);
                assert_eq!(u32::from(images.labels[number]), digits.labels[number]);
            }
        }
    }

    #[test]
    fn sources_have_names() {
        assert_eq!("digits".parse(), Ok(Source::Digits));
        assert_eq!("fashion-mnist".parse(), Ok(Source::FashionMnist(FASHION_MNIST.into())));
        assert_eq!("fashion-mnist:/a:b".parse(), Ok(Source::FashionMnist("/a:b".into())));
        for wrong in ["", "digits:x", "fashion-mnist:", "mnist"] {
            assert!(wrong.parse::<Source>().is_err(), "{wrong}");
        }
    }
}
