//! A process without file descriptors to spare: opening says so, or everything works; nothing in between.

#![cfg(not(loom))]
#![allow(clippy::unwrap_used, clippy::panic, clippy::indexing_slicing, reason = "a test")]

mod support;

use std::fs::File;
use std::process::Command;
use std::time::Duration;

use mainstay::ractor::registry;
use mainstay::{Options, RestartBudget, Runtime};
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

/// Guards F34, F60: nor does a restart end in a fence because there are none for a while.
#[test]
fn a_restart_without_descriptors_is_tried_again() {
    let output = Command::new("sh")
        .args(["-c", "ulimit -n 64; exec \"$0\" --exact restarting_child --nocapture"])
        .arg(std::env::current_exe().unwrap())
        .env(CHILD, "1")
        .output()
        .unwrap();
    let (said, errors) = (String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
    assert!(output.status.success() && said.contains("it serves again"), "{said} {errors}");
}

/// What the test above runs in a process of its own. With none to nine left, recovery fails, or a thread cannot be had.
#[test]
fn restarting_child() {
    if std::env::var_os(CHILD).is_none() {
        return;
    }
    let tokio = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build().unwrap();
    let dir = support::directory();
    tokio.block_on(async {
        let mut options = Options { shards: Some(1), ..small(dir.path()) };
        options.restarts = RestartBudget {
            restarts: 100_000,
            pause: Duration::from_millis(1),
            pause_max: Duration::from_millis(1),
            ..RestartBudget::default()
        };
        let runtime = Runtime::open(Counters, options).await.unwrap();
        for left in 0..10 {
            runtime.submit(add("a", 1)).await.unwrap();
            let mut hoard = Vec::new();
            let mut take_all_but_some = || {
                hoard.extend(std::iter::from_fn(|| File::open("/dev/null").ok()));
                hoard.truncate(hoard.len() - left);
            };
            take_all_but_some();
            let names = registry::registered().into_iter();
            let shard = names.filter(|name| name.contains("/0/shard.")).find_map(registry::where_is).unwrap();
            shard.kill();
            // So long there are none, not even those that the old life gives up.
            for _ in 0..100 {
                take_all_but_some();
                tokio::time::sleep(Duration::from_micros(300)).await;
            }
            drop(hoard);
            let answer = tokio::time::timeout(Duration::from_secs(10), runtime.submit(add("a", 1))).await;
            assert_eq!(answer.unwrap().unwrap().reply, 2 * left as i64 + 2, "with {left} left");
            assert_eq!(runtime.stats().shards[0].refusal, None);
        }
        println!("it serves again");
    });
}

/// What the first test runs in processes of its own.
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
