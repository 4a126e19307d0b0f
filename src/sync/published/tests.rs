//! The real cell under real threads: loom, which cannot see it, runs the same algorithm over a lock.

use std::thread;

use super::*;
use crate::model::{Epoch, Lsn};
use crate::sync::tenure::Tenure;

#[derive(Debug)]
struct Root {
    end: Position,
    /// As many as the end says, so that a torn or early root would show.
    content: Vec<u64>,
}

impl Positioned for Root {
    fn end(&self) -> Position {
        self.end
    }
}

fn root(end: u64) -> Arc<Root> {
    let end = Position { epoch: Epoch(1), lsn: Lsn(end) };
    Arc::new(Root { end, content: vec![end.lsn.0; end.lsn.0 as usize % 50] })
}

#[test]
fn an_older_root_is_given_back() {
    let published = Published::new(root(5));
    assert_eq!(published.publish(root(4)).end().lsn, Lsn(4));
    assert_eq!(published.latest().end().lsn, Lsn(5));
    assert_eq!(published.publish(root(6)).end().lsn, Lsn(5));
    assert_eq!(published.replace(root(2)).end().lsn, Lsn(6));
    assert_eq!(published.latest().end().lsn, Lsn(2));
}

#[test]
fn an_ask_is_taken_once() {
    let published = Published::new(root(1));
    assert!(!published.take_ask());
    published.ask();
    published.hint();
    assert!(published.take_ask());
    assert!(!published.take_ask());
}

/// Guards F9, F38: readers go forward, see whole roots, and find what the watermark says.
#[test]
fn stress_readers_against_a_writer() {
    const END: u64 = 20_000;
    let published = Published::new(root(1));
    let tenure: Tenure<()> = Tenure::new(Lsn(1));
    let read = || {
        let mut last = Lsn(0);
        while last < Lsn(END) {
            let answered = tenure.answered();
            let root = published.latest();
            assert!(root.end().lsn >= answered.max(last));
            assert_eq!(root.content.len() as u64, root.end().lsn.0 % 50);
            assert!(root.content.iter().all(|lsn| *lsn == root.end().lsn.0));
            last = root.end().lsn;
        }
    };
    thread::scope(|scope| {
        let readers = [scope.spawn(read), scope.spawn(read)];
        for end in 2..=END {
            tenure.complete(Lsn(end), || drop(published.publish(root(end)))).unwrap();
        }
        readers.into_iter().for_each(|reader| reader.join().unwrap());
    });
}
