//! Weights and optimizer state on disk, whole or not at all.
//!
//! ```text
//!     "trineckp"                    8 bytes
//!     version, length of header     u32 each, little-endian, as all numbers here
//!     header                        JSON: settings, epochs and steps done, results, lengths
//!     parameters, state             f32
//!     FNV-1a of all before          u64
//! ```
//!
//! Written to a second file, synced, and renamed, so that the name always stands for a whole one.
//! What is saved is the whole network, whoever had which part of it: training goes on with any
//! number of workers, and gives the same bits.

use std::fs::{self, File};
use std::io::Write;
use std::path::Path;

use serde::{Deserialize, Serialize};

use super::recipe::{Item, difference};
use super::session::EpochResult;
use crate::parallel::Error;

const MAGIC: &[u8; 8] = b"trineckp";
const VERSION: u32 = 1;

#[derive(Debug, Serialize, Deserialize)]
struct Header {
    items: Vec<Item>,
    epochs: usize,
    steps: u64,
    results: Vec<EpochResult>,
    params: usize,
    state: usize,
}

/// A training between two epochs.
#[derive(Clone, Debug, PartialEq)]
pub struct Checkpoint {
    /// What decides the bits.
    pub items: Vec<Item>,
    /// Epochs done.
    pub epochs: usize,
    /// Steps of the optimizer done.
    pub steps: u64,
    /// What each epoch came to.
    pub results: Vec<EpochResult>,
    /// Of the whole network.
    pub params: Vec<f32>,
    /// Of the optimizer: one value for each parameter, or two, or none.
    pub state: Vec<f32>,
}

/// FNV-1a over bytes.
pub fn fnv(bytes: &[u8]) -> u64 {
    let step = |hash: u64, byte: &u8| (hash ^ u64::from(*byte)).wrapping_mul(0x0000_0100_0000_01b3);
    bytes.iter().fold(0xcbf2_9ce4_8422_2325, step)
}

impl Checkpoint {
    /// As it is written to a file.
    ///
    /// # Errors
    /// [`Error::File`] if the header cannot be written as JSON.
    pub fn to_bytes(&self) -> Result<Vec<u8>, Error> {
        let header = Header {
            items: self.items.clone(),
            epochs: self.epochs,
            steps: self.steps,
            results: self.results.clone(),
            params: self.params.len(),
            state: self.state.len(),
        };
        let header = serde_json::to_vec(&header).map_err(|error| Error::File(error.to_string()))?;
        let mut bytes = Vec::with_capacity(4 * (self.params.len() + self.state.len()) + header.len() + 24);
        bytes.extend_from_slice(MAGIC);
        bytes.extend_from_slice(&VERSION.to_le_bytes());
        bytes.extend_from_slice(&(header.len() as u32).to_le_bytes());
        bytes.extend_from_slice(&header);
        for value in self.params.iter().chain(&self.state) {
            bytes.extend_from_slice(&value.to_le_bytes());
        }
        let sum = fnv(&bytes);
        bytes.extend_from_slice(&sum.to_le_bytes());
        Ok(bytes)
    }

    /// The inverse of [`to_bytes`](Checkpoint::to_bytes).
    ///
    /// # Errors
    /// A sentence that says what is wrong: damaged, cut off, or of another version.
    pub fn from_bytes(bytes: &[u8]) -> Result<Self, String> {
        let word = |at: usize| {
            let four = bytes.get(at..at + 4).and_then(|four| four.try_into().ok());
            four.map(u32::from_le_bytes).ok_or("it is cut off")
        };
        if bytes.get(..8) != Some(MAGIC) {
            return Err("it is no checkpoint".into());
        }
        let version = word(8)?;
        if version != VERSION {
            return Err(format!("it has version {version}; this program knows {VERSION}"));
        }
        let (all, sum) = bytes.split_last_chunk::<8>().ok_or("it is cut off")?;
        if fnv(all) != u64::from_le_bytes(*sum) {
            return Err("its checksum does not fit: it is damaged or cut off".into());
        }
        let (header, values) = all
            .get(16..)
            .and_then(|rest| rest.split_at_checked(word(12).ok()? as usize))
            .ok_or("it is cut off")?;
        let Header { items, epochs, steps, results, params, state } =
            serde_json::from_slice(header).map_err(|error| format!("its header: {error}"))?;
        let (values, rest) = values.as_chunks::<4>();
        if !rest.is_empty() || params.checked_add(state) != Some(values.len()) {
            return Err(format!("{} values, but its header says {params} and {state}", values.len()));
        }
        let mut params: Vec<f32> = values.iter().map(|&bytes| f32::from_le_bytes(bytes)).collect();
        let state = params.split_off(params.len() - state);
        Ok(Checkpoint { items, epochs, steps, results, params, state })
    }

