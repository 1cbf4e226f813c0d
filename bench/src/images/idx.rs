//! The idx format of MNIST and its relatives (Y. LeCun, C. Cortes, C. Burges), packed with gzip:
//!
//! ```text
//!     0, 0, type (8: bytes), dimensions N      four bytes
//!     size of each dimension                   N numbers of four bytes, the high one first
//!     values                                   as many as the product of the sizes
//! ```

use std::fmt;
use std::fs::File;
use std::io::Read;
use std::path::{Path, PathBuf};

use flate2::read::GzDecoder;

use super::Images;

/// What is wrong with a file.
#[derive(Debug)]
pub struct IdxError {
    /// Which file.
    pub path: PathBuf,
    /// What is wrong.
    pub found: String,
}

impl fmt::Display for IdxError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.path.display(), self.found)
    }
}

impl std::error::Error for IdxError {}

/// Sizes and values of a file of bytes.
fn parse(bytes: &[u8], dimensions: usize) -> Result<(Vec<usize>, &[u8]), String> {
    match bytes.get(..4) {
        None => return Err(format!("{} bytes are no idx file", bytes.len())),
        Some([0, 0, 8, n]) if usize::from(*n) == dimensions => {}
        Some([0, 0, 8, n]) => return Err(format!("{n} dimensions, expected {dimensions}")),
        Some([0, 0, kind, _]) => return Err(format!("values of type {kind:#04x}, expected bytes (0x08)")),
        Some(start) => return Err(format!("begins with {start:02x?}: no idx file")),
    }
    let (sizes, values) = bytes[4..].split_at_checked(4 * dimensions).ok_or("ends within its sizes")?;
    let size = |four: &[u8]| four.iter().fold(0usize, |size, &byte| size << 8 | usize::from(byte));
    let sizes: Vec<usize> = sizes.chunks(4).map(size).collect();
    let expected = sizes.iter().try_fold(1usize, |all, &size| all.checked_mul(size));
    match expected {
        Some(expected) if expected == values.len() => Ok((sizes, values)),
        Some(expected) => Err(format!("{} values, but its sizes {sizes:?} say {expected}", values.len())),
        None => Err(format!("sizes {sizes:?} are beyond any memory")),
    }
}

/// What is packed with gzip, unpacked.
///
/// # Errors
/// A sentence that says what is wrong.
pub fn unpacked(packed: impl Read) -> Result<Vec<u8>, String> {
    let mut bytes = Vec::new();
    let unpacked = GzDecoder::new(packed).read_to_end(&mut bytes);
    unpacked.map_err(|error| format!("cannot be unpacked, it is damaged or incomplete: {error}"))?;
    Ok(bytes)
}

fn unpack(path: &Path) -> Result<Vec<u8>, String> {
    unpacked(File::open(path).map_err(|error| format!("cannot be opened: {error}"))?)
}

/// What is wrong with one of two files of images and labels.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Wrong {
    /// Whether it is that of the labels.
    pub labels: bool,
    /// What is wrong.
    pub found: String,
}

/// Images and their labels from the unpacked bytes of two files.
///
/// # Errors
/// A file that is incomplete or not of this format; labels that are not as many as the images, or no class.
pub fn read_bytes(images: &[u8], labels: &[u8], classes: usize) -> Result<Images, Wrong> {
    let of = |labels| move |found| Wrong { labels, found };
    let (sizes, pixels) = parse(images, 3).map_err(of(false))?;
    let (_, labels) = parse(labels, 1).map_err(of(true))?;
    if labels.len() != sizes[0] {
        return Err(of(true)(format!("{} labels, but there are {} images", labels.len(), sizes[0])));
    }
    if let Some(i) = labels.iter().position(|&label| usize::from(label) >= classes) {
        return Err(of(true)(format!("label {i} is {}, but there are {classes} classes", labels[i])));
    }
    if pixels.is_empty() {
        return Err(of(false)("there are no images in it".into()));
    }
    let width = sizes[1] * sizes[2];
    Ok(Images { width, scale: 255.0, pixels: pixels.to_vec(), labels: labels.to_vec() })
}

