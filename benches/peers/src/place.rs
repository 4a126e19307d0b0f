//! Where the cells put their files: on a real disk, below the target directory.

use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

/// What `statfs` says of file systems in memory.
const IN_MEMORY: [(i64, &str); 2] = [(0x0102_1994, "tmpfs"), (0x8584_58f6, "ramfs")];

/// The given directory or `CARGO_TARGET_DIR/tmp`, made if it is missing.
pub fn directory(given: Option<PathBuf>) -> Result<PathBuf, String> {
    let target = || {
        let set = std::env::var_os("CARGO_TARGET_DIR").map(PathBuf::from);
        set.unwrap_or_else(|| Path::new(env!("CARGO_MANIFEST_DIR")).join("target")).join("tmp")
    };
    let dir = given.unwrap_or_else(target);
    let failed = |error: &dyn std::fmt::Display| format!("{}: {error}", dir.display());
    std::fs::create_dir_all(&dir).map_err(|error| failed(&error))?;
    let statfs = rustix::fs::statfs(&dir).map_err(|error| failed(&error))?;
    match IN_MEMORY.iter().find(|(magic, _)| *magic == statfs.f_type) {
        Some((_, name)) => Err(failed(&format!("is on {name}, where nothing is ever synced; give another with --dir"))),
        None => dir.canonicalize().map_err(|error| failed(&error)),
    }
}

/// Room that the files below a directory take on the disk.
pub fn bytes_below(dir: &Path) -> u64 {
    let mut bytes = 0;
    let mut waiting = vec![dir.to_owned()];
    while let Some(dir) = waiting.pop() {
        for entry in std::fs::read_dir(dir).expect("a directory").flatten() {
            // Engines delete files in the background.
            match entry.metadata() {
                Ok(metadata) if metadata.is_dir() => waiting.push(entry.path()),
                Ok(metadata) => bytes += metadata.blocks() * 512,
                Err(_) => {}
            }
        }
    }
    bytes
}

/// Writes everything out, so that no cell pays for what the one before has left.
pub fn settle() {
    rustix::fs::sync();
}
