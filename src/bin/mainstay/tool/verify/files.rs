//! What else is wrong with a log that cannot be read: every file by itself.

use mainstay::model::{Manifest, SegmentSeq, ShardId, Tail};
use mainstay::storage::chain::{self, Link};
use mainstay::storage::recovery;
use mainstay::{LogError, Lsn};

use super::super::directory::Directory;
use super::super::finding::Finding;

/// Looks at every file of a log; `found` is why it cannot be read as a whole.
pub fn check(dir: &Directory, manifest: &Manifest, shard: ShardId, found: Finding) -> Vec<Finding> {
    let mut findings = vec![found];
    let mut add = |error: LogError| {
        let finding = Finding::from(&error).of(shard);
        if !findings.contains(&finding) {
            findings.push(finding);
        }
    };
    let links = match chain::find(&dir.disk, &dir.layout, manifest, shard) {
        Ok(links) => links,
        Err(_) => {
            let (links, errors) = with_ends(dir, manifest, shard);
            errors.into_iter().for_each(&mut add);
            links
        }
    };
    links.iter().filter_map(|link| recovery::check_one(&dir.disk, link).err()).for_each(add);
    findings
}

/// Without a chain only that can be told from damage of which something says where it ends.
fn with_ends(dir: &Directory, manifest: &Manifest, shard: ShardId) -> (Vec<Link>, Vec<LogError>) {
    let (mut links, mut errors) = (Vec::new(), Vec::new());
    for (segment, entry) in manifest.shard(shard).into_iter().flat_map(|record| &record.segments) {
        match chain::read_header(&dir.disk, &dir.layout, manifest, shard, (*segment, entry), Lsn::FIRST) {
            Ok(link) => links.extend(link.map(|link| Link { ends: entry.valid_to, ..link })),
            Err(error) => errors.push(error),
        }
    }
    let follows: Vec<Tail> = links.iter().map(|link| link.header.follows).collect();
    let end = |segment: SegmentSeq| {
        let ends = follows.iter().filter(|tail| tail.segment == segment);
        ends.min_by_key(|tail| tail.offset).copied()
    };
    for link in &mut links {
        link.ends = link.ends.or_else(|| end(link.header.segment));
    }
    links.retain(|link| link.ends.is_some());
    (links, errors)
}
