//! A disk that moves the progress bar with whatever is read from it.

use std::io;
use std::path::Path;

use indicatif::ProgressBar;
use mainstay::storage::disk::{DirectoryLock, Disk, DiskFile};
use mainstay::sync::Arc;

/// See the module.
#[derive(Clone, Debug)]
pub struct Counting {
    disk: Arc<dyn Disk>,
    bar: ProgressBar,
}

#[derive(Debug)]
struct Counted {
    file: Box<dyn DiskFile>,
    bar: ProgressBar,
}

impl Counting {
    /// Counts what is read from `disk`.
    pub fn new(disk: Arc<dyn Disk>, bar: ProgressBar) -> Self {
        Self { disk, bar }
    }

    fn counted(&self, file: Box<dyn DiskFile>) -> Box<dyn DiskFile> {
        Box::new(Counted { file, bar: self.bar.clone() })
    }
}

impl Disk for Counting {
    fn create_dir(&self, path: &Path) -> io::Result<()> {
        self.disk.create_dir(path)
    }

    fn list(&self, dir: &Path) -> io::Result<Vec<String>> {
        self.disk.list(dir)
    }

    fn create(&self, path: &Path) -> io::Result<Box<dyn DiskFile>> {
        self.disk.create(path)
    }

    fn open(&self, path: &Path) -> io::Result<Box<dyn DiskFile>> {
        self.disk.open(path).map(|file| self.counted(file))
    }

    fn open_for_write(&self, path: &Path) -> io::Result<Box<dyn DiskFile>> {
        self.disk.open_for_write(path).map(|file| self.counted(file))
    }

    fn rename(&self, from: &Path, to: &Path) -> io::Result<()> {
        self.disk.rename(from, to)
    }

    fn link(&self, from: &Path, to: &Path) -> io::Result<()> {
        self.disk.link(from, to).inspect_err(|_| {
            // Whoever cannot link a file reads it once more, to copy it.
            let bytes = self.disk.open(from).and_then(|file| file.size());
            self.bar.inc_length(bytes.unwrap_or(0));
        })
    }

    fn remove(&self, path: &Path) -> io::Result<()> {
        self.disk.remove(path)
    }

    fn sync_dir(&self, path: &Path) -> io::Result<()> {
        self.disk.sync_dir(path)
    }

    fn lock(&self, path: &Path) -> io::Result<Box<dyn DirectoryLock>> {
        self.disk.lock(path)
    }

    fn refused_file_system(&self, path: &Path) -> io::Result<Option<&'static str>> {
        self.disk.refused_file_system(path)
    }
}

impl DiskFile for Counted {
    fn read_at(&self, buffer: &mut [u8], offset: u64) -> io::Result<usize> {
        let read = self.file.read_at(buffer, offset)?;
        self.bar.inc(read as u64);
        Ok(read)
    }

    fn write_all_at(&self, bytes: &[u8], offset: u64) -> io::Result<()> {
        self.file.write_all_at(bytes, offset)
    }

    fn sync(&self) -> io::Result<()> {
        self.file.sync()
    }

    fn size(&self) -> io::Result<u64> {
        self.file.size()
    }

    fn drop_cache(&self) -> io::Result<()> {
        self.file.drop_cache()
    }
}
