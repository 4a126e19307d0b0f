//! A backup has what is cold too.

use mainstay::kv::Kv;
use mainstay::{Options, Runtime};

use crate::book::Book;
use crate::state::{cold_entries, key, options, until, value};
use crate::support::directory;

fn small(dir: &std::path::Path) -> Options {
    Options { command_bytes_max: 4 << 10, ..options(dir, 2, 256 << 10) }
}

#[tokio::test]
async fn a_backup_of_a_state_that_has_outgrown_its_memory_has_all_of_it() {
    let (dir, backup) = (directory(), directory());
    let mut book = Book::default();
    let runtime = Runtime::open(Kv, small(dir.path())).await.unwrap();
    for first in (0..400).step_by(20) {
        book.send(&runtime, (first..first + 20).map(|number| (key(number), Some(value(number, 1)))).collect()).await;
    }
    runtime.snapshot().await.unwrap();
    for first in (0..400).step_by(20) {
        let content = |number: u32| (!number.is_multiple_of(3)).then(|| value(number, 2));
        let some = (first..first + 20).filter(|number: &u32| !number.is_multiple_of(4));
        book.send(&runtime, some.map(|number| (key(number), content(number))).collect()).await;
    }
    until(&runtime, "spilled", |stats| cold_entries(stats) > 0).await;
    let to = backup.path().join("copy");
    runtime.backup(&to).await.unwrap();
    assert_eq!(book.refused, []);
    drop(runtime);
    drop(dir);
    for _ in 0..2 {
        let runtime = Runtime::open(Kv, small(&to)).await.unwrap();
        assert_eq!(book.check(&runtime).await, [""; 0]);
        runtime.shutdown().await.unwrap();
    }
}