    /// Writes it in the place of an older one.
    ///
    /// # Errors
    /// [`Error::File`]; an older one is then still there.
    pub fn save(&self, path: &Path) -> Result<(), Error> {
        let bytes = self.to_bytes()?;
        let mut beside = path.as_os_str().to_owned();
        beside.push(".new");
        let beside = Path::new(&beside);
        let write = || {
            let mut file = File::create(beside)?;
            file.write_all(&bytes)?;
            file.sync_all()?;
            fs::rename(beside, path)?;
            // The new name has to reach the disk as well.
            let directory = path.parent().filter(|parent| !parent.as_os_str().is_empty());
            #[cfg(unix)]
            File::open(directory.unwrap_or(Path::new(".")))?.sync_all()?;
            #[cfg(not(unix))]
            let _ = directory;
            Ok::<(), std::io::Error>(())
        };
        write().map_err(|error| Error::File(format!("{} cannot be written: {error}", path.display())))
    }

    /// Reads it.
    ///
    /// # Errors
    /// [`Error::File`]: missing, damaged, or of another version.
    pub fn load(path: &Path) -> Result<Self, Error> {
        let wrong = |found: String| Error::File(format!("{}: {found}", path.display()));
        let bytes = fs::read(path).map_err(|error| wrong(format!("cannot be read: {error}")))?;
        Self::from_bytes(&bytes).map_err(wrong)
    }

    /// Whether a training with these settings can go on from here.
    ///
    /// # Errors
    /// [`Error::Settings`] with the first difference.
    pub fn check(&self, items: &[Item]) -> Result<(), Error> {
        match difference(items, &self.items) {
            None => Ok(()),
            Some(text) => Err(Error::Settings(format!("the checkpoint was made with --{text}"))),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn some() -> Checkpoint {
        let item = Item { name: "batch".into(), value: "64".into() };
        let result = EpochResult { loss: 0.1 + 0.2, accuracy: 1.0 / 3.0, samples_per_second: 1e5 };
        let params = vec![1.5, -0.0, f32::MIN_POSITIVE, f32::NAN];
        Checkpoint {
            items: vec![item],
            epochs: 3,
            steps: 99,
            results: vec![result],
            params,
            state: vec![2.5; 8],
        }
    }

    #[test]
    fn what_is_written_is_read() {
        let path = std::env::temp_dir().join(format!("trine-checkpoint-{}", std::process::id()));
        some().save(&path).expect("room");
        some().save(&path).expect("an older one is replaced");
        let read = Checkpoint::load(&path).expect("whole");
        let bits = |values: &[f32]| values.iter().map(|value| value.to_bits()).collect::<Vec<_>>();
        assert_eq!((bits(&read.params), bits(&read.state)), (bits(&some().params), bits(&some().state)));
        assert_eq!((&read.items, read.epochs, read.steps), (&some().items, 3, 99));
        assert_eq!(read.results, some().results);
        fs::remove_file(&path).expect("there");
        assert!(Checkpoint::load(&path).expect_err("gone").to_string().contains("cannot be read"));
    }

    /// Was wrong: JSON has no NaN, and the checkpoint of a training gone astray could not be read.
    #[test]
    fn a_training_gone_astray_can_be_read_again() {
        let mut astray = some();
        for loss in [f64::NAN, f64::INFINITY, f64::NEG_INFINITY] {
            astray.results[0].loss = loss;
            let read = Checkpoint::from_bytes(&astray.to_bytes().expect("memory")).expect("whole");
            assert_eq!(read.results[0].loss.to_bits(), loss.to_bits());
        }
    }

    #[test]
    fn any_damage_is_found() {
        let bytes = some().to_bytes().expect("memory");
        for len in 0..bytes.len() {
            assert!(Checkpoint::from_bytes(&bytes[..len]).is_err(), "cut to {len}");
        }
        for i in 0..bytes.len() {
            let mut damaged = bytes.clone();
            damaged[i] ^= 1 << (i % 8);
            assert!(Checkpoint::from_bytes(&damaged).is_err(), "byte {i}");
        }
        let mut newer = bytes.clone();
        newer[8] = 2;
        let found = Checkpoint::from_bytes(&newer).expect_err("another version");
        assert_eq!(found, "it has version 2; this program knows 1");
    }

    #[test]
    fn other_settings_are_refused_by_name() {
        let items = [Item { name: "batch".into(), value: "128".into() }];
        let error = some().check(&items).expect_err("another batch");
        assert_eq!(error.to_string(), "the checkpoint was made with --batch 64, not 128");
        assert_eq!(some().check(&some().items), Ok(()));
    }
}
