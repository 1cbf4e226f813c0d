//! Files that commands read and write. Errors have the name of the file; what cannot be written is found out before
//! the work that goes into it, and what a file holds stays until there is something to put in its place.

use std::fmt::Display;
use std::fs::{self, OpenOptions};
use std::io::ErrorKind;
use std::path::Path;

use crate::Failure;

fn named(path: &Path, why: &dyn Display) -> Failure {
    format!("{}: {why}", path.display()).into()
}

/// All of a text.
///
/// # Errors
/// Why it cannot be read.
pub fn read(path: &Path) -> Result<String, Failure> {
    fs::read_to_string(path).map_err(|error| named(path, &error))
}

/// What a text says.
///
/// # Errors
/// Why it cannot be read, or what is wrong with it.
pub fn parse<T, E: Display>(path: &Path, parse: impl FnOnce(&str) -> Result<T, E>) -> Result<T, Failure> {
    parse(&read(path)?).map_err(|error| named(path, &error))
}

/// Writes all of a text.
///
/// # Errors
/// Why it cannot be written.
pub fn write(path: &Path, text: &str) -> Result<(), Failure> {
    fs::write(path, text).map_err(|error| named(path, &error))
}

/// Whether files can be written there, before minutes are spent on what goes into them. Nothing changes: what they
/// hold stays, and one that does not exist is not left behind.
///
/// # Errors
/// Which cannot, and why.
pub fn writable<'a>(paths: impl IntoIterator<Item = Option<&'a Path>>) -> Result<(), Failure> {
    for path in paths.into_iter().flatten() {
        let folder = path.parent().filter(|folder| !folder.as_os_str().is_empty()).unwrap_or(Path::new("."));
        let cannot =
            |why: &dyn Display| Failure::from(format!("{} cannot be written: {why}", path.display()));
        match (path.is_dir(), folder.is_dir()) {
            (true, _) => return Err(cannot(&"it is a directory")),
            (_, false) => return Err(cannot(&"there is no such directory")),
            _ => {}
        }
        // Nothing is to be found out about a device or a pipe.
        let exists = path.exists();
        if !exists || path.is_file() {
            OpenOptions::new().append(true).create(true).open(path).map_err(|error| cannot(&error))?;
        }
        if !exists {
            match fs::remove_file(path) {
                // Another process of the same training has asked at the same time.
                Err(error) if error.kind() == ErrorKind::NotFound => {}
                other => other.map_err(|error| cannot(&error))?,
            }
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn asking_whether_a_file_can_be_written_changes_nothing() {
        let path = std::env::temp_dir().join(format!("trine-files-{}", std::process::id()));
        writable([Some(&*path), None]).expect("a folder for everybody");
        assert!(!path.exists());
        write(&path, "kept").expect("the same folder");
        writable([Some(&*path)]).expect("the same folder");
        assert_eq!(read(&path).expect("written"), "kept");
        let error = parse(&path, |text| text.parse::<u8>()).expect_err("no number").to_string();
        assert!(error.contains("trine-files-") && error.contains("invalid digit"), "{error}");
        fs::remove_file(&path).expect("written");
        assert!(read(&path).is_err_and(|error| error.to_string().contains("trine-files-")));
    }

    #[test]
    fn what_cannot_be_written_says_why() {
        let why = |path: &Path| writable([Some(path)]).expect_err("no file").to_string();
        assert!(why(&std::env::temp_dir()).ends_with("cannot be written: it is a directory"));
        assert!(why(Path::new("/nowhere/at/all")).ends_with("cannot be written: there is no such directory"));
    }
}
