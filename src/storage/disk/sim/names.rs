//! [`Disk`]: each call names itself and says what it does to the disk's names.

use std::io;
use std::path::{Path, PathBuf};

use super::super::{DirectoryLock, Disk, DiskFile};
use super::call::Operation;
use super::disk::SimDisk;
use super::files::{Opened, SimFile};
use super::perform::Request;
use super::plan::Target;
use super::state::{State, Token};
use super::tree::{InodeId, Node, directory_of, key};

#[derive(Debug)]
struct SimLock(#[expect(dead_code, reason = "held, never read: dropping it releases the lock")] Token);

impl DirectoryLock for SimLock {}

impl SimDisk {
    /// A call on a name, which its directory keeps.
    fn on_name<T>(
        &self,
        operation: Operation,
        path: &Path,
        effect: impl FnOnce(&mut State, PathBuf) -> io::Result<T>,
    ) -> io::Result<T> {
        let path = key(path);
        let target = Target::Directory(directory_of(&path));
        let request = Request { operation, path: path.clone(), renamed_to: None, target };
        self.perform(request, |state, _| effect(state, path))
    }

    /// A call on a directory as a whole.
    fn on_directory<T>(
        &self,
        operation: Operation,
        path: &Path,
        effect: impl FnOnce(&mut State, &Path) -> io::Result<T>,
    ) -> io::Result<T> {
        let path = key(path);
        let target = Target::Directory(path.clone());
        let request = Request { operation, path: path.clone(), renamed_to: None, target };
        self.perform(request, |state, _| {
            state.tree.check_directory(&path)?;
            effect(state, &path)
        })
    }
}

impl State {
    fn opened(&self, inode: InodeId) -> io::Result<Opened> {
        Ok(Opened { inode, token: self.inode(inode)?.open() })
    }

    fn open(&self, path: &Path) -> io::Result<Opened> {
        self.opened(self.tree.file(path)?)
    }

    fn rename(&mut self, from: PathBuf, to: PathBuf) -> io::Result<()> {
        let inode = self.tree.file(&from)?;
        if directory_of(&from) != directory_of(&to) {
            return Err(io::Error::new(io::ErrorKind::InvalidInput, "rename to another directory"));
        }
        match self.tree.node(&to) {
            Some(Node::Directory) => return Err(io::ErrorKind::IsADirectory.into()),
            // As POSIX has it: two names of one file both stay.
            Some(Node::File(same)) if same == inode => {}
            _ => self.tree.rename(from, to, inode),
        }
        Ok(())
    }
}

impl Disk for SimDisk {
    fn create_dir(&self, path: &Path) -> io::Result<()> {
        self.on_name(Operation::CreateDir, path, |state, path| {
            if state.tree.node(&path) == Some(Node::Directory) {
                return Ok(());
            }
            state.tree.check_free(&path)?;
            state.check_space()?;
            state.tree.link(path, Node::Directory);
            Ok(())
        })
    }

    fn list(&self, dir: &Path) -> io::Result<Vec<String>> {
        self.on_directory(Operation::List, dir, |state, dir| {
            let mut names = state.tree.list(dir);
            // In no order that anybody could rely on, and the same each time.
            let turn = state.seed.checked_rem(names.len() as u64).unwrap_or(0);
            names.rotate_left(turn as usize);
            Ok(names)
        })
    }

    fn create(&self, path: &Path) -> io::Result<Box<dyn DiskFile>> {
        let opened = self.on_name(Operation::Create, path, |state, path| {
            let inode = state.create(path)?;
            state.opened(inode)
        })?;
        Ok(SimFile::boxed(self, path, true, opened))
    }

    fn open(&self, path: &Path) -> io::Result<Box<dyn DiskFile>> {
        let opened = self.on_name(Operation::Open, path, |state, path| state.open(&path))?;
        Ok(SimFile::boxed(self, path, false, opened))
    }

    fn open_for_write(&self, path: &Path) -> io::Result<Box<dyn DiskFile>> {
        let opened = self.on_name(Operation::OpenForWrite, path, |state, path| state.open(&path))?;
        Ok(SimFile::boxed(self, path, true, opened))
    }

    fn rename(&self, from: &Path, to: &Path) -> io::Result<()> {
        let (path, to) = (key(from), key(to));
        let target = Target::Directory(directory_of(&path));
        let renamed_to = Some(to.clone());
        let from = path.clone();
        let request = Request { operation: Operation::Rename, path, renamed_to, target };
        self.perform(request, |state, _| state.rename(from, to))
    }

    fn link(&self, from: &Path, to: &Path) -> io::Result<()> {
        let (path, to) = (key(from), key(to));
        let target = Target::Directory(directory_of(&to));
        let renamed_to = Some(to.clone());
        let from = path.clone();
        let request = Request { operation: Operation::Link, path, renamed_to, target };
        self.perform(request, |state, _| {
            let inode = state.tree.file(&from)?;
            state.tree.check_free(&to)?;
            state.check_space()?;
            state.tree.link(to, Node::File(inode));
            Ok(())
        })
    }

    fn remove(&self, path: &Path) -> io::Result<()> {
        self.on_name(Operation::Remove, path, |state, path| {
            state.tree.file(&path)?;
            state.tree.unlink(path);
            Ok(())
        })
    }

    fn sync_dir(&self, path: &Path) -> io::Result<()> {
        self.on_directory(Operation::SyncDir, path, |state, path| {
            if !state.lies.sync_dir {
                state.tree.sync(path);
                state.collect();
            }
            Ok(())
        })
    }

    fn lock(&self, path: &Path) -> io::Result<Box<dyn DirectoryLock>> {
        let token = self.on_name(Operation::Lock, path, |state, path| {
            let inode = match state.tree.node(&path) {
                Some(_) => state.tree.file(&path)?,
                None => state.create(path)?,
            };
            state.inode(inode)?.lock()
        })?;
        Ok(Box::new(SimLock(token)))
    }

    fn refused_file_system(&self, path: &Path) -> io::Result<Option<&'static str>> {
        self.on_name(Operation::RefusedFileSystem, path, |state, _| Ok(state.file_system))
    }
}
