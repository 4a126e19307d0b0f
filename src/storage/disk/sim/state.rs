//! Everything a simulated disk knows, behind its one lock.

use std::collections::BTreeMap;
use std::io;
use std::path::PathBuf;

use super::call::Call;
use super::content::Content;
use super::plan::Plan;
use super::random::Random;
use super::tree::{InodeId, Tree};
use crate::sync::Arc;

const ENOSPC: i32 = 28;

pub(super) struct State {
    pub(super) seed: u64,
    pub(super) random: Random,
    pub(super) powered: bool,
    pub(super) tree: Tree,
    pub(super) inodes: BTreeMap<InodeId, Inode>,
    pub(super) next_inode: u64,
    pub(super) plan: Plan,
    pub(super) call_count: u64,
    pub(super) trace: Vec<Call>,
    pub(super) only_mutations: bool,
    pub(super) lies: Lies,
    pub(super) file_system: Option<&'static str>,
}

/// Which barriers return `Ok` and do nothing.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Lies {
    pub(super) sync: bool,
    pub(super) sync_dir: bool,
}

/// A file. Who has it open, or has it locked, holds a copy of the token.
pub(super) struct Inode {
    pub(super) content: Content,
    open: Arc<()>,
    locked: Arc<()>,
}

/// Keeps a file open or locked.
#[derive(Debug)]
pub(super) struct Token(#[expect(dead_code, reason = "held, never read: it is counted")] Arc<()>);

impl State {
    /// An empty disk.
    pub(super) fn new(seed: u64) -> Self {
        Self {
            seed,
            random: Random::new(seed),
            powered: true,
            tree: Tree::empty(),
            inodes: BTreeMap::new(),
            next_inode: 0,
            plan: Plan::default(),
            call_count: 0,
            trace: Vec::new(),
            only_mutations: false,
            lies: Lies::default(),
            file_system: None,
        }
    }

    pub(super) fn add_inode(&mut self, content: Content) -> InodeId {
        let inode = InodeId(self.next_inode);
        self.next_inode += 1;
        self.inodes.insert(inode, Inode::new(content));
        inode
    }

    /// # Errors
    /// [`io::ErrorKind::StorageFull`] if the disk is full.
    pub(super) fn check_space(&self) -> io::Result<()> {
        if self.plan.full { Err(io::Error::from_raw_os_error(ENOSPC)) } else { Ok(()) }
    }

    /// A new empty file, if the name is free and there is space.
    pub(super) fn create(&mut self, path: PathBuf) -> io::Result<InodeId> {
        self.tree.check_free(&path)?;
        self.check_space()?;
        let inode = self.add_inode(Content::default());
        self.tree.link(path, super::tree::Node::File(inode));
        Ok(inode)
    }

    pub(super) fn inode(&self, inode: InodeId) -> io::Result<&Inode> {
        self.inodes.get(&inode).ok_or_else(|| io::ErrorKind::NotFound.into())
    }

    /// The file's content, and the chance that decides what becomes of it.
    pub(super) fn content(&mut self, inode: InodeId) -> io::Result<(&mut Content, &mut Random)> {
        match self.inodes.get_mut(&inode) {
            Some(found) => Ok((&mut found.content, &mut self.random)),
            None => Err(io::ErrorKind::NotFound.into()),
        }
    }

    /// Forgets files that nobody can reach any more.
    pub(super) fn collect(&mut self) {
        let named = self.tree.inodes();
        self.inodes.retain(|inode, found| named.contains(inode) || found.is_held());
    }
}

impl Inode {
    pub(super) fn new(content: Content) -> Self {
        Self { content, open: Arc::default(), locked: Arc::default() }
    }

    pub(super) fn open(&self) -> Token {
        Token(Arc::clone(&self.open))
    }

    /// # Errors
    /// [`io::ErrorKind::WouldBlock`] if somebody has it.
    pub(super) fn lock(&self) -> io::Result<Token> {
        if Arc::strong_count(&self.locked) > 1 {
            return Err(io::ErrorKind::WouldBlock.into());
        }
        Ok(Token(Arc::clone(&self.locked)))
    }

    fn is_held(&self) -> bool {
        Arc::strong_count(&self.open) > 1 || Arc::strong_count(&self.locked) > 1
    }
}
