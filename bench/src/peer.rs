//! Who is measured next to the engine, as people write it: `naive`, `gemm`, `matrixmultiply`,
//! `faer`, `cblas=PATH` or `cblas=PATH:NAME`.

use std::fmt;
use std::path::{Path, PathBuf, is_separator};
use std::str::FromStr;

/// A peer of the engine.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Peer {
    /// The reference's own loops, multiply-add unfused, one element after the other, on one thread.
    Naive,
    /// The `gemm` crate.
    Gemm,
    /// The `matrixmultiply` crate, on at most four threads.
    MatrixMultiply,
    /// The `faer` crate.
    Faer,
    /// A shared library with the C interface of BLAS.
    Cblas {
        /// As in reports.
        name: String,
        /// The library; without a slash it is looked for where the system looks.
        library: PathBuf,
    },
}

impl Peer {
    /// As in reports.
    pub fn name(&self) -> &str {
        match self {
            Peer::Naive => "naive",
            Peer::Gemm => "gemm",
            Peer::MatrixMultiply => "matrixmultiply",
            Peer::Faer => "faer",
            Peer::Cblas { name, .. } => name,
        }
    }

    /// Whether it works in a process of its own: shared libraries, so that their symbols and threads
    /// do not meet, and who takes the number of threads from the environment.
    pub const fn is_apart(&self) -> bool {
        matches!(self, Peer::Cblas { .. } | Peer::MatrixMultiply)
    }
}

/// The inverse of [`FromStr`].
impl fmt::Display for Peer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Peer::Cblas { name, library } => write!(f, "cblas={}:{name}", library.display()),
            other => f.write_str(other.name()),
        }
    }
}

impl FromStr for Peer {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        match text {
            "naive" => Ok(Peer::Naive),
            "gemm" => Ok(Peer::Gemm),
            "matrixmultiply" => Ok(Peer::MatrixMultiply),
            "faer" => Ok(Peer::Faer),
            _ => text.strip_prefix("cblas=").and_then(cblas).ok_or_else(|| {
                format!(
                    "`{text}` is not a peer: expected naive, gemm, matrixmultiply, faer, cblas=PATH \
                     or cblas=PATH:NAME"
                )
            }),
        }
    }
}

/// `PATH` or `PATH:NAME`. A name has no slash, so a colon before the last one belongs to the path.
fn cblas(text: &str) -> Option<Peer> {
    let (path, name) = match text.rsplit_once(':') {
        Some((path, name)) if !name.contains(is_separator) => (path, name.to_string()),
        _ => (text, short_name(Path::new(text))?),
    };
    (!path.is_empty() && !name.is_empty()).then(|| Peer::Cblas { name, library: path.into() })
}

/// `openblas` of `/usr/lib/libopenblas.so.0`.
fn short_name(path: &Path) -> Option<String> {
    let file = path.file_name()?.to_str()?;
    let stem = file.split('.').next()?;
    Some(stem.strip_prefix("lib").unwrap_or(stem).into())
}

/// Reports tell peers apart by name.
///
/// # Errors
/// A sentence that names the first name that is taken.
pub fn distinct(peers: &[Peer]) -> Result<(), String> {
    let mut taken = vec!["trine", "peak"];
    for name in peers.iter().map(Peer::name) {
        if taken.contains(&name) {
            return Err(format!(
                "two of those who are measured are called `{name}`: cblas=PATH:NAME gives another name"
            ));
        }
        taken.push(name);
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn named(name: &str, library: &str) -> Peer {
        Peer::Cblas { name: name.into(), library: library.into() }
    }

    #[test]
    fn reads_what_it_writes() {
        for (text, peer) in [
            ("naive", Peer::Naive),
            ("gemm", Peer::Gemm),
            ("matrixmultiply", Peer::MatrixMultiply),
            ("faer", Peer::Faer),
            ("cblas=/opt/libmkl_rt.so.2:mkl", named("mkl", "/opt/libmkl_rt.so.2")),
            ("cblas=/usr/lib/libopenblas.so.0", named("openblas", "/usr/lib/libopenblas.so.0")),
            ("cblas=libblis.so.4", named("blis", "libblis.so.4")),
            ("cblas=/a:b/libx.so", named("x", "/a:b/libx.so")),
            ("cblas=/a:b/libx.so:y", named("y", "/a:b/libx.so")),
        ] {
            assert_eq!(text.parse(), Ok(peer.clone()), "{text}");
            assert_eq!(peer.to_string().parse(), Ok(peer));
        }
    }

    #[test]
    fn refuses_what_is_no_peer() {
        for text in ["", "mkl", "cblas", "cblas=", "cblas=:mkl", "cblas=/a.so:", "Naive", "cblas=/"] {
            let error = text.parse::<Peer>().expect_err(text);
            assert!(error.contains("cblas=PATH:NAME") && error.contains(text), "{error}");
        }
    }

    #[test]
    fn names_are_not_taken_twice() {
        let (one, other) = (named("blas", "a.so"), named("blas", "b.so"));
        assert_eq!(distinct(&[Peer::Naive, one.clone(), named("b", "b.so")]), Ok(()));
        assert!(distinct(&[one, Peer::Naive, other]).is_err_and(|error| error.contains("`blas`")));
        assert!(distinct(&[Peer::Gemm, named("gemm", "x.so")]).is_err());
        assert!(distinct(&[named("peak", "x.so")]).is_err() && distinct(&[named("trine", "x.so")]).is_err());
    }
}
