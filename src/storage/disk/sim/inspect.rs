//! Looking at the files and damaging them, past the counted calls and past every fault.

use std::collections::BTreeMap;
use std::io;
use std::path::{Path, PathBuf};

use super::content::Content;
use super::disk::SimDisk;
use super::image::Image;
use super::state::State;
use super::tree::{Node, key};

impl SimDisk {
    /// Every file with what the cache shows of it. Two disks with equal maps look the same to whoever reads them.
    pub fn files(&self) -> BTreeMap<PathBuf, Vec<u8>> {
        let state = self.state();
        let names = state.tree.names().iter();
        names.filter_map(|(path, node)| Some((path.clone(), state.bytes(*node)?))).collect()
    }

    /// What the cache shows of one file; `None` if there is none of that name.
    pub fn read(&self, path: impl AsRef<Path>) -> Option<Vec<u8>> {
        let state = self.state();
        state.bytes(state.tree.node(&key(path.as_ref()))?)
    }

    /// Damages the medium: these bytes are there from now on, in the cache and on the disk.
    ///
    /// # Errors
    /// [`NotFound`](io::ErrorKind::NotFound) if there is no such file, and
    /// [`InvalidInput`](io::ErrorKind::InvalidInput) if the range is not inside it: nothing is damaged then.
    pub fn overwrite(&self, path: impl AsRef<Path>, offset: u64, bytes: &[u8]) -> io::Result<()> {
        let mut state = self.state();
        let inode = state.tree.file(&key(path.as_ref()))?;
        state.content(inode)?.0.damage(bytes, offset)
    }

    /// Makes a durable file with this content, in place of any other of that name, and the directories above it.
    /// Whatever was pending in those becomes durable.
    pub fn put(&self, path: impl AsRef<Path>, bytes: &[u8]) {
        let mut state = self.state();
        let inode = state.add_inode(Content::durable(Image::from_bytes(bytes)));
        state.tree.set_durable(&key(path.as_ref()), Some(inode));
    }

    /// Takes a file's name away, in the cache and on the disk. Whatever was pending in the directories above it
    /// becomes durable.
    ///
    /// # Errors
    /// [`NotFound`](io::ErrorKind::NotFound) if there is no such file.
    pub fn erase(&self, path: impl AsRef<Path>) -> io::Result<()> {
        let mut state = self.state();
        let path = key(path.as_ref());
        state.tree.file(&path)?;
        state.tree.set_durable(&path, None);
        Ok(())
    }
}

impl State {
    fn bytes(&self, node: Node) -> Option<Vec<u8>> {
        match node {
            Node::File(inode) => Some(self.inodes.get(&inode)?.content.cached().to_vec()),
            Node::Directory => None,
        }
    }
}