/// Images and their labels from two files.
///
/// # Errors
/// [`IdxError`]: a file that is missing or damaged, or as [`read_bytes`].
pub fn read_set(images: &Path, labels: &Path, classes: usize) -> Result<Images, IdxError> {
    let of = |path: &Path, found| IdxError { path: path.to_owned(), found };
    let image_bytes = unpack(images).map_err(|found| of(images, found))?;
    let label_bytes = unpack(labels).map_err(|found| of(labels, found))?;
    read_bytes(&image_bytes, &label_bytes, classes)
        .map_err(|wrong| of(if wrong.labels { labels } else { images }, wrong.found))
}

#[cfg(test)]
mod tests {
    use std::io::Write;

    use flate2::{Compression, write::GzEncoder};

    use super::*;

    fn idx(sizes: &[u32], values: &[u8]) -> Vec<u8> {
        let mut bytes = vec![0, 0, 8, sizes.len() as u8];
        sizes.iter().for_each(|size| bytes.extend(size.to_be_bytes()));
        bytes.extend(values);
        bytes
    }

    fn gz(bytes: &[u8]) -> Vec<u8> {
        let mut encoder = GzEncoder::new(Vec::new(), Compression::fast());
        encoder.write_all(bytes).expect("memory");
        encoder.finish().expect("memory")
    }

    /// Reads two files with these contents.
    fn read(name: &str, images: &[u8], labels: &[u8]) -> Result<Images, String> {
        let directory = std::env::temp_dir().join(format!("trine-idx-{}-{name}", std::process::id()));
        std::fs::create_dir_all(&directory).expect("a directory");
        let (a, b) = (directory.join("images.gz"), directory.join("labels.gz"));
        std::fs::write(&a, images).expect("room");
        std::fs::write(&b, labels).expect("room");
        let read = read_set(&a, &b, 10).map_err(|error| {
            assert!(error.path.starts_with(&directory), "{error}");
            error.found
        });
        std::fs::remove_dir_all(&directory).expect("there");
        read
    }

    #[test]
    fn images_and_labels_are_read() {
        let images = gz(&idx(&[2, 1, 3], &[0, 51, 255, 1, 2, 3]));
        let set = read("good", &images, &gz(&idx(&[2], &[9, 0]))).expect("whole");
        assert_eq!((set.width, set.len(), &set.labels[..]), (3, 2, &[9, 0][..]));
        let mut image = [f32::NAN; 3];
        set.image(0, &mut image);
        assert_eq!(image, [0.0, 0.2, 1.0]);
    }

    #[test]
    fn damaged_files_are_refused_with_a_reason() {
        let (images, labels) = (gz(&idx(&[2, 1, 3], &[7; 6])), gz(&idx(&[2], &[9, 0])));
        let cut = read("cut", &images[..images.len() - 5], &labels).expect_err("cut");
        assert!(cut.starts_with("cannot be unpacked, it is damaged or incomplete"), "{cut}");
        let mut flipped = labels.clone();
        let middle = flipped.len() - 6;
        flipped[middle] ^= 0xff;
        assert!(read("flipped", &images, &flipped).is_err());
        let other = |sizes: &[u32], values: &[u8], name| read(name, &gz(&idx(sizes, values)), &labels);
        assert_eq!(
            other(&[2, 1, 3], &[7; 5], "short").expect_err("short"),
            "5 values, but its sizes [2, 1, 3] say 6"
        );
        assert_eq!(other(&[2, 3], &[7; 6], "flat").expect_err("flat"), "2 dimensions, expected 3");
        assert!(other(&[u32::MAX; 3], &[], "huge").expect_err("huge").contains("beyond any memory"));
        assert!(other(&[0, 1, 3], &[], "none").is_err());
        let text = read("text", &gz(b"hello"), &labels).expect_err("text");
        assert!(text.ends_with("no idx file"), "{text}");
        let kind = read("kind", &gz(&[0, 0, 13, 3]), &labels).expect_err("floats");
        assert_eq!(kind, "values of type 0x0d, expected bytes (0x08)");
        let three = read("three", &images, &gz(&idx(&[3], &[1, 2, 3]))).expect_err("three labels");
        assert_eq!(three, "3 labels, but there are 2 images");
        let ten = read("ten", &images, &gz(&idx(&[2], &[1, 10]))).expect_err("no such class");
        assert_eq!(ten, "label 1 is 10, but there are 10 classes");
        let missing = read_set(Path::new("/nowhere/images.gz"), Path::new("/nowhere/labels.gz"), 10);
        assert!(
            missing.expect_err("missing").to_string().starts_with("/nowhere/images.gz: cannot be opened")
        );
    }
}
