//! Compresses the large files of the interactive page, so that the binary and the answers are
//! small.

use std::fs::{self, File};
use std::io::{self, Write};
use std::path::Path;

use flate2::Compression;
use flate2::write::GzEncoder;

#[expect(
    clippy::disallowed_methods,
    reason = "cargo passes the output folder in it"
)]
fn main() -> io::Result<()> {
    let target =
        std::env::var_os("OUT_DIR").ok_or_else(|| io::Error::other("cargo sets no OUT_DIR"))?;

    for name in ["swagger-ui-bundle.js", "swagger-ui.css"] {
        let source = Path::new("assets/swagger-ui").join(name);
        println!("cargo::rerun-if-changed={}", source.display());

        let compressed = File::create(Path::new(&target).join(format!("{name}.gz")))?;
        let mut encoder = GzEncoder::new(compressed, Compression::best());
        encoder.write_all(&fs::read(source)?)?;
        encoder.finish()?;
    }

    Ok(())
}
