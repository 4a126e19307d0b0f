//! The disk, with a clock beside the cold files that are written.

use std::fs::File;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use mainstay::storage::disk::{DirectoryLock, Disk, DiskFile, StandardDisk};
use rustix::fs::{Advice, fadvise};

/// A clone looks at the same clock.
#[derive(Clone, Debug, Default)]
pub struct Timed(Arc<Mutex<Spilled>>);

/// What was written to cold files.
#[derive(Clone, Debug, Default)]
pub struct Spilled {
    pub bytes: u64,
    /// From making a file to closing it, of all files together.
    pub busy: Duration,
    /// From making the first to closing the last.
    pub span: Option<(Instant, Instant)>,
    pub files: Vec<PathBuf>,
}

#[derive(Debug)]
struct TimedFile {
    inner: Box<dyn DiskFile>,
    path: PathBuf,
    made: Instant,
    spilled: Arc<Mutex<Spilled>>,
}

impl Timed {
    pub fn spilled(&self) -> Spilled {
        self.0.lock().unwrap().clone()
    }

    /// Has the kernel forget what it has of these files.
    pub fn forget(paths: &[PathBuf]) {
        for path in paths {
            // A compaction may have removed it.
            if let Ok(file) = File::open(path) {
                file.sync_all().unwrap();
                fadvise(&file, 0, None, Advice::DontNeed).unwrap();
            }
        }
    }
}

fn is_cold(path: &Path) -> bool {
    path.file_name().is_some_and(|name| name.to_string_lossy().starts_with("cold"))
}

impl Disk for Timed {
    fn create(&self, path: &Path) -> io::Result<Box<dyn DiskFile>> {
        let (inner, made) = (StandardDisk.create(path)?, Instant::now());
        if !is_cold(path) {
            return Ok(inner);
        }
        Ok(Box::new(TimedFile { inner, path: path.to_owned(), made, spilled: Arc::clone(&self.0) }))
    }

    fn create_dir(&self, path: &Path) -> io::Result<()> {
        StandardDisk.create_dir(path)
    }

    fn list(&self, dir: &Path) -> io::Result<Vec<String>> {
        StandardDisk.list(dir)
    }

    fn open(&self, path: &Path) -> io::Result<Box<dyn DiskFile>> {
        StandardDisk.open(path)
    }

    fn open_for_write(&self, path: &Path) -> io::Result<Box<dyn DiskFile>> {
        StandardDisk.open_for_write(path)
    }

    fn rename(&self, from: &Path, to: &Path) -> io::Result<()> {
        StandardDisk.rename(from, to)
    }

    fn link(&self, from: &Path, to: &Path) -> io::Result<()> {
        StandardDisk.link(from, to)
    }

    fn remove(&self, path: &Path) -> io::Result<()> {
        StandardDisk.remove(path)
    }

    fn sync_dir(&self, path: &Path) -> io::Result<()> {
        StandardDisk.sync_dir(path)
    }

    fn lock(&self, path: &Path) -> io::Result<Box<dyn DirectoryLock>> {
        StandardDisk.lock(path)
    }

    fn refused_file_system(&self, path: &Path) -> io::Result<Option<&'static str>> {
        StandardDisk.refused_file_system(path)
    }
}

impl DiskFile for TimedFile {
    fn read_at(&self, buffer: &mut [u8], offset: u64) -> io::Result<usize> {
        self.inner.read_at(buffer, offset)
    }

    fn write_all_at(&self, bytes: &[u8], offset: u64) -> io::Result<()> {
        self.inner.write_all_at(bytes, offset)
    }

    fn sync(&self) -> io::Result<()> {
        self.inner.sync()
    }

    fn size(&self) -> io::Result<u64> {
        self.inner.size()
    }

    fn drop_cache(&self) -> io::Result<()> {
        self.inner.drop_cache()
    }
}

/// Whoever writes it has done.
impl Drop for TimedFile {
    fn drop(&mut self) {
        let now = Instant::now();
        let mut spilled = self.spilled.lock().unwrap();
        spilled.bytes += self.inner.size().unwrap_or(0);
        spilled.busy += now - self.made;
        let first = spilled.span.map_or(self.made, |(first, _)| first.min(self.made));
        spilled.span = Some((first, now));
        spilled.files.push(std::mem::take(&mut self.path));
    }
}
