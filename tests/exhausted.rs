//! A process without file descriptors to spare: opening says so, or everything works; nothing in between.

#![cfg(not(loom))]
#![allow(clippy::unwrap_used, clippy::panic, reason = "a test")]

mod support;

use std::process::Command;
use std::time::Duration;

use mainstay::{Options, Runtime};
use support::{Counters, add, small};

const CHILD: &str = "MAINSTAY_TEST_EXHAUSTED";

/// Guards F60: a runtime that has opened has all its actors.
#[test]
fn opening_without_descriptors_is_an_error_and_never_a_fenced_shard() {
    let (mut opened, mut refused) = (0, 0);
    for descriptors in 6..36 {
        let output = Command::new("sh")
            .args(["-c", "ulimit -n $0; exec \"$1\" --exact child --nocapture"])
            .arg(descriptors.to_string())
            .arg(std::env::current_exe().unwrap())
            .env(CHILD, "1")
            .output()
            .unwrap();
        let said = String::from_utf8_lossy(&output.stdout).into_owned();
        opened += usize::from(said.contains("it is open"));
        refused += usize::from(said.contains("it is refused"));
        let errors = String::from_utf8_lossy(&output.stderr);
        // With very few it is tokio that panics.
        let has_tokio = said.contains("tokio is there");
        assert!(output.status.success() || !has_tokio, "{descriptors}: {said} {errors}");
    }
    println!("{opened} opened, {refused} refused");
    assert!(opened > 3 && refused > 3, "{opened} opened, {refused} refused");
}

/// What the test above runs in processes of its own.
#[test]
fn child() {
    if std::env::var_os(CHILD).is_none() {
        return;
    }
    let Ok(tokio) = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build() else {
        return;
    };
    println!("tokio is there");
    let Ok(dir) = tempfile::tempdir_in(env!("CARGO_TARGET_TMPDIR")) else { return };
    tokio.block_on(async {
        let options = Options { shards: Some(2), submit_deadline: Duration::from_secs(2), ..small(dir.path()) };
        match Runtime::open(Counters, options).await {
            Err(error) => println!("it is refused: {error}"),
            Ok(runtime) => {
                assert!(runtime.stats().shards.iter().all(|shard| shard.refusal.is_none()));
                // There may be none left for the first segment; that is said in time.
                let answer = tokio::time::timeout(Duration::from_secs(10), runtime.submit(add("a", 1))).await;
                println!("it is open, {:?}", answer.unwrap());
                assert!(runtime.stats().shards.iter().all(|shard| shard.refusal.is_none()));
            }
        }
    });
}
