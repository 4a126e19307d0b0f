//! A disk that can only be looked at: whatever would change a byte, a name or a lock is refused before it is tried.
//!
//! A sync is left out: it changes no byte, but whoever writes there should not have to wait for it.

use std::io;
use std::path::Path;

use indicatif::ProgressBar;
use mainstay::storage::disk::{DirectoryLock, Disk, DiskFile};
use mainstay::sync::Arc;

/// See the module.
#[derive(Clone, Debug)]
pub struct Looking {
    disk: Arc<dyn Disk>,
    bar: ProgressBar,
}

#[derive(Debug)]
struct LookedAt(Box<dyn DiskFile>);

impl Looking {
    /// Looks at what is on `disk`, which moves the bar.
    pub fn new(disk: Arc<dyn Disk>, bar: ProgressBar) -> Self {
        Self { disk, bar }
    }

    /// So many more bytes are going to be read.
    pub fn expect(&self, bytes: u64) {
        self.bar.set_length(self.bar.position() + bytes);
    }

    /// Nothing more is read, and what follows is printed.
    pub fn finish(&self) {
        self.bar.finish_and_clear();
    }
}

fn refused<T>() -> io::Result<T> {
    Err(io::Error::new(io::ErrorKind::PermissionDenied, "this is only to be looked at"))
}

impl Disk for Looking {
    fn create_dir(&self, _: &Path) -> io::Result<()> {
        refused()
    }

    fn list(&self, dir: &Path) -> io::Result<Vec<String>> {
        let mut names = self.disk.list(dir)?;
        names.sort();
        Ok(names)
    }

    fn create(&self, _: &Path) -> io::Result<Box<dyn DiskFile>> {
        refused()
    }

    fn open(&self, path: &Path) -> io::Result<Box<dyn DiskFile>> {
        Ok(Box::new(LookedAt(self.disk.open(path)?)))
    }

    fn open_for_write(&self, _: &Path) -> io::Result<Box<dyn DiskFile>> {
        refused()
    }

    fn rename(&self, _: &Path, _: &Path) -> io::Result<()> {
        refused()
    }

    fn link(&self, _: &Path, _: &Path) -> io::Result<()> {
        refused()
    }

    fn remove(&self, _: &Path) -> io::Result<()> {
        refused()
    }

    fn sync_dir(&self, _: &Path) -> io::Result<()> {
        refused()
    }

    fn lock(&self, _: &Path) -> io::Result<Box<dyn DirectoryLock>> {
        refused()
    }

    fn refused_file_system(&self, path: &Path) -> io::Result<Option<&'static str>> {
        self.disk.refused_file_system(path)
    }
}

impl DiskFile for LookedAt {
    fn read_at(&self, buffer: &mut [u8], offset: u64) -> io::Result<usize> {
        self.0.read_at(buffer, offset)
    }

    fn write_all_at(&self, _: &[u8], _: u64) -> io::Result<()> {
        refused()
    }

    fn sync(&self) -> io::Result<()> {
        Ok(())
    }

    fn size(&self) -> io::Result<u64> {
        self.0.size()
    }

    fn drop_cache(&self) -> io::Result<()> {
        self.0.drop_cache()
    }
}
