//! The reader of image files: any bytes, unpacked and packed.
#![no_main]

use libfuzzer_sys::fuzz_target;
use trine_bench::images::idx::{read_bytes, unpacked};

/// Both files in one input: the first two bytes say how long the first is.
fn cut(bytes: &[u8]) -> Option<(&[u8], &[u8])> {
    let (len, rest) = bytes.split_first_chunk::<2>()?;
    rest.split_at_checked(usize::from(u16::from_le_bytes(*len)))
}

fuzz_target!(|bytes: &[u8]| {
    let _ = unpacked(bytes);
    let Some((images, labels)) = cut(bytes) else { return };
    if let Ok(set) = read_bytes(images, labels, 10) {
        assert_eq!(set.pixels.len(), set.labels.len() * set.width);
        assert!(set.labels.iter().all(|&label| label < 10));
        let mut image = vec![f32::NAN; set.width];
        for i in 0..set.labels.len() {
            set.image(i, &mut image);
            assert!(image.iter().all(|pixel| (0.0..=1.0).contains(pixel)));
        }
    }
});
