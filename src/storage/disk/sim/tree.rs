//! The names: what the cache shows, what the disk has, and the changes in between that a crash may lose.
//!
//! - The pending changes of a directory, applied in order to what the disk has, give what the cache shows.
//! - A directory is never renamed or removed, so a change of it never has to wait for one of another.

use std::collections::{BTreeMap, BTreeSet};
use std::ffi::OsStr;
use std::io;
use std::path::{Component, Path, PathBuf};

use super::random::Random;

/// A file, whatever its names are.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct InodeId(pub(super) u64);

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Node {
    Directory,
    File(InodeId),
}

pub(super) type Names = BTreeMap<PathBuf, Node>;

#[derive(Clone, Debug)]
pub(super) struct Tree {
    cached: Names,
    durable: Names,
    pending: Vec<Change>,
}

#[derive(Clone, Debug)]
enum Change {
    Link { path: PathBuf, node: Node },
    Unlink { path: PathBuf },
    Rename { from: PathBuf, to: PathBuf, node: Node },
}

/// What a crash leaves of a change.
#[derive(Clone, Copy, Debug)]
enum Kept {
    Whole,
    /// A rename that has made the new name and not yet removed the old one.
    WithOldName,
}

impl Tree {
    /// A disk where these names are durable.
    pub(super) fn durable(names: Names) -> Self {
        Self { cached: names.clone(), durable: names, pending: Vec::new() }
    }

    /// A disk with nothing but its root and the working directory.
    pub(super) fn empty() -> Self {
        Self::durable(["/", ""].map(|root| (PathBuf::from(root), Node::Directory)).into())
    }

    pub(super) fn names(&self) -> &Names {
        &self.cached
    }

    pub(super) fn node(&self, path: &Path) -> Option<Node> {
        self.cached.get(path).copied()
    }

    /// The file of that name.
    ///
    /// # Errors
    /// [`io::ErrorKind::NotFound`], [`io::ErrorKind::IsADirectory`].
    pub(super) fn file(&self, path: &Path) -> io::Result<InodeId> {
        match self.node(path) {
            Some(Node::File(inode)) => Ok(inode),
            Some(Node::Directory) => Err(io::ErrorKind::IsADirectory.into()),
            None => Err(io::ErrorKind::NotFound.into()),
        }
    }

    /// # Errors
    /// [`io::ErrorKind::NotFound`], [`io::ErrorKind::NotADirectory`].
    pub(super) fn check_directory(&self, path: &Path) -> io::Result<()> {
        match self.node(path) {
            Some(Node::Directory) => Ok(()),
            Some(Node::File(_)) => Err(io::ErrorKind::NotADirectory.into()),
            None => Err(io::ErrorKind::NotFound.into()),
        }
    }

    /// Whether something new can get this name.
    ///
    /// # Errors
    /// [`io::ErrorKind::AlreadyExists`], and those of [`Tree::check_directory`] for the parent.
    pub(super) fn check_free(&self, path: &Path) -> io::Result<()> {
        if self.cached.contains_key(path) {
            return Err(io::ErrorKind::AlreadyExists.into());
        }
        self.check_directory(&directory_of(path))
    }

    /// The names in a directory, sorted.
    pub(super) fn list(&self, dir: &Path) -> Vec<String> {
        self.cached
            .range(dir.to_path_buf()..)
            .take_while(|(path, _)| path.starts_with(dir))
            .filter(|(path, _)| path.parent() == Some(dir))
            .filter_map(|(path, _)| path.file_name().map(OsStr::to_string_lossy))
            .map(String::from)
            .collect()
    }

    pub(super) fn link(&mut self, path: PathBuf, node: Node) {
        self.change(Change::Link { path, node });
    }

    pub(super) fn unlink(&mut self, path: PathBuf) {
        self.change(Change::Unlink { path });
    }

