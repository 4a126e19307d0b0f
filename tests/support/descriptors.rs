//! What this process has open.

use std::fs;
use std::path::{Path, PathBuf};

/// The files below a directory that are open, a line for each descriptor. One that was unlinked ends in `(deleted)`.
pub fn open_files(dir: &Path) -> Vec<PathBuf> {
    let dir = dir.canonicalize().unwrap();
    let links = fs::read_dir("/proc/self/fd").unwrap();
    let files = links.filter_map(|link| fs::read_link(link.unwrap().path()).ok());
    files.filter(|file| file.starts_with(&dir)).collect()
}
