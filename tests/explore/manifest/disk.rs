//! The disk under the manifest keeper: what an open would read, now or after a crash, and which files exist.

use std::collections::BTreeSet;

use mainstay::model::{DirectoryId, Edit, Manifest, Routing, SegmentSeq, ShardId};

pub const SHARD: ShardId = ShardId(0);

/// What a crash leaves behind, where that is open.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Left {
    /// The state that is certain.
    Certain,
    /// The same, and an edit cut short behind it.
    Torn,
    /// The edit whose append failed, or was under way, counts.
    Landed,
    /// The generation whose change failed, or was under way, counts.
    NewGeneration,
}

#[derive(Clone, Debug)]
pub struct Disk {
    /// What certainly counts.
    certain: Manifest,
    /// The same with an edit that may count.
    unsure: Option<Manifest>,
    /// A generation that may count instead.
    other: Option<Manifest>,
    pub files: BTreeSet<SegmentSeq>,
}

impl Disk {
    pub fn new() -> Self {
        let routing = Routing { id: 1, key: [0; 16] };
        let certain = Manifest::new(DirectoryId([0; 16]), routing, 1);
        Self { certain, unsure: None, other: None, files: BTreeSet::new() }
    }

    pub fn certain(&self) -> &Manifest {
        &self.certain
    }

    /// Is there only one thing that a crash can leave?
    pub fn is_sure(&self) -> bool {
        self.unsure.is_none() && self.other.is_none()
    }

    pub fn begin_append(&mut self, edits: &[Edit]) {
        assert!(self.is_sure(), "appends to a generation that must not be appended to");
        let mut next = self.certain.clone();
        for edit in edits {
            next.apply(edit).expect("only what the keeper has applied is appended");
        }
        self.unsure = Some(next);
    }

    pub fn end_append(&mut self, ok: bool) {
        if ok {
            self.certain = self.unsure.take().expect("an append is under way");
        }
    }

    pub fn begin_generation(&mut self, manifest: &Manifest) {
        assert_eq!(*manifest, self.certain, "a generation begins with what is certain");
        assert_eq!(self.other, None, "another generation may count already");
        self.other = Some(manifest.clone());
    }

    /// `None`: either generation may count.
    pub fn end_generation(&mut self, counts: Option<bool>) {
        match counts {
            Some(true) => {
                self.certain = self.other.take().expect("a change is under way");
                self.unsure = None;
            }
            Some(false) => self.other = None,
            None => {}
        }
    }

    /// What a crash may leave.
    pub fn choices(&self) -> Vec<Left> {
        let mut choices = vec![Left::Certain];
        if self.unsure.is_some() {
            choices.extend([Left::Torn, Left::Landed]);
        }
        if self.other.is_some() {
            choices.push(Left::NewGeneration);
        }
        choices
    }

    fn read(&self, left: Left) -> Manifest {
        let read = match left {
            Left::Certain | Left::Torn => None,
            Left::Landed => self.unsure.clone(),
            Left::NewGeneration => self.other.clone(),
        };
        read.unwrap_or_else(|| self.certain.clone())
    }

    /// A crash, and an open that sweeps what nothing names. Returns whether the generation ends in a torn edit.
    pub fn crash(&mut self, left: Left) -> bool {
        self.certain = self.read(left);
        (self.unsure, self.other) = (None, None);
        let named = named(&self.certain);
        for segment in &named {
            assert!(self.files.contains(segment), "the manifest names a file that is gone");
        }
        self.files = named;
        left == Left::Torn
    }

    /// A file is made, with the first number that is free.
    pub fn create(&mut self, from: SegmentSeq) -> SegmentSeq {
        let mut segment = from;
        while !self.files.insert(segment) {
            segment = segment.next();
        }
        segment
    }

    pub fn delete(&mut self, segment: SegmentSeq) {
        for left in self.choices() {
            let names_it = named(&self.read(left)).contains(&segment);
            assert!(!names_it, "deletes a file that the manifest names after a crash");
        }
        assert!(self.files.remove(&segment), "deletes a file twice");
    }
}

fn named(manifest: &Manifest) -> BTreeSet<SegmentSeq> {
    let shard = manifest.shard(SHARD).expect("it has one shard");
    shard.segments.keys().copied().collect()
}
