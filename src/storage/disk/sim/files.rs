//! [`DiskFile`]: each call names itself and says what it does to the file's content.

use std::fmt;
use std::io;
use std::path::{Path, PathBuf};

use super::super::DiskFile;
use super::call::Operation;
use super::content::SyncStart;
use super::disk::SimDisk;
use super::image::Image;
use super::perform::{Extent, Request};
use super::plan::Target;
use super::state::{State, Token};
use super::tree::{InodeId, key};

const EBADF: i32 = 9;

/// An open file, which survives the loss of its name.
pub(super) struct SimFile {
    disk: SimDisk,
    path: PathBuf,
    writable: bool,
    opened: Opened,
}

pub(super) struct Opened {
    pub(super) inode: InodeId,
    #[expect(dead_code, reason = "held, never read: it keeps the file")]
    pub(super) token: Token,
}

impl State {
    fn write(&mut self, inode: InodeId, bytes: &[u8], offset: u64, extent: Extent) -> io::Result<()> {
        let end = Image::end_of_write(bytes, offset)?;
        let space = self.check_space();
        let (content, random) = self.content(inode)?;
        let length = content.cached().length();
        if end > length
            && let Err(full) = space
        {
            let fits = usize::try_from(length.saturating_sub(offset)).unwrap_or(usize::MAX);
            content.write_in_part(bytes.get(..fits).unwrap_or(bytes), offset, random);
            return Err(full);
        }
        match extent {
            Extent::Whole => content.write(bytes, offset, random),
            Extent::Failing => content.write_in_part(bytes, offset, random),
        }
        Ok(())
    }

    fn sync(&mut self, inode: InodeId, start: SyncStart, extent: Extent) -> io::Result<()> {
        let lies = self.lies.sync;
        let (content, random) = self.content(inode)?;
        match extent {
            Extent::Failing => content.fail_sync(start),
            Extent::Whole if lies => {}
            Extent::Whole => content.sync(start, random),
        }
        Ok(())
    }
}

impl SimFile {
    pub(super) fn boxed(disk: &SimDisk, path: &Path, writable: bool, opened: Opened) -> Box<dyn DiskFile> {
        Box::new(Self { disk: disk.clone(), path: key(path), writable, opened })
    }

    fn call<T>(
        &self,
        operation: Operation,
        effect: impl FnOnce(&mut State, InodeId, Extent) -> io::Result<T>,
    ) -> io::Result<T> {
        let inode = self.opened.inode;
        let target = Target::Inode(inode);
        let request = Request { operation, path: self.path.clone(), renamed_to: None, target };
        self.disk.perform(request, |state, extent| effect(state, inode, extent))
    }
}

impl DiskFile for SimFile {
    fn read_at(&self, buffer: &mut [u8], offset: u64) -> io::Result<usize> {
        self.call(Operation::Read, |state, inode, _| Ok(state.inode(inode)?.content.cached().read(buffer, offset)))
    }

    fn write_all_at(&self, bytes: &[u8], offset: u64) -> io::Result<()> {
        self.call(Operation::Write, |state, inode, extent| {
            if !self.writable {
                return Err(io::Error::from_raw_os_error(EBADF));
            }
            state.write(inode, bytes, offset, extent)
        })
    }

    fn sync(&self) -> io::Result<()> {
        let start = self.disk.state().inode(self.opened.inode)?.content.sync_start();
        self.call(Operation::Sync, |state, inode, extent| state.sync(inode, start, extent))
    }

    fn size(&self) -> io::Result<u64> {
        self.call(Operation::Size, |state, inode, _| Ok(state.inode(inode)?.content.cached().length()))
    }

    fn drop_cache(&self) -> io::Result<()> {
        self.call(Operation::DropCache, |state, inode, _| {
            state.content(inode)?.0.drop_cache();
            Ok(())
        })
    }
}

impl fmt::Debug for SimFile {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.debug_struct("SimFile").field("path", &self.path).finish_non_exhaustive()
    }
}