    pub(super) fn rename(&mut self, from: PathBuf, to: PathBuf, inode: InodeId) {
        self.change(Change::Rename { from, to, node: Node::File(inode) });
    }

    fn change(&mut self, change: Change) {
        change.apply(&mut self.cached, Kept::Whole);
        self.pending.push(change);
    }

    /// Makes the directory's pending changes durable.
    pub(super) fn sync(&mut self, dir: &Path) {
        for change in self.pending.extract_if(.., |change| change.directory() == dir) {
            change.apply(&mut self.durable, Kept::Whole);
        }
    }

    /// Gives the name to a file, or takes it away, in the cache and on the disk. What was pending in that directory
    /// becomes durable; the directory and its parents are made if they are missing.
    pub(super) fn set_durable(&mut self, path: &Path, inode: Option<InodeId>) {
        self.sync(&directory_of(path));
        for parent in path.ancestors().skip(1) {
            self.sync(&directory_of(parent));
            self.cached.insert(parent.to_path_buf(), Node::Directory);
            self.durable.insert(parent.to_path_buf(), Node::Directory);
        }
        let change = match inode {
            Some(inode) => Change::Link { path: path.to_path_buf(), node: Node::File(inode) },
            None => Change::Unlink { path: path.to_path_buf() },
        };
        change.apply(&mut self.cached, Kept::Whole);
        change.apply(&mut self.durable, Kept::Whole);
    }

    /// Names as a crash may leave them.
    pub(super) fn after_crash(&self, random: &mut Random) -> Names {
        let mut names = self.durable.clone();
        let kept_of_four = [0, 1, 2, 3, 4].get(random.below_index(5)).copied().unwrap_or(2);
        for change in &self.pending {
            if random.below(4) < kept_of_four {
                let kept = if random.one_in(4) { Kept::WithOldName } else { Kept::Whole };
                change.apply(&mut names, kept);
            }
        }
        reachable(names)
    }

    /// Every file that has a name, had one, or could get one back in a crash.
    pub(super) fn inodes(&self) -> BTreeSet<InodeId> {
        let pending = self.pending.iter().filter_map(|change| match change {
            Change::Link { node, .. } | Change::Rename { node, .. } => Some(node),
            Change::Unlink { .. } => None,
        });
        let nodes = self.cached.values().chain(self.durable.values()).chain(pending);
        nodes
            .filter_map(|node| match node {
                Node::File(inode) => Some(*inode),
                Node::Directory => None,
            })
            .collect()
    }
}

impl Change {
    fn directory(&self) -> PathBuf {
        match self {
            Self::Link { path, .. } | Self::Unlink { path } => directory_of(path),
            Self::Rename { to, .. } => directory_of(to),
        }
    }

    fn apply(&self, names: &mut Names, kept: Kept) {
        match (self, kept) {
            (Self::Link { path, node }, _) => {
                names.insert(path.clone(), *node);
            }
            (Self::Unlink { path }, _) => {
                names.remove(path);
            }
            (Self::Rename { from, to, node }, Kept::Whole) => {
                names.remove(from);
                names.insert(to.clone(), *node);
            }
            (Self::Rename { to, node, .. }, Kept::WithOldName) => {
                names.insert(to.clone(), *node);
            }
        }
    }
}

/// Drops what lies in a directory that is lost.
fn reachable(names: Names) -> Names {
    let mut found = Names::new();
    for (path, node) in names {
        let root = path.parent().is_none();
        if root || found.get(&directory_of(&path)) == Some(&Node::Directory) {
            found.insert(path, node);
        }
    }
    found
}

/// The path as the key that the tree knows it by: `./a//b/` is `a/b`.
pub(super) fn key(path: &Path) -> PathBuf {
    path.components().filter(|component| *component != Component::CurDir).collect()
}

/// Where the name of `path` is kept. The roots are kept in themselves.
pub(super) fn directory_of(path: &Path) -> PathBuf {
    path.parent().unwrap_or(path).to_path_buf()
}
