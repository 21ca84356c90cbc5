//! Prepares the files of the page at `GET /`: compresses each, and writes the table that
//! `src/page.rs` includes. So a new file of the page needs no change here or there.
//!
//! The files are served below a name that changes with their contents, so that browsers may keep
//! them for a year and never mix two versions.

use std::error::Error;
use std::fmt::Write as _;
use std::fs;
use std::hash::{DefaultHasher, Hasher};
use std::io::Write as _;
use std::path::{Path, PathBuf};

use flate2::Compression;
use flate2::write::GzEncoder;

/// The page's files, below the crate's directory.
const PAGE: &str = "page";
/// The document; all other files are in folders.
const DOCUMENT: &str = "index.html";

/// Files by their path below `page`.
type Files = Vec<(String, Vec<u8>)>;

fn main() -> Result<(), Box<dyn Error>> {
    let page = Path::new(env!("CARGO_MANIFEST_DIR")).join(PAGE);
    let out = out_directory()?;
    println!("cargo::rerun-if-changed={PAGE}");

    let files = files(&page)?;
    let document = fs::read_to_string(page.join(DOCUMENT))?;
    let version = version(&document, &files);

    let mut table = format!("const VERSION: &str = \"{version}\";\n");
    let document = completed(&document, &version, &files);
    writeln!(
        table,
        "const DOCUMENT: File = {};",
        entry(&out, DOCUMENT, document.as_bytes())?
    )?;

    writeln!(table, "const FILES: &[File] = &[")?;
    for (name, content) in &files {
        writeln!(table, "    {},", entry(&out, name, content)?)?;
    }
    writeln!(table, "];")?;

    fs::write(out.join("page_files.rs"), table)?;
    Ok(())
}

#[expect(
    clippy::disallowed_methods,
    reason = "cargo tells a build script its output directory by a variable"
)]
fn out_directory() -> Result<PathBuf, Box<dyn Error>> {
    let directory = std::env::var_os("OUT_DIR").ok_or("cargo sets OUT_DIR for build scripts")?;
    Ok(directory.into())
}

/// The scripts, styles and pictures in the folders, in the order of their paths.
fn files(page: &Path) -> Result<Files, Box<dyn Error>> {
    let mut files = Files::new();
    for folder in fs::read_dir(page)? {
        let folder = folder?;
        if !folder.file_type()?.is_dir() {
            continue;
        }

        for file in fs::read_dir(folder.path())? {
            let file = file?;
            let name = file.file_name().to_string_lossy().into_owned();
            if kind(&name).is_some() && !name.ends_with(".d.ts") {
                let path = format!("{}/{name}", folder.file_name().to_string_lossy());
                files.push((path, fs::read(file.path())?));
            }
        }
    }

    files.sort();
    Ok(files)
}

/// The media type of a file that is served; `None` for licences and notes.
fn kind(name: &str) -> Option<&'static str> {
    match name.rsplit_once('.')?.1 {
        "html" => Some("text/html; charset=utf-8"),
        "js" => Some("text/javascript; charset=utf-8"),
        "css" => Some("text/css; charset=utf-8"),
        "svg" => Some("image/svg+xml"),
        _ => None,
    }
}

/// A name for these contents.
fn version(document: &str, files: &[(String, Vec<u8>)]) -> String {
    let mut hasher = DefaultHasher::new();
    hasher.write(document.as_bytes());
    for (name, content) in files {
        hasher.write(name.as_bytes());
        hasher.write(content);
    }
    format!("{:016x}", hasher.finish())
}

/// The document with its version in place, and with a hint for each module: the browser would
/// otherwise find them one import after the other.
fn completed(document: &str, version: &str, files: &[(String, Vec<u8>)]) -> String {
    let modules: String = files
        .iter()
        .filter(|(name, _)| name.ends_with(".js") && name != "app/theme.js")
        .map(|(name, _)| format!("<link rel=\"modulepreload\" href=\"page/{version}/{name}\">\n"))
        .collect();

    document
        .replace("<!-- modules -->\n", &modules)
        .replace("{version}", version)
}

/// Writes the file and its compressed form, and returns its row of the table.
fn entry(out: &Path, name: &str, content: &[u8]) -> Result<String, Box<dyn Error>> {
    let flat = name.replace('/', "-");
    let plain = out.join(&flat);
    let compressed = out.join(format!("{flat}.gz"));

    fs::write(&plain, content)?;
    let mut encoder = GzEncoder::new(fs::File::create(&compressed)?, Compression::best());
    encoder.write_all(content)?;
    encoder.finish()?;

    let kind = kind(name).ok_or("a file without a media type")?;
    Ok(format!(
        "File {{ path: {name:?}, kind: {kind:?}, plain: include_bytes!({plain:?}), compressed: include_bytes!({compressed:?}) }}"
    ))
}
