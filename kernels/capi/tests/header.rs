//! `include/trine.h` is what cbindgen makes of the sources. `TRINE_WRITE_HEADER=1 cargo test --test header`
//! writes it.

use std::path::Path;

#[test]
fn the_header_is_that_of_the_sources() {
    let here = Path::new(env!("CARGO_MANIFEST_DIR"));
    let config = cbindgen::Config::from_file(here.join("cbindgen.toml")).expect("cbindgen.toml");
    let made = cbindgen::Builder::new().with_crate(here).with_config(config).generate().expect("C");
    let mut header = Vec::new();
    made.write(&mut header);
    let (made, path) = (String::from_utf8(header).expect("UTF-8"), here.join("include/trine.h"));
    if std::env::var_os("TRINE_WRITE_HEADER").is_some() {
        std::fs::write(&path, &made).expect("written");
    }
    let found = std::fs::read_to_string(&path).unwrap_or_default();
    assert!(found == made, "include/trine.h is out of date: TRINE_WRITE_HEADER=1 cargo test --test header");
}
