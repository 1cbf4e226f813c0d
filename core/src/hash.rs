//! A fingerprint of parameters, to compare runs bit for bit.

use crate::element::Element;

/// FNV-1a, 64 bits (G. Fowler, L. C. Noll, K.-P. Vo), over the little-endian bytes of every
/// value's bits. Equal bits give equal hashes on every machine, whatever its byte order; +0 and −0
/// differ.
pub fn hash_params<E: Element>(params: &[E]) -> u64 {
    hash_parts([params])
}

/// The same of parameters that lie in several places: the hash of all of them behind each other.
pub fn hash_parts<'p, E: Element>(parts: impl IntoIterator<Item = &'p [E]>) -> u64 {
    let mut hash = 0xcbf2_9ce4_8422_2325u64;
    for value in parts.into_iter().flatten() {
        for byte in &value.bits().to_le_bytes()[..E::BYTES] {
            hash = (hash ^ u64::from(*byte)).wrapping_mul(0x0000_0100_0000_01b3);
        }
    }
    hash
}
