//! Writes the first images of the digits' two sets as bytes, for programs that cannot unpack a file:
//! `cargo run --release -p trine-bench --bin subset -- 512 128 FILE`. An image is its 64 pixels (0 to 16)
//! and the digit; those to learn from come first. `trine train --data digits --images 512,128` takes the same.

use trine_bench::Failure;
use trine_bench::images::Source;

fn main() -> Result<(), Failure> {
    let args: Vec<String> = std::env::args().skip(1).collect();
    let [train, test, path] = &args[..] else { return Err("expected: TRAIN TEST FILE".into()) };
    let mut data = Source::Digits.read()?;
    data.train.truncate(train.parse()?, "learn from")?;
    data.test.truncate(test.parse()?, "test with")?;
    let mut bytes = Vec::new();
    for set in [&data.train, &data.test] {
        for (pixels, label) in set.pixels.chunks(set.width).zip(&set.labels) {
            bytes.extend_from_slice(pixels);
            bytes.push(*label);
        }
    }
    std::fs::write(path, bytes)?;
    Ok(())
}
